//! Endpoints as Lambda functions that an SQS queue triggers. With the feature `lambda`.
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
//! - `ReportBatchItemFailures` **must be on** (`FunctionResponseTypes` of the event source mapping). Without it Lambda
//!   takes every answer for the success of the whole batch, and deletes messages that were not finished.
//! - The visibility timeout of the queue must be at least the timeout of the function, or Lambda refuses the trigger; AWS
//!   advises six times as much. A message that was not finished is received again when it ends: the pace of retries
//!   is the queue's affair. A short timeout retries soon.
//! - `maxReceiveCount` of the queue must exceed `attempts_max` of the endpoint by far, so that a message is parked with
//!   its reason before SQS moves it away without one. When the function is throttled or an invocation crashes, receives
//!   are used up too, and on FIFO queues so are those of all messages behind one that fails.
//! - If the names of queues have a prefix in SQS, the function has to [know it](Function::queue_prefix): a deferred
//!   message is sent again only to the very queue that it came from.
//! - The function's role needs the permissions of an endpoint, and `sqs:ReceiveMessage`, `sqs:DeleteMessage` and
//!   `sqs:GetQueueAttributes` on the queue for the trigger.
//!
//! # What Lambda makes of the answer
//!
//! The function answers with the messages that were not finished, and Lambda deletes the others. An answer that names
//! none says that all are finished. One that names a message that is not in the batch fails all of it; so does
//! an error, a crash, and a timeout. Then messages that were finished are received again too: they are found to be
//! processed, which is harmless and costs a few requests.
//!
//! # Time
//!
//! Work stops [`FunctionSettings::margin_ms`] before the deadline of the invocation, so that the answer is in time. What
//! is in hand then is dropped, wherever it is, and reported as not finished. A handler that takes nine tenths of the time is
//! stopped before, and has failed. Nothing is extended: while an
//! invocation lasts, its messages are invisible, since the visibility timeout is not shorter.
//!
//! # Cold start
//!
//! A cold start asks nothing of AWS, so that it takes no longer. It logs at info what the function serves. While the first messages
//! are processed, the function [checks](Endpoint::check) beside them what the endpoint needs: table, payload stores, dead-letter queue
//! and the queues of its routes. What has to be fixed is logged as an error; no message waits for the check, and none fails
//! for it.

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

/// How a function processes a batch.
///
/// ```
/// let settings: cloakroom_aws::lambda::FunctionSettings = serde_json::from_str(r#"{ "margin_ms": 500 }"#)?;
/// assert_eq!(settings.in_flight_max, 64);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FunctionSettings {
    /// Messages processed at a time; 1 to 10,000. More is only of use if batches are larger.
    pub in_flight_max: usize,
    /// How long before the invocation's deadline work stops, in milliseconds; 100 to 60,000. The answer has to be on its way
    /// by the deadline; and a commit that is dropped half-way costs the next receiver more than one that was not begun.
    /// The timeout of the function must be longer: a good measure is this and twice what the slowest handler takes.
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

/// An endpoint as a Lambda function.
#[derive(Clone, Debug)]
#[must_use = "a function works when it is run"]
pub struct Function {
    endpoint: Endpoint,
    settings: FunctionSettings,
    /// The name of its queue, without the ending of a FIFO queue.
    queue: String,
    /// What the names of all queues begin with in SQS.
    queue_prefix: String,
    /// Whether the endpoint was checked; clones share it.
    is_checked: Arc<AtomicBool>,
}

impl Function {
    /// A function with the default settings.
    pub fn new(endpoint: Endpoint) -> Self {
        let queue = endpoint.name().to_owned();
        let settings = FunctionSettings::default();
        Self { endpoint, settings, queue, queue_prefix: String::new(), is_checked: Arc::default() }
    }

    /// The queue that invokes the function, by the name that routes use: its dead-letter queue takes parked messages,
    /// unless the endpoint names one, and messages that their handler [defers](cloakroom::HandlerError::defer) are sent there again.
    /// Default: the name of the endpoint. Whether it is a FIFO queue shows in each event.
    ///
    /// If the name of the event's queue in SQS is not this one after the [prefix](Self::queue_prefix), that is logged.
    /// A deferred message then comes again after the visibility timeout, and a parked one goes to the dead-letter queue
    /// that is named after the endpoint, unless the endpoint names one.
    pub fn queue(self, name: impl Into<String>) -> Self {
        let name = name.into();
        Self { queue: name.strip_suffix(".fifo").map_or(name.clone(), str::to_owned), ..self }
    }

