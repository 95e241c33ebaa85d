//! Messages of producers that are no handlers: a web server, a timer, a script.

use std::{collections::BTreeMap, fmt, sync::Arc, time::Duration};

use serde_json::Value;

use crate::{
    engine::{
        context::{Context, Parking},
        dispatch::send_all,
        settings::EndpointSettings,
    },
    error::{Error, PortError},
    format::{
        derived_id::derived_id,
        envelope::Envelope,
        name::{MessageId, Partition},
    },
    handler::message::Message,
    observe::observer::Unobserved,
    ports::{
        bundle::Ports,
        fifo::check_delay,
        limits::{DELAY_S_MAX, check_size},
        queue::QueueMessage,
    },
};

/// As long as an idempotency key may be. Ids of all that follows from a message carry it along.
const KEY_BYTES_MAX: usize = 256;

/// Sends messages that each count once, however often they are submitted.
///
/// The idempotency key is the message's identity, together with the producer's source and the message's type and partition: the receiver
/// processes the first message of a key, and acknowledges all others. It remembers the key for as long as its dedupe entry lives, 50 days as
/// provisioned; after that the key is a new one. Of two different bodies under one key the first that is *processed* wins; the
/// other one is taken for a duplicate, without an error to anybody. So take a key that follows from what is asked for, such as the
/// id of the order, or that the caller has made up for this request; never one for each try.
///
/// The body travels in the envelope, so it has to fit into a message of the queue. There is no transaction with anything: a
/// producer that has to change something of its own together with the message submits the message first, and changes it in the
/// handler.
///
/// Cheap to clone; all clones fill batches together. Safe to drop at any point, and then to submit the same again.
///
/// ```
/// # use cloakroom::{Message, Partition, memory::Memory};
/// use cloakroom::Producer;
///
/// # #[derive(serde::Serialize, serde::Deserialize)] struct PlaceOrder { id: String }
/// # impl Message for PlaceOrder {
/// #     const TYPE: &'static str = "orders.place";
/// #     fn partition(&self) -> Partition { Partition::new(format!("order#{}", self.id)) }
/// # }
/// # let memory = Memory::with_queues(["orders"]);
/// # let ports = memory.ports();
/// let website = Producer::new(ports, "website")?;
/// let order = PlaceOrder { id: "o-1".to_owned() };
/// # memory.run(async {
/// website.submit("orders", "o-1", &order).await?;
/// # Ok::<(), cloakroom::PortError>(())
/// # })?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Producer {
    context: Arc<Context>,
}

impl fmt::Debug for Producer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Producer").field("source", &self.context.name).finish_non_exhaustive()
    }
}

impl Producer {
    /// A producer with the default settings. Its source is part of the identity of all that it submits: two producers that
    /// make up keys of their own must not share one.
    ///
    /// # Errors
    /// See [`Producer::with_settings`].
    pub fn new(ports: Ports, source: impl Into<String>) -> Result<Self, Error> {
        Self::with_settings(ports, source, EndpointSettings::default())
    }

    /// A producer with other settings, of which `calls_max`, `backoff` and `linger_ms` count: how often a message is sent
    /// before its submitter is told of the failure, with which pauses, and how long one waits for others to share a request.
    ///
    /// # Errors
    /// Settings out of range; a source that is empty or longer than 256 bytes.
    pub fn with_settings(ports: Ports, source: impl Into<String>, settings: EndpointSettings) -> Result<Self, Error> {
        let source = source.into();
        settings.validate()?;
        ports.limits.validate()?;
        if !(1..=KEY_BYTES_MAX).contains(&source.len()) {
            let text =
                format!("the source of a producer has {} bytes; 1 to {KEY_BYTES_MAX} are possible", source.len());
            return Err(Error::misconfigured(text));
        }
        Ok(Self { context: Arc::new(Context::new(source, ports, settings, Arc::new(Unobserved), Parking::new(None))) })
    }

    /// Submits one message under an idempotency key of 1 to 256 bytes. After `Ok` the queue has it.
    ///
    /// # Errors
    /// Whether it [may have been sent](PortError::may_have_happened), and whether to try again [can
    /// help](PortError::may_be_repeated); to submit it again under the same key is always safe. A key or a body that
    /// is refused was not sent.
    pub async fn submit<M: Message>(&self, queue: &str, key: impl Into<String>, message: &M) -> Result<(), PortError> {
        let mut answers = self.submit_all(queue, vec![Submission::new(key, message)]).await;
        answers.pop().expect("one answer for each")
    }

    /// Submits any number of messages, and answers with one result for each, in order. What is wrong with one does not touch the
    /// others, but for those behind it in its group on a FIFO queue if it could not be sent.
    pub async fn submit_all(&self, queue: &str, submissions: Vec<Submission>) -> Vec<Result<(), PortError>> {
        let kinds: Vec<&str> = submissions.iter().map(|submission| submission.kind).collect();
        let mut answers = BTreeMap::new();
        let mut messages = Vec::new();
        for (number, submission) in submissions.into_iter().enumerate() {
            match self.message(queue, submission) {
                Ok(message) => messages.push((number, message)),
                Err(cause) => {
                    let error = PortError::new(what(kinds[number], queue), cause).without_effect().permanent();
                    answers.insert(number, Err(error));
                }
            }
        }
        let results = self.send(queue, &messages).await;
        for ((number, _), result) in messages.iter().zip(results) {
            answers.insert(*number, result.map_err(|error| told(kinds[*number], queue, &error)));
        }
        answers.into_values().collect()
    }

