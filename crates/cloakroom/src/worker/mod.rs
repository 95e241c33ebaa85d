//! The worker: receives messages from one queue, and an endpoint processes many of them at the same
//! time.

pub(crate) mod batch;
pub(crate) mod concurrency;
pub(crate) mod lanes;
pub(crate) mod polling;
pub(crate) mod results;
pub(crate) mod running;
pub(crate) mod settings;
pub(crate) mod start;

pub use batch::Batch;

use std::{pin::pin, sync::Mutex};

use futures::{
    FutureExt as _,
    channel::oneshot,
    future::{Either, select},
    stream::FuturesUnordered,
};

use crate::{
    endpoint::Endpoint,
    error::Error,
    worker::{
        concurrency::Outage,
        lanes::{Lanes, Order},
        running::RunningWorker,
        settings::WorkerSettings,
    },
};

/// Receives messages from a queue and lets an endpoint process them. Up to `in_flight_max` messages
/// are in flight, and one message of each partition is processed at a time. The worker extends
/// their visibility timeouts while they are in flight. While calls are throttled, it reduces the
/// number of messages in flight, down to one, and then increases it again.
///
/// One long poll waits for messages. While its responses are full, the worker makes more receives
/// at the same time, up to the limit of messages in flight.
///
/// A queue whose name ends with `.fifo` is a FIFO queue. Its messages are processed in order, one
/// message of each group at a time. If a message of a group is given back, the later messages of
/// the group in flight are given back untried, and are received again after it. A *parked* message
/// is finished, and its group continues.
///
/// If a message goes back to the queue again and again, then after every `attempts_max` receives
/// (at least four) a copy is sent with a delay, and the delivery is deleted. So SQS does not move
/// the message to the dead-letter queue. This needs `sqs:SendMessage` on the queue. It is not
/// possible on FIFO queues.
///
/// A worker needs no async runtime, except for one that its ports need. One process can run any
/// number of workers.
///
/// ```
/// # use cloakroom::{Endpoint, Handled, Message, Partition, Tx, Worker, memory::Memory};
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Ping;
/// # impl Message for Ping {
/// #     const TYPE: &'static str = "ping";
/// #     fn partition(&self) -> Partition { "p".into() }
/// # }
/// # async fn ping(_: &mut std::collections::BTreeMap<String, u64>, _: Ping, _: &mut Tx) -> Handled { Ok(()) }
/// # let memory = Memory::with_queues(["pings"]);
/// # let endpoint = Endpoint::builder("pings").on(ping).build(memory.ports())?;
/// use cloakroom::ports::Clock as _;
/// use std::time::Duration;
///
/// let shutdown = memory.clock.sleep(Duration::from_secs(60)); // or a signal
/// memory.run(Worker::new(endpoint, "pings").run(shutdown))?;
/// # Ok::<(), cloakroom::Error>(())
/// ```
#[derive(Debug)]
#[must_use = "a worker does nothing until it is run"]
pub struct Worker {
    pub(super) endpoint: Endpoint,
    pub(super) queue: String,
    pub(super) settings: WorkerSettings,
}

impl Worker {
    /// Creates a worker with the default settings.
    pub fn new(endpoint: Endpoint, queue: impl Into<String>) -> Self {
        Self { endpoint, queue: queue.into(), settings: WorkerSettings::default() }
    }

    /// Sets the settings.
    pub fn settings(self, settings: WorkerSettings) -> Self {
        Self { settings, ..self }
    }

    /// Runs the worker. It first checks its requirements ([`Endpoint::check`]), and logs its
    /// configuration at level info.
    ///
    /// The worker processes messages until `shutdown` is ready. Then it finishes the messages in
    /// flight for at most `drain_ms`, and gives back the rest.
    ///
    /// A long poll that is open at the shutdown ends first, within `drain_ms`, and its messages are
    /// given back at once. If it were dropped, SQS might still deliver messages to it, and no
    /// worker would receive them before their visibility timeout ends. So an idle worker takes up
    /// to `receive_wait_ms` to stop, or `drain_ms` if that is shorter.
    ///
    /// If the queue cannot be reached at the start, the worker retries until it can, or until the
    /// shutdown.
    ///
    /// It is safe to drop the future at any point. Messages in flight are received again when their
    /// visibility timeout ends.
    ///
    /// # Errors
    /// A setting is out of range. A queue, a table or a payload store does not exist or may not be
    /// read. This includes the dead-letter queue and the queues of routes. Temporary failures are
    /// retried, and are not an error.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), Error> {
        self.settings.validate()?;
        let mut shutdown = pin!(shutdown.fuse());
        let queue = match select(&mut shutdown, pin!(self.start())).await {
            Either::Left(((), _)) => return Ok(()),
            Either::Right((queue, _)) => queue?,
        };
        let (order, lanes) = (Order::of(&self.queue), Lanes::default());
        let (in_flight_receipts, outage) = (Mutex::default(), Outage::default());
        let (stop, stopping) = oneshot::channel();
        let running = RunningWorker {
            endpoint: &self.endpoint,
            queue_name: &self.queue,
            settings: &self.settings,
            queue,
            order,
            lanes,
            in_flight_receipts,
            outage,
            stopping: stopping.shared(),
        };
        let (mut in_flight, mut receiving) = (FuturesUnordered::new(), FuturesUnordered::new());
        let result = running.work(&mut in_flight, &mut receiving, shutdown).await;
        drop(stop);
        running.drain(in_flight, receiving).await;
        result
    }
}
