//! Endpoints as Lambda functions that an SQS queue triggers. Needs the feature `lambda`.
//!
//! ```no_run
//! # use cloakroom::{Endpoint, Handled, Message, Partition, Tx};
//! # #[derive(serde::Serialize, serde::Deserialize)] struct Ping;
//! # impl Message for Ping {
//! #     const TYPE: &'static str = "ping";
//! #     fn partition(&self) -> Partition { "p".into() }
//! # }
//! # async fn ping(_: &mut std::collections::BTreeMap<String, u64>, _: Ping, _: &mut Tx) -> Handled { Ok(()) }
//! use cloakroom_aws::{Aws, AwsSettings, lambda::Function};
//!
//! #[tokio::main(flavor = "current_thread")]
//! async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
//!     let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
//!     let aws = Aws::configured(&config, AwsSettings::new("orders", "orders-payloads"))?;
//!     let endpoint = Endpoint::builder("pings").on(ping).build(aws.ports())?;
//!     Function::new(endpoint).run().await
//! }
//! ```
//!
//! # The trigger
//!
//! - `ReportBatchItemFailures` **must be on** (`FunctionResponseTypes` of the event source
//!   mapping). Without it Lambda takes every answer as success of the whole batch, and deletes
//!   messages that were not finished.
//! - The visibility timeout of the queue must be at least the timeout of the function, or Lambda
//!   refuses the trigger. AWS recommends six times as much. A message that was not finished is
//!   received again when its visibility timeout ends, so a short timeout means fast retries.
//! - `maxReceiveCount` of the queue must be much larger than `attempts_max` of the endpoint, so
//!   that a message is parked with its reason before SQS moves it without one. Receives are also
//!   used up when the function is throttled or an invocation crashes. On FIFO queues, a message
//!   that fails uses up receives of all later messages of its group.
//! - If the names of queues have a prefix in SQS, [set it](Function::queue_prefix): a deferred
//!   message is sent again only to the queue that it came from.
//! - The function's role needs the permissions of an endpoint. For the trigger it also needs
//!   `sqs:ReceiveMessage`, `sqs:DeleteMessage` and `sqs:GetQueueAttributes` on the queue.
//!
//! # The answer to Lambda
//!
//! The answer of the function names the messages that were not finished, and Lambda deletes all
//! others. An answer without names means that all are finished. If an answer names a message that
//! is not in the batch, the whole batch fails. So it does after an error, a crash or a timeout.
//! Then finished messages are received again, too. They are found to be processed, which is
//! harmless and costs a few requests.
//!
//! # Time
//!
//! Work stops [`FunctionSettings::margin_ms`] before the deadline of the invocation, so that the
//! answer is in time. Messages in flight are dropped at any step and reported as not finished. A
//! handler that takes nine tenths of the time is stopped earlier, and has failed. Visibility
//! timeouts are not extended: they are at least as long as the invocation.
//!
//! # Cold start
//!
//! A cold start sends no request to AWS, so it is fast. It logs at info which endpoint the function
//! serves. While it processes the first messages, the function [checks](Endpoint::check) the
//! resources of the endpoint: table, payload stores, dead-letter queue, and the queues of its
//! routes. It logs an error for a problem that must be fixed. No message waits for the check or
//! fails because of it.

mod record;

#[cfg(test)]
mod tests;

use std::{
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use cloakroom::{
    Delivery, Endpoint, ErrorKind, Outcome, Timestamp, engine::NotFinished, ports::fifo::is_fifo, worker::Batch,
};
use futures::future::{Either, select};
use lambda_runtime::{LambdaEvent, service_fn};
use serde::{Deserialize, Serialize};

use crate::settings::{SettingsError, within};

pub use aws_lambda_events::event::sqs::{SqsBatchResponse, SqsEvent};

/// Settings for processing a batch.
///
/// ```
/// let settings: cloakroom_aws::lambda::FunctionSettings = serde_json::from_str(r#"{ "margin_ms": 500 }"#)?;
/// assert_eq!(settings.in_flight_max, 64);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FunctionSettings {
    /// At most how many messages are processed concurrently; 1 to 10,000. More than the size of a
    /// batch has no effect.
    pub in_flight_max: usize,
    /// How long before the deadline of the invocation work stops, in milliseconds; 100 to 60,000.
    /// The answer must be sent before the deadline. A commit that is dropped midway costs the next
    /// receiver more than one that was not started. The timeout of the function should be at least
    /// this margin plus twice the time of the slowest handler.
    pub margin_ms: u64,
}

