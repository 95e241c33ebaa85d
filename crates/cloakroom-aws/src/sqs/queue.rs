//! Queues of SQS.

mod send;

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use aws_sdk_sqs::{
    Client, Config,
    types::{ChangeMessageVisibilityBatchRequestEntry, DeleteMessageBatchRequestEntry, MessageSystemAttributeName},
};
use aws_smithy_types::timeout::TimeoutConfig;
use cloakroom::{
    Delivery, PortError,
    ports::{Limits, Queue, QueueMessage, Queues, Random as _, SystemRandom, fifo},
};
use futures::{StreamExt as _, stream};

use crate::{
    client::{failure::Operation, unretried},
    settings::{QueueSettings, SettingsError},
    sqs::{
        batch::{self, Answer, BatchResult, Numbered},
        message::{Flavour, incoming},
    },
};

const OPEN: Operation = Operation::read("GetQueueUrl", "sqs:GetQueueUrl");
const RECEIVE: Operation = Operation::once("ReceiveMessage", "sqs:ReceiveMessage");
const DELETE: Operation = Operation::repeatedly("DeleteMessageBatch", "sqs:DeleteMessage");
const EXTEND: Operation = Operation::repeatedly("ChangeMessageVisibilityBatch", "sqs:ChangeMessageVisibility");

/// The most requests of one call at the same time.
const REQUESTS_MAX: usize = 4;
/// The longest wait of a long poll, in seconds.
const WAIT_S_MAX: u64 = 20;
/// The longest visibility timeout, in seconds: 12 hours.
const VISIBILITY_S_MAX: u64 = 43_200;
/// By how much a client timeout exceeds the wait of a long poll at most, unless it is set to a
/// longer time.
const POLL_MARGIN: Duration = Duration::from_secs(10);

/// The queues of one account and region, by name. Each URL is requested once.
///
/// ```no_run
/// # async fn example(client: aws_sdk_sqs::Client) -> Result<(), Box<dyn std::error::Error>> {
/// use cloakroom::ports::Queues as _;
///
/// let queues = cloakroom_aws::SqsQueues::new(client, Default::default())?;
/// let stock = queues.open("stock").await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SqsQueues {
    client: Client,
    settings: QueueSettings,
    limits: Limits,
    open: Mutex<HashMap<String, Arc<SqsQueue>>>,
}

impl SqsQueues {
    /// Creates the queues of this client's account and region.
    ///
    /// # Errors
    /// A setting that SQS would refuse.
    pub fn new(client: Client, settings: QueueSettings) -> Result<Self, SettingsError> {
        settings.validate()?;
        Ok(Self { client, settings, limits: Limits::default(), open: Mutex::default() })
    }

    /// Sets the limits. Queues that are open already keep theirs.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }
}

#[async_trait]
impl Queues for SqsQueues {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        let known = self.open.lock().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        if let Some(queue) = known {
            return Ok(queue);
        }
        let queue = Arc::new(SqsQueue::open(self.client.clone(), name, &self.settings).await?.with_limits(self.limits));
        self.open.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), Arc::clone(&queue));
        Ok(queue)
    }
}

/// A queue of SQS, standard or FIFO (`….fifo`).
///
/// - Sends are split into batches of at most ten messages and [`Limits::message_bytes_max`]. Each
///   batch is sent **once**, without the client's retries: the engine marks a message that it sends
///   again, which the SDK cannot do. A long poll is sent once, too. All other calls follow the
///   client's retries.
/// - On FIFO queues, batches are sent one after the other. After a failure the remaining ones are
///   not sent, so that messages of a group keep their order across batches. FIFO queues do not
///   support a delay per message: it is ignored with a warning.
/// - The deduplication id is sent only to FIFO queues. The group is sent to FIFO queues and to fair
///   standard queues ([`QueueSettings::fair`]). SQS accepts at most 128 printable ASCII characters.
///   Other values are replaced by an id that is derived from them.
/// - Number and binary attributes keep their type when they are received and sent again. Their text
///   has a marker.
/// - Waits and visibility timeouts are rounded up to whole seconds. If a timeout of the client
///   would end a long poll, or would end less than ten seconds after it, the timeout is raised for
///   that call by the wait.
#[derive(Clone, Debug)]
pub struct SqsQueue {
    client: Client,
    /// SUBTLE: a batch is sent once. A copy that the SDK sends would not be marked as dispatched
    /// again. Its payload may legitimately be gone when it is received, and would be reported as
    /// lost (`failed_batch_of_messages_is_not_retried_by_the_sdk`).
    ///
    /// SUBTLE: a receive is sent once. A retry would be dropped in the middle of its long poll.
    /// Messages that SQS delivers to it would stay invisible until their visibility timeout ends
    /// (`failed_long_poll_is_not_retried_by_the_sdk`).
    unretried: Client,
    name: String,
    target: String,
    url: String,
    flavour: Flavour,
    limits: Limits,
    /// The attempt ids of receives from a FIFO queue that got no answer.
    unanswered_attempts: Arc<Mutex<Vec<String>>>,
}

