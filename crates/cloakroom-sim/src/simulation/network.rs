//! The network: each call is a request, an effect and a reply. The effect belongs to the world, not to the caller.

use std::{fmt, sync::Arc, time::Duration};

use cloakroom::PortError;
use futures::channel::oneshot;

use super::{
    trace,
    weather::{Fault, risks},
    world::World,
};
use crate::wire::{Call, Operation, Wire};

/// How long a call takes that nothing befalls, at most, one way.
const SHORT_MS: u64 = 20;
/// From a hiccup to longer than a lease.
const LONG_MS: std::ops::RangeInclusive<u64> = 200..=60_000;

/// The way of one caller to the ports.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) world: Arc<World>,
    pub(crate) caller: String,
}

/// What becomes of a call.
struct Way {
    fault: Option<Fault>,
    request: Duration,
    reply: Duration,
}

impl Network {
    fn way(&self, operation: Operation) -> Way {
        let weather = &self.world.weather;
        if !weather.is_stormy() {
            let short = Duration::from_millis(5);
            return Way { fault: None, request: short, reply: short };
        }
        let mut decision = weather.decide(&format!("{} {operation:?}", self.caller));
        let fault = weather.strike(&mut decision, risks(operation));
        let [request, reply] = [(); 2].map(|()| Duration::from_millis(decision.number(1..=SHORT_MS)));
        let long = decision.duration(LONG_MS);
        match fault {
            Some(Fault::SlowRequest) => Way { fault, request: long, reply },
            Some(Fault::SlowReply) => Way { fault, request, reply: long },
            // For a late one: when it is given up, and how long after that it happens.
            Some(Fault::Late) => Way { fault, request: decision.duration(100..=5_000), reply: long },
            Some(_) | None => Way { fault, request, reply },
        }
    }
}

impl Wire for Network {
    async fn carry<T: fmt::Debug + Send + 'static>(
        self: Arc<Self>,
        call: Call,
        effect: impl Future<Output = Result<T, PortError>> + Send + 'static,
    ) -> Result<T, PortError> {
        let (answer, answered) = oneshot::channel();
        let what = call.to_string();
        // A receive waits for messages most of its time.
        let counts = call.operation != Operation::Receive;
        let network = Arc::clone(&self);
        if counts {
            self.world.begin();
        }
        let way = self.way(call.operation);
        self.world.spawn(async move {
            network.travel(way, &call, effect, answer).await;
            if counts {
                network.world.end();
            }
        });
        answered.await.unwrap_or_else(|_| Err(PortError::new(what, "the world has ended")))
    }
}

impl Network {
    async fn travel<T: Send + 'static>(
        &self,
        Way { fault, request, reply }: Way,
        call: &Call,
        effect: impl Future<Output = Result<T, PortError>> + Send,
        answer: oneshot::Sender<Result<T, PortError>>,
    ) {
        let world = &self.world;
        let failure = |cause: &str| PortError::new(format!("{:?}", call.operation), cause);
        world.sleep(request).await;
        let result = match fault {
            Some(Fault::Refused) => Err(failure("refused: not now").without_effect()),
            Some(Fault::Vanished) => Err(failure("no connection")),
            Some(Fault::Unanswered) => {
                self.told(call, fault, &effect.await);
                Err(failure("no answer"))
            }
            Some(Fault::Late) => {
                // Whoever waited is told, and the request goes on.
                let _ = answer.send(Err(failure("no answer in time")));
                world.tell(|| format!("{} gives up {}", self.caller, trace::call(call)));
                world.sleep(reply).await;
                return self.told(call, fault, &effect.await);
            }
            Some(_) | None => effect.await,
        };
        if fault != Some(Fault::Unanswered) {
            self.told(call, fault, &result);
        }
        world.sleep(reply).await;
        // A caller that has died does not listen.
        let _ = answer.send(result);
    }

    fn told<T: 'static>(&self, call: &Call, fault: Option<Fault>, result: &Result<T, PortError>) {
        // Receiving nothing is not worth a line.
        self.world.tell(|| {
            let fault = fault.map(|fault| format!(" [{fault}]")).unwrap_or_default();
            format!("{} {}: {}{fault}", self.caller, trace::call(call), trace::answer(result))
        });
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};

    use cloakroom::memory::Memory;
    use futures::FutureExt as _;

    use super::*;
    use crate::simulation::{trace::Trace, weather::Weather};

    #[test]
    fn what_was_sent_before_a_crash_takes_effect_after_it() {
        let memory = Memory::new();
        let weather = Weather::new(1, Arc::clone(&memory.clock), Some([].into()));
        let world = Arc::new(World::new(memory, weather, Trace::new(false)));
        let network = Arc::new(Network { world: Arc::clone(&world), caller: "worker".to_owned() });
        let has_happened = Arc::new(AtomicBool::new(false));
        let effect = {
            let has_happened = Arc::clone(&has_happened);
            async move {
                has_happened.store(true, Ordering::Relaxed);
                Ok(())
            }
        };
        let call = Call { operation: Operation::Commit, subject: "p".to_owned() };
        world.run(async {
            assert!(network.carry(call, effect).now_or_never().is_none(), "it is dropped in the middle");
            assert_eq!((has_happened.load(Ordering::Relaxed), world.pending()), (false, (1, 1)));
            world.sleep(Duration::from_secs(1)).await;
            assert_eq!((has_happened.load(Ordering::Relaxed), world.pending()), (true, (0, 1)));
        });
    }
}