impl Default for FunctionSettings {
    fn default() -> Self {
        Self { in_flight_max: 64, margin_ms: 2_000 }
    }
}

impl FunctionSettings {
    /// Checks ranges.
    ///
    /// # Errors
    /// The first field that is out of its range.
    pub fn validate(&self) -> Result<(), SettingsError> {
        within("in_flight_max", self.in_flight_max as u64, 1, 10_000)?;
        within("margin_ms", self.margin_ms, 100, 60_000)
    }
}

/// A Lambda function that runs an endpoint.
#[derive(Clone, Debug)]
#[must_use = "a function works when it is run"]
pub struct Function {
    endpoint: Endpoint,
    settings: FunctionSettings,
    /// The name of its queue, without `.fifo`.
    queue: String,
    /// The prefix of the names of all queues in SQS.
    queue_prefix: String,
    /// Whether the endpoint was checked. Clones share it.
    is_checked: Arc<AtomicBool>,
}

impl Function {
    /// Creates a function with the default settings.
    pub fn new(endpoint: Endpoint) -> Self {
        let queue = endpoint.name().to_owned();
        let settings = FunctionSettings::default();
        Self { endpoint, settings, queue, queue_prefix: String::new(), is_checked: Arc::default() }
    }

    /// Sets the queue that invokes the function, by the name that routes use. Parked messages go to
    /// its dead-letter queue, unless the endpoint names another. Messages that their handler
    /// [defers](cloakroom::HandlerError::defer) are sent to this queue again. Default: the name of
    /// the endpoint. Each event shows whether it is a FIFO queue.
    ///
    /// A warning is logged if the name of the event's queue in SQS is not the
    /// [prefix](Self::queue_prefix) and this name. Then a deferred message is received again after
    /// its visibility timeout. A parked message goes to the dead-letter queue that is named after
    /// the endpoint, unless the endpoint names another.
    pub fn queue(self, name: impl Into<String>) -> Self {
        let name = name.into();
        Self { queue: name.strip_suffix(".fifo").map_or(name.clone(), str::to_owned), ..self }
    }

    /// Sets the prefix of the names of all queues in SQS:
    /// [`QueueSettings::prefix`](crate::QueueSettings::prefix) of the endpoint's ports. Default:
    /// empty.
    pub fn queue_prefix(self, prefix: impl Into<String>) -> Self {
        Self { queue_prefix: prefix.into(), ..self }
    }

    /// Sets the settings. Default: those of [`FunctionSettings::default`].
    pub fn settings(self, settings: FunctionSettings) -> Self {
        Self { settings, ..self }
    }

    /// Receives invocations from Lambda and handles them, one at a time, until Lambda ends the
    /// process.
    ///
    /// # Errors
    /// A setting is out of range, or the Runtime API cannot be reached. End the process then:
    /// Lambda starts another one.
    ///
    /// # Panics
    /// Panics outside of Lambda, where the variables `AWS_LAMBDA_…` are missing.
    pub async fn run(self) -> Result<(), lambda_runtime::Error> {
        self.settings.validate()?;
        let FunctionSettings { in_flight_max, margin_ms } = self.settings;
        tracing::info!(endpoint = self.endpoint.name(), in_flight_max, margin_ms, "function started");
        let handle = |LambdaEvent { payload, context, .. }: LambdaEvent<SqsEvent>| {
            let response = self.handle(payload, Timestamp::from_millis(context.deadline));
            async move { Ok::<_, lambda_runtime::Error>(response.await) }
        };
        lambda_runtime::run(service_fn(handle)).await
    }

