//! The worker extends visibility timeouts of SQS, so they outlast handlers.

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use cloakroom::{
    Endpoint, Handled, Message, Partition, Tx, Worker, WorkerSettings, format::Envelope, ports::QueueMessage,
};
use tokio::sync::watch;

use crate::embedded::Embedded;

#[derive(serde::Serialize, serde::Deserialize)]
struct Slow {}

impl Message for Slow {
    const TYPE: &'static str = "slow";
    fn partition(&self) -> Partition {
        "p".into()
    }
}

/// How many runs of the handler have begun.
static BEGUN: AtomicUsize = AtomicUsize::new(0);
/// How many runs of the handler have ended.
static ENDED: AtomicUsize = AtomicUsize::new(0);

async fn slow(_: &mut std::collections::BTreeMap<String, u64>, _: Slow, _: &mut Tx) -> Handled {
    BEGUN.fetch_add(1, Ordering::SeqCst);
    tokio::time::sleep(Duration::from_millis(4_500)).await;
    ENDED.fetch_add(1, Ordering::SeqCst);
    Ok(())
}

#[tokio::test]
async fn a_handler_of_several_visibility_timeouts_runs_once_among_two_workers() {
    let world = Embedded::start(&["slow"]).await;
    let endpoint = Endpoint::builder("slow").on(slow).build(world.aws.ports()).unwrap();
    let mut envelope = Envelope::new("m".into(), "test", Slow::TYPE, "p".into());
    envelope.data = Some(serde_json::json!({}));
    let queue = world.aws.ports().queues.open("slow").await.unwrap();
    let before = world.local.usage();
    queue.send(vec![QueueMessage { body: envelope.encode(), ..QueueMessage::default() }]).await.remove(0).unwrap();
    let settings = WorkerSettings { visibility_ms: 2_000, receive_wait_ms: 1_000, ..WorkerSettings::default() };
    let (shutdown, _) = watch::channel(false);
    let worker = || {
        let mut shutdown = shutdown.subscribe();
        let worker = Worker::new(endpoint.clone(), "slow").settings(settings.clone());
        tokio::spawn(worker.run(async move { drop(shutdown.wait_for(|stop| *stop).await) }))
    };
    let workers = [worker(), worker()];
    while world.local.usage().since(&before).sqs.messages_deleted == 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    shutdown.send_replace(true);
    for worker in workers {
        worker.await.unwrap().unwrap();
    }
    let usage = world.local.usage().since(&before).sqs;
    assert_eq!(usage.messages_received, 1, "its visibility timeout never ended");
    assert!(usage.requests["ChangeMessageVisibilityBatch"] >= 4, "{:?}", usage.requests);
    assert_eq!((BEGUN.load(Ordering::SeqCst), ENDED.load(Ordering::SeqCst)), (1, 1));
}