impl SqsQueue {
    /// Opens the existing queue with this name.
    ///
    /// # Errors
    /// If there is no such queue, the error names it and says how to create it.
    pub async fn open(client: Client, name: &str, settings: &QueueSettings) -> Result<Self, PortError> {
        let full_name = settings.full_name(name);
        let target = target(&full_name);
        let found = client.get_queue_url().queue_name(&full_name).send().await;
        let url = found.map_err(|error| OPEN.failed(&target, error))?.queue_url;
        let silent = || PortError::new(OPEN.on(&target), "the response has no URL").without_effect().public();
        Ok(Self::at(client, name, settings, url.ok_or_else(silent)?))
    }

    /// The queue at this URL.
    pub(crate) fn at(client: Client, name: &str, settings: &QueueSettings, url: String) -> Self {
        Self {
            unretried: unretried::sqs(&client),
            client,
            name: name.to_owned(),
            url,
            flavour: Flavour::of(name, settings.fair),
            target: target(&settings.full_name(name)),
            limits: Limits::default(),
            unanswered_attempts: Arc::default(),
        }
    }

    /// Sets the limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Returns the queue's URL.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the attempt id of a receive from a FIFO queue: that of a receive without an answer
    /// if there is one, or a new id. To the same id SQS returns the messages of the first receive
    /// again. Without it those messages would block their groups until their visibility timeout
    /// ends. The SDK creates no such id, and standard queues refuse it.
    fn attempt_id(&self) -> Option<String> {
        let new = || format!("{:032x}", SystemRandom.bits());
        (self.flavour == Flavour::Fifo).then(|| self.unanswered_attempts().pop().unwrap_or_else(new))
    }

    fn unanswered_attempts(&self) -> MutexGuard<'_, Vec<String>> {
        self.unanswered_attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn delete_batch(&self, batch: Vec<Numbered<String>>) -> Vec<Answer> {
        let (numbers, receipts) = apart(batch);
        let entry = |(number, receipt): (&usize, String)| {
            let entry = DeleteMessageBatchRequestEntry::builder().id(number.to_string()).receipt_handle(receipt);
            entry.build().expect("id and receipt are set")
        };
        let entries = numbers.iter().zip(receipts).map(entry).collect();
        let request = self.client.delete_message_batch().queue_url(&self.url).set_entries(Some(entries));
        // If the message is already gone, SQS answers a delete with success. Only a receipt handle
        // that SQS never issued, or that a FIFO queue has replaced, is an error.
        let result = request.send().await.map(|output| {
            let done = output.successful.into_iter().map(|entry| entry.id).collect();
            BatchResult { done, failed: output.failed }
        });
        batch::answers(&DELETE, &self.target, numbers, result.map_err(|error| DELETE.failed(&self.target, error)))
    }

    async fn extend_batch(&self, batch: Vec<Numbered<String>>, visibility_s: i32) -> Vec<Answer> {
        let (numbers, receipts) = apart(batch);
        let entry = |(number, receipt): (&usize, String)| {
            let entry = ChangeMessageVisibilityBatchRequestEntry::builder().id(number.to_string());
            let entry = entry.receipt_handle(receipt).visibility_timeout(visibility_s);
            entry.build().expect("id and receipt are set")
        };
        let entries = numbers.iter().zip(receipts).map(entry).collect();
        let request = self.client.change_message_visibility_batch().queue_url(&self.url).set_entries(Some(entries));
        let result = request.send().await.map(|output| {
            let done = output.successful.into_iter().map(|entry| entry.id).collect();
            BatchResult { done, failed: output.failed }
        });
        batch::answers(&EXTEND, &self.target, numbers, result.map_err(|error| EXTEND.failed(&self.target, error)))
    }
}

