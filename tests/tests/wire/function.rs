//! An endpoint as a Lambda function. The real runtime runs in a process of its own, and a queue
//! triggers it.

use std::{process::Stdio, time::Duration};

use aws_sdk_sqs::types::QueueAttributeName;
use cloakroom::{engine::parking, format::Envelope, ports::QueueMessage};
use cloakroom_local::{Faults, Function, FunctionSettings};
use serde_json::json;
use tempfile::TempDir;
use tokio::process::{Child, Command};

use crate::embedded::Embedded;

/// The timeout of an invocation, and the visibility timeout of its messages. The function stops a
/// second earlier.
const TIMEOUT_S: u64 = 3;

/// A queue, and a function that it triggers.
struct World {
    aws: Embedded,
    queue: &'static str,
    function: Function,
    marks: TempDir,
}

impl World {
    async fn start(queue: &'static str) -> Self {
        let aws = Embedded::start(&[queue]).await;
        let url = aws.sqs.get_queue_url().queue_name(queue).send().await.unwrap().queue_url.unwrap();
        let visibility = aws.sqs.set_queue_attributes().queue_url(url);
        visibility.attributes(QueueAttributeName::VisibilityTimeout, TIMEOUT_S.to_string()).send().await.unwrap();
        let settings = FunctionSettings { timeout_s: TIMEOUT_S, ..FunctionSettings::default() };
        let function = aws.local.function(queue, settings).await.unwrap();
        Self { aws, queue, function, marks: TempDir::new().unwrap() }
    }

    /// Starts an execution environment. It is killed when it is dropped.
    fn process(&self) -> Child {
        let mut command = Command::new(env!("CARGO_BIN_EXE_function"));
        command.envs(self.aws.local.environment()).envs(self.function.environment());
        command
            .env("MARKS", self.marks.path())
            .env("DEAD_LETTERS", cloakroom::engine::parking::dead_letter_queue(self.queue));
        command.kill_on_drop(true).stdin(Stdio::null()).spawn().unwrap()
    }

    /// Sends jobs, each given by its name, its partition and its fate.
    async fn send(&self, jobs: &[(&str, &str, &str)]) {
        self.send_messages(jobs.iter().map(|(name, partition, fate)| message(name, partition, fate)).collect()).await;
    }

    async fn send_messages(&self, messages: Vec<QueueMessage>) {
        let queue = self.aws.aws.ports().queues.open(self.queue).await.unwrap();
        queue.send(messages).await.into_iter().for_each(|sent| sent.unwrap());
    }

    /// Returns the finished jobs of a partition, in order.
    async fn done(&self, partition: &str) -> Vec<String> {
        let read = self
            .aws
            .aws
            .ports()
            .store
            .read_state(&partition.into(), "jobs", cloakroom::protocol::Consistency::Strong)
            .await
            .unwrap();
        let Some(state) = read.state else { return Vec::new() };
        serde_dynamo::from_item::<_, std::collections::BTreeMap<String, Vec<String>>>(state)
            .unwrap()
            .remove("jobs")
            .unwrap()
    }

    /// Returns how many messages the queue holds, visible or not.
    async fn messages(&self) -> u32 {
        let url = self.aws.sqs.get_queue_url().queue_name(self.queue).send().await.unwrap().queue_url.unwrap();
        let counts = self.aws.sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
        let counts = counts.send().await.unwrap().attributes.unwrap();
        let kinds = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
        ];
        kinds.iter().map(|kind| counts[kind].parse::<u32>().unwrap()).sum()
    }

    /// Returns the reasons of the parked messages, sorted.
    async fn reasons(&self) -> Vec<String> {
        let queue =
            self.aws.aws.ports().queues.open(&cloakroom::engine::parking::dead_letter_queue(self.queue)).await.unwrap();
        let parked = queue.receive(10, Duration::ZERO, Duration::from_secs(60)).await.unwrap();
        let mut reasons: Vec<_> =
            parked.into_iter().map(|message| message.attributes[parking::REASON].clone()).collect();
        reasons.sort();
        reasons
    }
}

fn message(name: &str, partition: &str, fate: &str) -> QueueMessage {
    let mut envelope = Envelope::new(name.into(), "test", "job", partition.into());
    envelope.data = Some(json!({ "name": name, "partition": partition, "fate": fate }));
    QueueMessage {
        body: envelope.encode(),
        group: Some("group".to_owned()),
        deduplication: Some(name.to_owned()),
        ..QueueMessage::default()
    }
}