    /// Handles one invocation, for functions with a runtime of their own. The answer names the
    /// messages that were not finished [`FunctionSettings::margin_ms`] before the deadline.
    ///
    /// Can be dropped at any point. Without an answer, all messages of the event are received
    /// again.
    pub async fn handle(&self, event: SqsEvent, deadline: Timestamp) -> SqsBatchResponse {
        // All records of an event come from one queue.
        let arn = event.records.first().and_then(|record| record.event_source_arn.clone()).unwrap_or_default();
        let queue = arn.rsplit(':').next().unwrap_or_default();
        let (ids, deliveries): (Vec<String>, Vec<Delivery>) = event.records.into_iter().map(record::delivery).unzip();
        let FunctionSettings { in_flight_max, margin_ms } = self.settings;
        let until = Timestamp::from_millis(deadline.as_millis().saturating_sub(margin_ms));
        // An event has the name in SQS, which may have a prefix. Dead letters are sent by the name
        // that routes use.
        let ending = if is_fifo(queue) { ".fifo" } else { "" };
        let expected = [&self.queue, ending].concat();
        let known_as = if self.is_expected(queue, &expected) { &*expected } else { "" };
        let batch = Batch { queue: known_as, deliveries: &deliveries, in_flight_max, until };
        let results = match select(pin!(self.endpoint.process_batch(batch)), pin!(self.check(&expected))).await {
            Either::Left((results, _)) => results,
            Either::Right(((), work)) => work.await,
        };
        for (result, delivery) in results.iter().zip(&deliveries) {
            log(queue, result, delivery);
        }
        self.log_lateness(queue, &results);
        let not_finished = ids.into_iter().zip(results).filter_map(|(id, result)| result.is_err().then_some(id));
        let mut response = SqsBatchResponse::default();
        // SUBTLE: a message without an id is reported with an empty id, which makes Lambda retry
        // the whole batch. If it were left out, Lambda would delete the message
        // (`message_without_an_id_fails_the_batch`).
        response.set_failures(not_finished);
        response
    }

    /// Whether the queue of an event is the one that routes call `name`. For a FIFO queue the
    /// ending is enough, because nothing is sent to it again.
    ///
    /// SUBTLE: the names must be equal, since one queue's name may end in another's. Otherwise (1)
    /// a deferred message is sent to another standard queue, and (2) Lambda deletes it here, so
    /// this endpoint loses it (`deferred_message_is_sent_only_to_the_queue_of_its_event`).
    fn is_expected(&self, queue: &str, name: &str) -> bool {
        let expected = [&*self.queue_prefix, name].concat();
        let is_expected = is_fifo(queue) || queue == expected;
        if !is_expected && !self.is_checked.load(Ordering::Relaxed) {
            tracing::warn!(
                queue,
                expected,
                "the events come from another queue than expected, so deferred messages wait for the visibility \
                 timeout; set the queue with `Function::queue`, and its prefix with `Function::queue_prefix`"
            );
        }
        is_expected
    }

    /// Checks the resources of the endpoint once. The next invocation repeats the check if the
    /// messages were finished before it, or if it failed for a temporary reason.
    async fn check(&self, queue: &str) {
        if self.is_checked.load(Ordering::Relaxed) {
            return;
        }
        match self.endpoint.check(Some(queue)).await {
            Err(error) if error.kind() == ErrorKind::AwaitService => {
                tracing::warn!(error = error.loggable(), "the check of the endpoint failed and will be repeated");
                return;
            }
            Err(error) => {
                tracing::error!(
                    error = error.loggable(),
                    "the check of the endpoint failed; no message succeeds until this is fixed"
                );
            }
            Ok(()) => {}
        }
        self.is_checked.store(true, Ordering::Relaxed);
    }

    fn log_lateness(&self, queue: &str, results: &[Result<Outcome, NotFinished>]) {
        let stopped = results.iter().filter(|result| matches!(result, Err(NotFinished::Stopped))).count();
        let (messages, margin_ms) = (results.len(), self.settings.margin_ms);
        if stopped == 0 {
            return;
        }
        if stopped == messages {
            tracing::error!(
                queue,
                messages,
                margin_ms,
                "no message was finished in time; if this repeats, raise the function's timeout or lower `margin_ms`"
            );
        } else {
            tracing::warn!(
                queue,
                messages,
                stopped,
                "the time was up; messages that were not finished are received again"
            );
        }
    }
}

fn log(queue: &str, result: &Result<Outcome, NotFinished>, delivery: &Delivery) {
    // The span of the message has the id from its sender. This is the id from SQS.
    let (receive_count, sqs_message_id) = (delivery.receive_count, &*delivery.id);
    match result {
        Err(NotFinished::Failed(error)) if error.kind() == ErrorKind::FixConfiguration => {
            let error = error.loggable();
            tracing::error!(
                queue,
                error,
                receive_count,
                sqs_message_id,
                "message not finished; no try can succeed until this is fixed"
            );
        }
        Err(NotFinished::Failed(error)) => {
            tracing::warn!(queue, error = error.loggable(), receive_count, sqs_message_id, "message not finished");
        }
        Ok(_) | Err(NotFinished::Behind | NotFinished::Stopped | NotFinished::Crowded | NotFinished::Deferred(_)) => {}
    }
}
