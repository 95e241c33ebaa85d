//! The worker: takes messages from one queue to one endpoint, many at a time.

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

/// Receives messages and has them processed: up to `in_flight_max` at a time, one per partition,
/// keeping their leases while they are worked on. While calls are throttled there are fewer, down to one, and then more again.
///
/// One long poll waits for messages. While receives come back full, there are several at a time, as many as fit.
///
/// From a FIFO queue (its name ends with `.fifo`) it takes messages one per group, in order. When one of a group is given
/// back, those of the group that are in hand are given back with it, untried: they come again behind it. A message
/// that is *parked* is finished, and its group goes on.
///
/// A message that goes back again and again is sent again after every `attempts_max` receives (four at least), with a delay, and
/// deleted. So it is not moved to the dead-letter queue by its own queue. That takes `sqs:SendMessage` on the queue, and is
/// not possible on FIFO queues.
///
/// It needs no runtime but whatever drives the ports; a binary runs as many as it likes.
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
#[must_use = "a worker works when it is run"]
pub struct Worker {
    pub(super) endpoint: Endpoint,
    pub(super) queue: String,
    pub(super) settings: WorkerSettings,
}

impl Worker {
    /// A worker with the default settings.
    pub fn new(endpoint: Endpoint, queue: impl Into<String>) -> Self {
        Self { endpoint, queue: queue.into(), settings: WorkerSettings::default() }
    }

    /// Settings other than the defaults.
    pub fn settings(self, settings: WorkerSettings) -> Self {
        Self { settings, ..self }
    }

    /// Checks what it needs first ([`Endpoint::check`]), and logs at info what it serves.
    ///
    /// Works until `shutdown` is ready, then finishes what it holds, for up to `drain_ms`, and gives back the rest.
    ///
    /// A long poll that is under way at the shutdown ends first, within `drain_ms`, and the messages that it brings are
    /// given back at once: SQS may lease messages to a poll whose receiver is gone, and then nobody gets them before
    /// their leases end. So an idle worker ends after up to `receive_wait_ms`, or `drain_ms` if that is shorter.
    ///
    /// A queue that cannot be reached when the worker starts is tried again until it can, or until the shutdown.
    ///
    /// Safe to drop at any point: messages in hand are received again when their lease ends.
    ///
    /// # Errors
    /// Settings out of range; a queue, a table or a payload store that does not exist or may not be read, the dead-letter queue and the
    /// queues of routes among them. Failures that pass are waited out.
    pub async fn run(self, shutdown: impl Future<Output = ()> + Send) -> Result<(), Error> {
        self.settings.validate()?;
        let mut shutdown = pin!(shutdown.fuse());
        let queue = match select(&mut shutdown, pin!(self.start())).await {
            Either::Left(((), _)) => return Ok(()),
            Either::Right((queue, _)) => queue?,
        };
        let (order, lanes) = (Order::of(&self.queue), Lanes::default());
        let (held, outage) = (Mutex::default(), Outage::default());
        let (stop, stopping) = oneshot::channel();
        let running = RunningWorker {
            endpoint: &self.endpoint,
            queue_name: &self.queue,
            settings: &self.settings,
            queue,
            order,
            lanes,
            held,
            outage,
            stopping: stopping.shared(),
        };
        let (mut at_work, mut receiving) = (FuturesUnordered::new(), FuturesUnordered::new());
        let result = running.work(&mut at_work, &mut receiving, shutdown).await;
        drop(stop);
        running.drain(at_work, receiving).await;
        result
    }
}