    /// What the names of all queues begin with in SQS: [`QueueSettings::prefix`](crate::QueueSettings::prefix) of the
    /// endpoint's ports. Default: nothing.
    pub fn queue_prefix(self, prefix: impl Into<String>) -> Self {
        Self { queue_prefix: prefix.into(), ..self }
    }

    /// Settings other than the defaults.
    pub fn settings(self, settings: FunctionSettings) -> Self {
        Self { settings, ..self }
    }

    /// Asks Lambda for invocations and handles them, one at a time, for as long as Lambda lets it.
    ///
    /// # Errors
    /// Settings out of range; a Runtime API that cannot be reached. The process should end then: Lambda starts another.
    ///
    /// # Panics
    /// Outside of Lambda, where there are no `AWS_LAMBDA_…` variables.
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

    /// Handles one invocation, for functions with a runtime of their own. The answer names the messages that were not
    /// finished by [`FunctionSettings::margin_ms`] before the deadline.
    ///
    /// Safe to drop at any point: then nothing was answered, and everything comes again.
    pub async fn handle(&self, event: SqsEvent, deadline: Timestamp) -> SqsBatchResponse {
        // All records of an event come from one queue.
        let arn = event.records.first().and_then(|record| record.event_source_arn.clone()).unwrap_or_default();
        let queue = arn.rsplit(':').next().unwrap_or_default();
        let (ids, deliveries): (Vec<String>, Vec<Delivery>) = event.records.into_iter().map(record::delivery).unzip();
        let FunctionSettings { in_flight_max, margin_ms } = self.settings;
        let until = Timestamp::from_millis(deadline.as_millis().saturating_sub(margin_ms));
        // An event has the name in SQS, which a prefix may precede; dead letters are sent by the name that routes use.
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
        // SUBTLE: a message without an id is named by an empty one, which makes Lambda retry the whole batch. Left out, it
        // would be deleted (`a_message_that_cannot_be_named_fails_the_batch`).
        response.set_failures(not_finished);
        response
    }

    /// Whether an event's queue is the one that routes call `name`. Nothing is sent to a FIFO queue again, so the
    /// ending alone does there.
    ///
    /// SUBTLE: the names must be equal, since one queue's name may end in another's. A message that is sent to another
    /// standard queue, and deleted here, is lost to this endpoint (`deferred_message_is_sent_to_no_other_queue`).
    fn is_expected(&self, queue: &str, name: &str) -> bool {
        let expected = [&*self.queue_prefix, name].concat();
        let is_expected = is_fifo(queue) || queue == expected;
        if !is_expected && !self.is_checked.load(Ordering::Relaxed) {
            tracing::warn!(
                queue,
                expected,
                "the events come from another queue than expected, so deferred messages wait for the visibility \
                 timeout; name the queue with `Function::queue`, and its prefix with `Function::queue_prefix`"
            );
        }
        is_expected
    }

    /// Checks once what the endpoint needs. A check that the messages did not leave time for, or that met a failure that passes, is made
    /// again by the next invocation.
    async fn check(&self, queue: &str) {
        if self.is_checked.load(Ordering::Relaxed) {
            return;
        }
        match self.endpoint.check(Some(queue)).await {
            Err(error) if error.kind() == ErrorKind::AwaitService => {
                tracing::warn!(error = error.loggable(), "the check of the endpoint failed; it is repeated");
                return;
            }
            Err(error) => {
                tracing::error!(
                    error = error.loggable(),
                    "the check of the endpoint failed; no try succeeds until this is fixed"
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
                "no message was finished in time; if that goes on, raise the function's timeout, or lower `margin_ms`"
            );
        } else {
            tracing::warn!(queue, messages, stopped, "the time was up; what was not finished comes again");
        }
    }
}

fn log(queue: &str, result: &Result<Outcome, NotFinished>, delivery: &Delivery) {
    // The span of the message has its id as its sender knows it; here is the id that SQS gave it.
    let (receive_count, sqs_message_id) = (delivery.receive_count, &*delivery.id);
    match result {
        Err(NotFinished::Failed(error)) if error.kind() == ErrorKind::FixConfiguration => {
            let error = error.loggable();
            tracing::error!(
                queue,
                error,
                receive_count,
                sqs_message_id,
                "message not finished; no try can succeed until this is mended"
            );
        }
        Err(NotFinished::Failed(error)) => {
            tracing::warn!(queue, error = error.loggable(), receive_count, sqs_message_id, "message not finished");
        }
        Ok(_) | Err(NotFinished::Behind | NotFinished::Stopped | NotFinished::Crowded | NotFinished::Deferred(_)) => {}
    }
}