pub(crate) fn target(queue: &str) -> String {
    format!("queue `{queue}`")
}

fn apart<T>(batch: Vec<Numbered<T>>) -> (Vec<usize>, Vec<T>) {
    batch.into_iter().map(|Numbered { number, entry, .. }| (number, entry)).unzip()
}

/// Splits receipt handles into batches. Their sizes do not matter: ten of them are far below any
/// limit.
fn receipts_in_batches(receipts: Vec<String>) -> Vec<Vec<Numbered<String>>> {
    let numbered = receipts.into_iter().enumerate().map(|(number, entry)| Numbered { number, bytes: 0, entry });
    batch::split(numbered.collect(), usize::MAX)
}

async fn all<T, F>(mut batches: Vec<T>, call: impl Fn(T) -> F) -> Vec<Answer>
where
    F: Future<Output = Vec<Answer>>,
{
    // The common case: a single batch.
    if batches.len() == 1
        && let Some(only) = batches.pop()
    {
        return call(only).await;
    }
    let answers: Vec<_> = stream::iter(batches.into_iter().map(call)).buffered(REQUESTS_MAX).collect().await;
    answers.into_iter().flatten().collect()
}

/// Whole seconds, rounded up, at most `max`.
fn whole_seconds(duration: Duration, max: u64) -> i32 {
    let seconds = duration.as_secs().saturating_add(u64::from(duration.subsec_nanos() > 0));
    i32::try_from(seconds.min(max)).unwrap_or(i32::MAX)
}

/// The timeouts for a long poll: raised by the wait, unless they are long enough already.
fn long_poll_timeouts(timeouts: Option<&TimeoutConfig>, wait_s: i32) -> TimeoutConfig {
    let wait = Duration::from_secs(u64::try_from(wait_s).unwrap_or(0));
    let raised = |timeout: Option<Duration>| {
        let too_short = timeout.filter(|timeout| *timeout < wait + POLL_MARGIN);
        too_short.map(|timeout| wait + timeout.min(POLL_MARGIN))
    };
    let mut raised_timeouts = TimeoutConfig::builder();
    if let Some(timeouts) = timeouts {
        raised_timeouts
            .set_read_timeout(raised(timeouts.read_timeout()))
            .set_operation_attempt_timeout(raised(timeouts.operation_attempt_timeout()))
            .set_operation_timeout(raised(timeouts.operation_timeout()));
    }
    raised_timeouts.build()
}

#[async_trait]
impl Queue for SqsQueue {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        match self.flavour {
            Flavour::Fifo => fifo::in_turn(&self.name, messages, |round| self.send_at_once(round)).await,
            Flavour::Standard | Flavour::Fair => self.send_at_once(messages).await,
        }
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        if max == 0 {
            return Ok(Vec::new());
        }
        let wait_s = whole_seconds(wait, WAIT_S_MAX);
        let timeouts = long_poll_timeouts(self.client.config().timeout_config(), wait_s);
        let attempt_id = self.attempt_id();
        let request = self.unretried.receive_message().queue_url(&self.url).wait_time_seconds(wait_s);
        let request = request
            .max_number_of_messages(i32::try_from(max.min(batch::ENTRIES_MAX)).unwrap_or(1))
            .visibility_timeout(whole_seconds(visibility, VISIBILITY_S_MAX))
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::MessageGroupId)
            .message_attribute_names("All")
            .set_receive_request_attempt_id(attempt_id.clone())
            .customize();
        let request = match timeouts.has_timeouts() {
            true => request.config_override(Config::builder().timeout_config(timeouts)),
            false => request,
        };
        let output = request.send().await.map_err(|error| {
            self.unanswered_attempts().extend(attempt_id);
            RECEIVE.failed(&self.target, error)
        })?;
        Ok(output.messages.unwrap_or_default().into_iter().filter_map(incoming).collect())
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        batch::in_order(all(receipts_in_batches(receipts), |batch| self.delete_batch(batch)).await)
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        let visibility_s = whole_seconds(visibility, VISIBILITY_S_MAX);
        batch::in_order(all(receipts_in_batches(receipts), |batch| self.extend_batch(batch, visibility_s)).await)
    }
}

#[cfg(test)]
mod tests;
