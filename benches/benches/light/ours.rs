//! The library: a worker with the default settings.

use std::sync::atomic::{AtomicUsize, Ordering};

use cloakroom::{Endpoint, EndpointSettings, Handled, Ports, Tx, Worker, WorkerSettings, ports::Placement};
use tokio::sync::Notify;

use crate::{
    Failure, IN_FLIGHT_MAX,
    workload::{self, Done, Entity, Work},
};

/// The number of messages that are not handled yet. It is a static, because a handler is a plain
/// function.
static LEFT: AtomicUsize = AtomicUsize::new(0);
static ALL_HANDLED: Notify = Notify::const_new();

async fn work(entity: &mut Entity, work: Work, tx: &mut Tx) -> Handled {
    tx.send(entity.work(work));
    if LEFT.fetch_sub(1, Ordering::Relaxed) == 1 {
        ALL_HANDLED.notify_one();
    }
    Ok(())
}

/// Processes this many messages completely.
pub(crate) async fn work_on(ports: Ports, placement: Placement, messages: usize) -> Result<(), Failure> {
    LEFT.store(messages, Ordering::Relaxed);
    let settings = EndpointSettings { placement, ..EndpointSettings::default() };
    let endpoint = Endpoint::builder(workload::WORKS).on(work).route::<Done>(workload::DONES).settings(settings);
    let settings = WorkerSettings { in_flight_max: IN_FLIGHT_MAX, ..WorkerSettings::default() };
    let worker = Worker::new(endpoint.build(ports)?, workload::WORKS).settings(settings);
    // When the last message is handled, the worker finishes the messages in flight.
    worker.run(ALL_HANDLED.notified()).await?;
    Ok(())
}
