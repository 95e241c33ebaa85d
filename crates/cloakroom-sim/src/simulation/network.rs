//! The network: each call is a request, an effect and a reply. The effect belongs to the world, not
//! to the caller.

use std::{fmt, sync::Arc, time::Duration};

use cloakroom::PortError;
use futures::channel::oneshot;

use crate::{
    simulation::{
        faults::{Fault, possible_faults},
        trace,
        world::SimulationWorld,
    },
    wire::{Call, Operation, Wire},
};

/// The maximum time of a request or a reply without a fault.
const SHORT_MS: u64 = 20;
/// From a short delay to longer than a visibility timeout.
const LONG_MS: std::ops::RangeInclusive<u64> = 200..=60_000;

/// The connection of one caller to the ports.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) world: Arc<SimulationWorld>,
    pub(crate) caller: String,
}

/// The fault and the durations of a call.
struct CallPlan {
    fault: Option<Fault>,
    request: Duration,
    reply: Duration,
}

impl Network {
    fn plan(&self, operation: Operation) -> CallPlan {
        let injector = &self.world.injector;
        if !injector.is_active() {
            let short = Duration::from_millis(5);
            return CallPlan { fault: None, request: short, reply: short };
        }
        let mut decision = injector.decide(&format!("{} {operation:?}", self.caller));
        let fault = injector.draw(&mut decision, possible_faults(operation));
        let [request, reply] = [(); 2].map(|()| Duration::from_millis(decision.number(1..=SHORT_MS)));
        let long = decision.duration(LONG_MS);
        match fault {
            Some(Fault::SlowRequest) => CallPlan { fault, request: long, reply },
            Some(Fault::SlowReply) => CallPlan { fault, request, reply: long },
            // For a late call: when the caller gives up, and how long after that the call takes
            // effect.
            Some(Fault::Late) => CallPlan { fault, request: decision.duration(100..=5_000), reply: long },
            Some(_) | None => CallPlan { fault, request, reply },
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
        // A receive waits for messages most of the time, so it does not count as pending.
        let counts = call.operation != Operation::Receive;
        let network = Arc::clone(&self);
        if counts {
            self.world.begin();
        }
        let plan = self.plan(call.operation);
        self.world.spawn(async move {
            network.perform(plan, &call, effect, answer).await;
            if counts {
                network.world.end();
            }
        });
        answered.await.unwrap_or_else(|_| Err(PortError::new(what, "the world has ended")))
    }
}

impl Network {
    async fn perform<T: Send + 'static>(
        &self,
        CallPlan { fault, request, reply }: CallPlan,
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
                self.trace_result(call, fault, &effect.await);
                Err(failure("no answer"))
            }
            Some(Fault::Late) => {
                // The caller gets an error, and the request continues.
                let _ = answer.send(Err(failure("no answer in time")));
                world.log(|| format!("{} gives up {}", self.caller, trace::call(call)));
                world.sleep(reply).await;
                return self.trace_result(call, fault, &effect.await);
            }
            Some(_) | None => effect.await,
        };
        if fault != Some(Fault::Unanswered) {
            self.trace_result(call, fault, &result);
        }
        world.sleep(reply).await;
        // The caller may have stopped.
        let _ = answer.send(result);
    }

    fn trace_result<T: 'static>(&self, call: &Call, fault: Option<Fault>, result: &Result<T, PortError>) {
        // Receiving nothing is not worth a line.
        self.world.log(|| {
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
    use crate::simulation::{faults::FaultInjector, trace::Trace};

    #[test]
    fn call_sent_before_a_stop_takes_effect_after_it() {
        let memory = Memory::new();
        let injector = FaultInjector::new(1, Arc::clone(&memory.clock), Some([].into()));
        let world = Arc::new(SimulationWorld::new(memory, injector, Trace::new(false)));
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
            assert!(network.carry(call, effect).now_or_never().is_none(), "the caller is dropped in the middle");
            assert_eq!((has_happened.load(Ordering::Relaxed), world.pending()), (false, (1, 1)));
            world.sleep(Duration::from_secs(1)).await;
            assert_eq!((has_happened.load(Ordering::Relaxed), world.pending()), (true, (0, 1)));
        });
    }
}
