//! Where both kinds of consumers work: a backend in memory, trouble on the wire, and processes that are started again
//! when they die.

use std::{
    fmt,
    future::{pending, poll_fn},
    pin::pin,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    task::Poll,
    time::Duration,
};

use cloakroom::{
    Delivery, PortError,
    memory::Memory,
    ports::{Clock as _, Queue as _, QueueMessage},
};
use cloakroom_sim::wire::{Call, Operation, Wire};
use futures::{
    FutureExt as _,
    future::{Either, join, select},
};

/// Where trouble strikes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum At {
    /// At the next call of this kind.
    The(Operation),
    /// At the call of this number, from 0.
    Call(usize),
}

/// What the trouble is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    FailsBefore,
    FailsAfter,
    DiesBefore,
    DiesAfter,
    /// For so many seconds, as a process does that is swapped out, or collects its garbage.
    SleepsBefore(u64),
}

/// A call that something happens to, once.
pub(crate) type Trouble = (At, How);

pub(crate) const DATABASE: At = At::The(Operation::Commit);
pub(crate) const BROKER: At = At::The(Operation::Send);

/// How long a message that was received stays invisible to others.
pub(crate) const VISIBILITY: Duration = Duration::from_secs(30);

/// One process and its way to the backend.
#[derive(Clone)]
pub(crate) struct Site {
    pub(crate) memory: Memory,
    pub(crate) wire: Arc<Troubled>,
}

/// A wire with trouble on it.
pub(crate) struct Troubled {
    memory: Memory,
    troubles: Mutex<Vec<Trouble>>,
    calls: AtomicUsize,
    is_dead: AtomicBool,
}

impl fmt::Debug for Troubled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Troubled").field(&self.troubles).finish()
    }
}

impl Troubled {
    /// The trouble that this call meets, which then is over.
    fn meet(&self, operation: Operation) -> Option<How> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut troubles = self.troubles.lock().unwrap();
        let met = troubles.iter().position(|(at, _)| *at == At::The(operation) || *at == At::Call(number))?;
        Some(troubles.remove(met).1)
    }

    async fn die<T>(&self) -> T {
        self.is_dead.store(true, Ordering::Relaxed);
        pending().await
    }
}

impl Wire for Troubled {
    async fn carry<T: fmt::Debug + Send + 'static>(
        self: Arc<Self>,
        call: Call,
        effect: impl Future<Output = Result<T, PortError>> + Send + 'static,
    ) -> Result<T, PortError> {
        let failure = || PortError::new(call.to_string(), "no answer");
        match self.meet(call.operation) {
            None => effect.await,
            Some(How::FailsBefore) => Err(failure()),
            Some(How::FailsAfter) => effect.await.and_then(|_| Err(failure())),
            Some(How::DiesBefore) => self.die().await,
            Some(How::DiesAfter) => {
                let _ = effect.await;
                self.die().await
            }
            Some(How::SleepsBefore(seconds)) => {
                self.memory.clock.sleep(Duration::from_secs(seconds)).await;
                effect.await
            }
        }
    }
}

impl Site {
    pub(crate) fn new(memory: &Memory, troubles: &[Trouble]) -> Self {
        let wire = Troubled {
            memory: memory.clone(),
            troubles: Mutex::new(troubles.to_vec()),
            calls: AtomicUsize::new(0),
            is_dead: AtomicBool::new(false),
        };
        Self { memory: memory.clone(), wire: Arc::new(wire) }
    }

    /// Makes one call by way of the wire.
    pub(crate) async fn call<T: fmt::Debug + Send + 'static>(
        &self,
        operation: Operation,
        effect: impl FnOnce(&Memory) -> T + Send + 'static,
    ) -> Result<T, PortError> {
        let (wire, memory) = (Arc::clone(&self.wire), self.memory.clone());
        wire.carry(Call { operation, subject: "shop".to_owned() }, async move { Ok(effect(&memory)) }).await
    }

    /// How many calls there were.
    pub(crate) fn calls(&self) -> usize {
        self.wire.calls.load(Ordering::Relaxed)
    }

    pub(crate) fn troubles_left(&self) -> usize {
        self.wire.troubles.lock().unwrap().len()
    }

    /// Takes messages until none comes any more: each is deleted when it was consumed, and comes again if it was not.
    async fn serve(&self, queue: &str, consume: impl AsyncFn(&Self, Delivery) -> Result<(), String>) {
        let queue = self.memory.queues.get(queue);
        while let Some(delivery) = queue.receive(1, 4 * VISIBILITY, VISIBILITY).await.unwrap().pop() {
            let receipt = delivery.receipt.clone();
            if consume(self, delivery).await.is_ok() {
                let queue = Arc::clone(&queue);
                let delete = async move { Ok(queue.delete(vec![receipt]).await) };
                let call = Call { operation: Operation::Acknowledge, subject: "stock".to_owned() };
                let _ = Arc::clone(&self.wire).carry(call, delete).await;
            }
        }
    }

    /// Serves; begins anew whenever it dies.
    pub(crate) async fn work(&self, queue: &str, consume: impl AsyncFn(&Self, Delivery) -> Result<(), String>) {
        while self.until_it_dies(self.serve(queue, &consume)).await {}
    }

    /// Whether it died. Otherwise it came to its end.
    pub(crate) async fn until_it_dies<T>(&self, work: impl Future<Output = T>) -> bool {
        // It dies while it is polled, so nobody has to wake this one.
        let death = poll_fn(|_| match self.wire.is_dead.swap(false, Ordering::Relaxed) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        match select(pin!(work), death).await {
            Either::Left(_) => false,
            Either::Right(((), _)) => true,
        }
    }
}

/// Two processes on one queue. Only the first one meets trouble.
pub(crate) fn work_in_pairs(
    memory: &Memory,
    troubles: &[Trouble],
    queue: &str,
    consume: impl AsyncFn(&Site, Delivery) -> Result<(), String>,
) {
    let (first, second) = (Site::new(memory, troubles), Site::new(memory, &[]));
    memory.run(join(first.work(queue, &consume), second.work(queue, &consume)));
    assert_eq!(first.troubles_left(), 0, "a trouble was not met: the scenario shows nothing");
}

/// One process on a queue.
pub(crate) fn work_alone(
    memory: &Memory,
    troubles: &[Trouble],
    queue: &str,
    consume: impl AsyncFn(&Site, Delivery) -> Result<(), String>,
) -> usize {
    let site = Site::new(memory, troubles);
    memory.run(site.work(queue, consume));
    assert_eq!(site.troubles_left(), 0, "a trouble was not met: the scenario shows nothing");
    site.calls()
}

/// Puts a message into a queue.
pub(crate) fn put(memory: &Memory, queue: &str, body: String) {
    let message = QueueMessage { body, ..QueueMessage::default() };
    let sent = memory.queues.get(queue).send(vec![message]).now_or_never();
    assert!(sent.expect("memory does not wait").iter().all(Result::is_ok));
}
