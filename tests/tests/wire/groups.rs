//! Workers on FIFO queues of SQS.

use std::sync::atomic::{AtomicBool, Ordering};

use cloakroom::{
    Endpoint, Handled, HandlerError, Message, Partition, Tx, Worker, WorkerSettings,
    format::Envelope,
    ports::{Backoff, QueueMessage},
};
use tokio::sync::watch;

use crate::embedded::Embedded;

#[derive(serde::Serialize, serde::Deserialize)]
struct Step {
    number: u32,
}

impl Message for Step {
    const TYPE: &'static str = "step";
    fn partition(&self) -> Partition {
        "p".into()
    }
}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Steps {
    done: Vec<u32>,
}

/// Whether step 2 has failed. It fails once.
static HAS_FAILED: AtomicBool = AtomicBool::new(false);

async fn step(steps: &mut Steps, step: Step, _: &mut Tx) -> Handled {
    if step.number == 2 && !HAS_FAILED.swap(true, Ordering::SeqCst) {
        return Err(HandlerError::retry("not yet"));
    }
    steps.done.push(step.number);
    Ok(())
}

fn message(number: u32) -> QueueMessage {
    let mut envelope = Envelope::new(format!("m-{number}").into(), "test", Step::TYPE, "p".into());
    envelope.data = Some(serde_json::json!({ "number": number }));
    QueueMessage {
        body: envelope.encode(),
        group: Some("g".to_owned()),
        deduplication: Some(number.to_string()),
        ..QueueMessage::default()
    }
}

#[tokio::test]
async fn group_with_a_released_message_stays_in_order() {
    let world = Embedded::start(&["steps.fifo"]).await;
    let endpoint =
        Endpoint::builder("steps").on(step).dead_letters("steps-dead.fifo").build(world.aws.ports()).unwrap();
    let queue = world.aws.ports().queues.open("steps.fifo").await.unwrap();
    queue.send((0..6).map(message).collect()).await.into_iter().for_each(|sent| sent.unwrap());
    let before = world.local.usage();
    let retry = Backoff { first_ms: 1_000, max_ms: 1_000 };
    let settings = WorkerSettings { receive_wait_ms: 1_000, retry, ..WorkerSettings::default() };
    let (shutdown, _) = watch::channel(false);
    let workers = [(); 2].map(|()| {
        let mut shutdown = shutdown.subscribe();
        let worker = Worker::new(endpoint.clone(), "steps.fifo").settings(settings.clone());
        tokio::spawn(worker.run(async move { drop(shutdown.wait_for(|stop| *stop).await) }))
    });
    while world.local.usage().since(&before).sqs.messages_deleted < 6 {
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
    shutdown.send_replace(true);
    for worker in workers {
        worker.await.unwrap().unwrap();
    }
    let state = world
        .aws
        .ports()
        .store
        .read_state(&"p".into(), "steps", cloakroom::protocol::Consistency::Strong)
        .await
        .unwrap()
        .state
        .unwrap();
    assert_eq!(serde_dynamo::from_item::<_, Steps>(state).unwrap().done, [0, 1, 2, 3, 4, 5]);
    assert_eq!(
        world.local.usage().since(&before).sqs.messages_received,
        6 + 4,
        "step 2 and the steps after it were received again"
    );
}