    async fn send(&self, queue: &str, messages: &[(usize, QueueMessage)]) -> Vec<Result<(), PortError>> {
        if messages.is_empty() {
            return Vec::new();
        }
        match self.context.queue(queue).await {
            Ok(queue) => send_all(&self.context, &*queue, messages, |(_, message), _| message.clone()).await,
            Err(error) => messages.iter().map(|_| Err(error.clone())).collect(),
        }
    }

    /// The message to send, or why it cannot be.
    fn message(&self, queue: &str, submission: Submission) -> Result<QueueMessage, String> {
        let Submission { key, kind, partition, data, correlation, traceparent, delay, group } = submission;
        let limits = &self.context.ports.limits;
        if !(1..=KEY_BYTES_MAX).contains(&key.len()) {
            return Err(format!("its idempotency key has {} bytes; 1 to {KEY_BYTES_MAX} are possible", key.len()));
        }
        if partition.as_str().is_empty() {
            return Err("its partition is empty".to_owned());
        }
        limits.check_transaction(partition.as_str(), []).map_err(|error| error.to_string())?;
        let delay_s = delay.as_millis().div_ceil(1000);
        let delay_s = u32::try_from(delay_s)
            .ok()
            .filter(|s| u64::from(*s) <= DELAY_S_MAX)
            .ok_or_else(|| format!("it is to be held back for {delay_s} s; at most {DELAY_S_MAX} s are possible"))?;
        check_delay("it", queue, delay_s)?;
        let envelope = Envelope {
            time: Some(self.context.ports.clock.now().to_string()),
            datacontenttype: Some("application/json".to_owned()),
            data: Some(data?),
            correlationid: correlation,
            traceparent,
            ..Envelope::new(MessageId::new(key), &*self.context.name, kind, partition)
        };
        let message = QueueMessage {
            body: envelope.encode(),
            delay_s,
            group: Some(group.unwrap_or_else(|| envelope.partition.to_string())),
            // By identity: another producer may have the same key for another message.
            deduplication: Some(derived_id(&[queue, envelope.identity().as_str()]).to_string()),
            ..QueueMessage::default()
        };
        check_size(limits, "it", &message)
            .map_err(|error| format!("{error}: keep what is large elsewhere, and submit where it is"))?;
        Ok(message)
    }
}

fn what(kind: &str, queue: &str) -> String {
    format!("submitting a `{kind}` to queue `{queue}`")
}

/// What became of a message that may have left.
fn told(kind: &str, queue: &str, error: &PortError) -> PortError {
    let cause = error.cause();
    let told = PortError::new(what(kind, queue), format!("{cause}; to submit it again under the same key is safe"));
    let told = if error.may_have_happened() { told } else { told.without_effect() };
    if error.may_be_repeated() { told } else { told.permanent() }
}

/// A message to be submitted, with what is said about it besides; see [`Producer::submit_all`].
///
/// ```
/// # use cloakroom::{Message, Partition};
/// # #[derive(serde::Serialize, serde::Deserialize)] struct Remind { user: String }
/// # impl Message for Remind {
/// #     const TYPE: &'static str = "user.remind";
/// #     fn partition(&self) -> Partition { Partition::new(format!("user#{}", self.user)) }
/// # }
/// use cloakroom::Submission;
/// use std::time::Duration;
///
/// let remind = Remind { user: "ann".to_owned() };
/// let later = Submission::new("remind-ann-2027-01-01", &remind).delay(Duration::from_secs(600)).correlation("visit-7");
/// ```
#[derive(Clone, Debug)]
#[must_use = "it is sent by a producer"]
pub struct Submission {
    key: String,
    kind: &'static str,
    partition: Partition,
    data: Result<Value, String>,
    correlation: Option<String>,
    traceparent: Option<String>,
    delay: Duration,
    group: Option<String>,
}

impl Submission {
    /// A message under its idempotency key. If it cannot be written as JSON, that is told when it is submitted.
    pub fn new<M: Message>(key: impl Into<String>, message: &M) -> Self {
        let data = serde_json::to_value(message).map_err(|error| format!("it cannot be written as JSON: {error}"));
        Self {
            key: key.into(),
            kind: M::TYPE,
            partition: message.partition(),
            data,
            correlation: None,
            traceparent: None,
            delay: Duration::ZERO,
            group: None,
        }
    }

    /// What this message and all it causes share. Default: its key.
    pub fn correlation(self, id: impl Into<String>) -> Self {
        Self { correlation: Some(id.into()), ..self }
    }

    /// The W3C trace context that the message belongs to.
    pub fn traceparent(self, traceparent: impl Into<String>) -> Self {
        Self { traceparent: Some(traceparent.into()), ..self }
    }

    /// Holds it back for up to 15 minutes, rounded up to whole seconds. FIFO queues cannot.
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// The message group: what is in order on a FIFO queue. Default: the message's partition.
    pub fn group(self, group: impl Into<String>) -> Self {
        Self { group: Some(group.into()), ..self }
    }
}