#[tokio::test]
async fn rejected_and_failed_messages_do_not_affect_their_batch() {
    let world = World::start("jobs").await;
    world.send(&[("a", "p", "succeed"), ("b", "p", "fail_once"), ("c", "q", "reject"), ("d", "q", "succeed")]).await;
    let mut malformed = message("e", "q", "succeed");
    malformed.body.truncate(20);
    world.send_messages(vec![malformed]).await;
    let _process = world.process();
    let stats = world.function.until(|stats| stats.messages_deleted == 5).await;
    assert!(stats.messages_failed >= 1, "{stats:?}");
    assert_eq!(stats.failed, 0, "Lambda accepted every response: {stats:?}");
    assert_eq!(world.done("p").await, ["a", "b"]);
    assert_eq!(world.done("q").await, ["d"]);
    let reasons = world.reasons().await;
    assert_eq!(reasons.len(), 2, "{reasons:?}");
    assert!(reasons[0].starts_with("not an envelope"), "{reasons:?}");
    assert_eq!(reasons[1], "poison");
}

#[tokio::test]
async fn function_responds_in_time_if_a_handler_hangs() {
    let world = World::start("jobs").await;
    world.send(&[("a", "p", "succeed"), ("b", "q", "hang_once"), ("c", "q", "succeed"), ("d", "r", "succeed")]).await;
    let _process = world.process();
    let stats = world.function.until(|stats| stats.messages_deleted == 4).await;
    assert_eq!(stats.timed_out, 0, "{stats:?}");
    assert_eq!(
        stats.messages_failed, 1,
        "only the hanging message failed. The next one had enough time left: {stats:?}"
    );
    for (partition, jobs) in [("p", vec!["a"]), ("q", vec!["b", "c"]), ("r", vec!["d"])] {
        // A standard queue has no order: the message that hung is received again after the other
        // one.
        let mut done = world.done(partition).await;
        done.sort();
        assert_eq!(done, jobs);
    }
}

#[tokio::test]
async fn group_of_a_fifo_queue_stays_in_order_in_a_function() {
    let world = World::start("jobs.fifo").await;
    world.send(&[("a", "p", "succeed"), ("b", "p", "fail_once"), ("c", "p", "reject"), ("d", "p", "succeed")]).await;
    let _process = world.process();
    let stats = world.function.until(|stats| stats.messages_deleted == 4).await;
    assert_eq!(world.done("p").await, ["a", "b", "d"]);
    assert!(stats.messages_failed >= 3, "expected `b`, and `c` and `d` after it: {stats:?}");
    assert_eq!(world.reasons().await, ["poison"], "it is parked once");
}

#[tokio::test]
async fn crash_in_the_middle_of_a_batch_loses_and_duplicates_nothing() {
    let world = World::start("jobs").await;
    world.send(&[("a", "p", "succeed"), ("b", "p", "crash_once"), ("c", "p", "succeed"), ("d", "q", "succeed")]).await;
    let mut first = world.process();
    assert!(!first.wait().await.unwrap().success());
    let _second = world.process();
    let stats = world.function.until(|stats| stats.messages_deleted == 4).await;
    assert!(stats.timed_out >= 1, "the first invocation got no response: {stats:?}");
    let mut done = world.done("p").await;
    done.sort();
    assert_eq!(done, ["a", "b", "c"]);
    assert_eq!(world.done("q").await, ["d"]);
}

#[tokio::test]
async fn cold_start_makes_no_calls_to_aws() {
    let world = World::start("jobs").await;
    let before = world.aws.local.usage();
    let _process = world.process();
    // The trigger polls the queue only when a process has requested its first invocation.
    let requested = loop {
        let usage = world.aws.local.usage().since(&before);
        if !usage.sqs.requests.is_empty() {
            break usage;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    };
    assert_eq!(requested.sqs.requests.keys().collect::<Vec<_>>(), ["ReceiveMessage"]);
    assert!(requested.dynamodb.requests.is_empty() && requested.s3.requests.is_empty(), "{requested:?}");
}

#[tokio::test]
async fn two_function_processes_under_faults_process_every_message_once() {
    let world = World::start("jobs").await;
    let names: Vec<String> = (0..60).map(|number| format!("{number:02}")).collect();
    world.send(&names.iter().map(|name| (name.as_str(), "p", "succeed")).collect::<Vec<_>>()).await;
    let faults = Faults { lost_responses: 0.03, duplicate_deliveries: 0.2, ..Faults::default() };
    world.aws.local.set_faults(faults).unwrap();
    let _processes = [world.process(), world.process()];
    // Deletions of duplicates count, too, so messages may be left.
    world.function.until(|stats| stats.messages_deleted >= 60).await;
    world.aws.local.set_faults(Faults::default()).unwrap();
    while world.messages().await > 0 {
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut done = world.done("p").await;
    done.sort();
    assert_eq!(done, names);
}
