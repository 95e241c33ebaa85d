//! The processes in which both kinds of consumers run: a backend in memory, a wire with faults, and
//! a restart after each stop.

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

/// The call at which a fault occurs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultPoint {
    /// The next call of this operation.
    Next(Operation),
    /// The call of this number, from 0.
    Call(usize),
}

/// The kind of a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FaultKind {
    FailsBefore,
    FailsAfter,
    StopsBefore,
    StopsAfter,
    /// The process pauses for this many seconds, as during a garbage collection.
    PausesBefore(u64),
}

/// A fault that occurs once.
pub(crate) type Fault = (FaultPoint, FaultKind);

pub(crate) const DATABASE: FaultPoint = FaultPoint::Next(Operation::Commit);
pub(crate) const BROKER: FaultPoint = FaultPoint::Next(Operation::Send);

/// The visibility timeout.
pub(crate) const VISIBILITY: Duration = Duration::from_secs(30);

/// One process and its connection to the backend.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) memory: Memory,
    pub(crate) wire: Arc<FaultyWire>,
}

/// A wire with faults.
pub(crate) struct FaultyWire {
    memory: Memory,
    faults: Mutex<Vec<Fault>>,
    calls: AtomicUsize,
    is_stopped: AtomicBool,
}

impl fmt::Debug for FaultyWire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("FaultyWire").field(&self.faults).finish()
    }
}

impl FaultyWire {
    /// Removes and returns the fault of this call.
    fn take_fault(&self, operation: Operation) -> Option<FaultKind> {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        let mut faults = self.faults.lock().unwrap();
        let met =
            faults.iter().position(|(at, _)| *at == FaultPoint::Next(operation) || *at == FaultPoint::Call(number))?;
        Some(faults.remove(met).1)
    }

    async fn stop<T>(&self) -> T {
        self.is_stopped.store(true, Ordering::Relaxed);
        pending().await
    }
}

impl Wire for FaultyWire {
    async fn carry<T: fmt::Debug + Send + 'static>(
        self: Arc<Self>,
        call: Call,
        effect: impl Future<Output = Result<T, PortError>> + Send + 'static,
    ) -> Result<T, PortError> {
        let failure = || PortError::new(call.to_string(), "no answer");
        match self.take_fault(call.operation) {
            None => effect.await,
            Some(FaultKind::FailsBefore) => Err(failure()),
            Some(FaultKind::FailsAfter) => effect.await.and_then(|_| Err(failure())),
            Some(FaultKind::StopsBefore) => self.stop().await,
            Some(FaultKind::StopsAfter) => {
                let _ = effect.await;
                self.stop().await
            }
            Some(FaultKind::PausesBefore(seconds)) => {
                self.memory.clock.sleep(Duration::from_secs(seconds)).await;
                effect.await
            }
        }
    }
}

impl Process {
    pub(crate) fn new(memory: &Memory, faults: &[Fault]) -> Self {
        let wire = FaultyWire {
            memory: memory.clone(),
            faults: Mutex::new(faults.to_vec()),
            calls: AtomicUsize::new(0),
            is_stopped: AtomicBool::new(false),
        };
        Self { memory: memory.clone(), wire: Arc::new(wire) }
    }

    /// Makes one call through the wire.
    pub(crate) async fn call<T: fmt::Debug + Send + 'static>(
        &self,
        operation: Operation,
        effect: impl FnOnce(&Memory) -> T + Send + 'static,
    ) -> Result<T, PortError> {
        let (wire, memory) = (Arc::clone(&self.wire), self.memory.clone());
        wire.carry(Call { operation, subject: "shop".to_owned() }, async move { Ok(effect(&memory)) }).await
    }

    /// The number of calls so far.
    pub(crate) fn calls(&self) -> usize {
        self.wire.calls.load(Ordering::Relaxed)
    }

    pub(crate) fn faults_left(&self) -> usize {
        self.wire.faults.lock().unwrap().len()
    }

    /// Consumes messages until there are none. A message is deleted after it was consumed.
    /// Otherwise it is delivered again.
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

    /// Consumes messages, and starts again after each stop.
    pub(crate) async fn work(&self, queue: &str, consume: impl AsyncFn(&Self, Delivery) -> Result<(), String>) {
        while self.is_stopped_during(self.serve(queue, &consume)).await {}
    }

    /// Runs work to its end or to a stop. Returns whether the process was stopped.
    pub(crate) async fn is_stopped_during<T>(&self, work: impl Future<Output = T>) -> bool {
        // The process is stopped while it is polled, so this future needs no waker.
        let stop = poll_fn(|_| match self.wire.is_stopped.swap(false, Ordering::Relaxed) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        match select(pin!(work), stop).await {
            Either::Left(_) => false,
            Either::Right(((), _)) => true,
        }
    }
}

/// Runs two processes on one queue. Only the first one has faults.
pub(crate) fn work_in_pairs(
    memory: &Memory,
    faults: &[Fault],
    queue: &str,
    consume: impl AsyncFn(&Process, Delivery) -> Result<(), String>,
) {
    let (first, second) = (Process::new(memory, faults), Process::new(memory, &[]));
    memory.run(join(first.work(queue, &consume), second.work(queue, &consume)));
    assert_eq!(first.faults_left(), 0, "a fault did not occur: the scenario shows nothing");
}

/// Runs one process on a queue. Returns the number of calls.
pub(crate) fn work_alone(
    memory: &Memory,
    faults: &[Fault],
    queue: &str,
    consume: impl AsyncFn(&Process, Delivery) -> Result<(), String>,
) -> usize {
    let process = Process::new(memory, faults);
    memory.run(process.work(queue, consume));
    assert_eq!(process.faults_left(), 0, "a fault did not occur: the scenario shows nothing");
    process.calls()
}

/// Puts a message into a queue.
pub(crate) fn put(memory: &Memory, queue: &str, body: String) {
    let message = QueueMessage { body, ..QueueMessage::default() };
    let sent = memory.queues.get(queue).send(vec![message]).now_or_never();
    assert!(sent.expect("memory does not wait").iter().all(Result::is_ok));
}
