//! Messages from outside of handlers: from a web server, a timer or a script.

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

/// The maximum length of an idempotency key in bytes. By default, all messages that follow from a
/// message carry its key as their correlation id.
const KEY_BYTES_MAX: usize = 256;

/// Submits messages, each of which takes effect once, even if it is submitted several times.
///
/// The idempotency key is the message's identity, together with the producer's source and the
/// message's type and partition. The receiver processes the first message of an identity, and
/// acknowledges the others. It recognises the key until its dedupe entry expires: 50 days as
/// provisioned. After that, the key is a new one.
///
/// If two different bodies have the same key, the one that is *processed* first takes effect. The
/// other one is treated as a duplicate, without an error. Use a key that follows from the request,
/// such as the id of the order or an id that the caller chose for the request. Do not use a new key
/// for each try.
///
/// The body is part of the envelope, so it must fit into a message of the queue. A submission is
/// not part of any transaction. A producer that must change its own data together with the message
/// submits the message first, and makes the change in the handler.
///
/// A producer is cheap to clone, and all clones share batches. It is safe to drop a submission at
/// any point and to submit the same message again.
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
    /// Creates a producer with the default settings. The source is part of the identity of all its
    /// messages. Two producers that choose keys independently must have different sources.
    ///
    /// # Errors
    /// See [`Producer::with_settings`].
    pub fn new(ports: Ports, source: impl Into<String>) -> Result<Self, Error> {
        Self::with_settings(ports, source, EndpointSettings::default())
    }

    /// Creates a producer with other settings. The relevant ones are `calls_max` and `backoff`, for
    /// the retries of a message, and `linger_ms`, the time to wait for other messages of a batch.
    ///
    /// # Errors
    /// A setting is out of range. The source is empty or longer than 256 bytes.
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

    /// Submits one message under an idempotency key of 1 to 256 bytes. After `Ok` the queue has the
    /// message.
    ///
    /// # Errors
    /// The message was not accepted by the queue, as far as is known. The error shows whether it
    /// [may have been sent](PortError::may_have_happened), and whether a retry
    /// [can help](PortError::may_be_repeated). It is always safe to submit it again under the same
    /// key. If the key or the body is invalid, nothing was sent.
    pub async fn submit<M: Message>(&self, queue: &str, key: impl Into<String>, message: &M) -> Result<(), PortError> {
        let mut results = self.submit_all(queue, vec![Submission::new(key, message)]).await;
        results.pop().expect("one result for each submission")
    }

    /// Submits any number of messages. Returns one result for each, in order. A failure of one
    /// message does not affect the others. On a FIFO queue it also fails the messages after it in
    /// its group, if it could not be sent.
    pub async fn submit_all(&self, queue: &str, submissions: Vec<Submission>) -> Vec<Result<(), PortError>> {
        let kinds: Vec<&str> = submissions.iter().map(|submission| submission.kind).collect();
        let mut results = BTreeMap::new();
        let mut messages = Vec::new();
        for (number, submission) in submissions.into_iter().enumerate() {
            match self.message(queue, submission) {
                Ok(message) => messages.push((number, message)),
                Err(cause) => {
                    let error = PortError::new(what(kinds[number], queue), cause).without_effect().permanent();
                    results.insert(number, Err(error));
                }
            }
        }
        let sent = self.send(queue, &messages).await;
        for ((number, _), result) in messages.iter().zip(sent) {
            results.insert(*number, result.map_err(|error| with_advice(kinds[*number], queue, &error)));
        }
        results.into_values().collect()
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

    /// Returns the message to send, or the reason why it cannot be sent.
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
            .ok_or_else(|| format!("its delay is {delay_s} s; at most {DELAY_S_MAX} s are possible"))?;
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
            // By identity: another producer may use the same key for another message.
            deduplication: Some(derived_id(&[queue, envelope.identity().as_str()]).to_string()),
            ..QueueMessage::default()
        };
        check_size(limits, "it", &message)
            .map_err(|error| format!("{error}. Store large data elsewhere, and submit a reference to it"))?;
        Ok(message)
    }
}

fn what(kind: &str, queue: &str) -> String {
    format!("submitting a `{kind}` to queue `{queue}`")
}

/// Returns the error of a message that may have been sent, with advice for the submitter.
fn with_advice(kind: &str, queue: &str, error: &PortError) -> PortError {
    let cause = error.cause();
    let text = format!("{cause}; submitting it again under the same key is safe");
    let advised = PortError::new(what(kind, queue), text);
    let advised = if error.may_have_happened() { advised } else { advised.without_effect() };
    if error.may_be_repeated() { advised } else { advised.permanent() }
}

/// A message to submit, with its options. See [`Producer::submit_all`].
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
#[must_use = "a producer sends it"]
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
    /// Creates a submission of a message under an idempotency key. If the message cannot be written
    /// as JSON, the submission fails.
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

    /// Sets the correlation id, which all messages that follow from this one share. Default: the
    /// idempotency key.
    pub fn correlation(self, id: impl Into<String>) -> Self {
        Self { correlation: Some(id.into()), ..self }
    }

    /// Sets the W3C trace context of the message.
    pub fn traceparent(self, traceparent: impl Into<String>) -> Self {
        Self { traceparent: Some(traceparent.into()), ..self }
    }

    /// Sets a delay of at most 15 minutes, rounded up to whole seconds. FIFO queues do not support
    /// it.
    pub fn delay(self, delay: Duration) -> Self {
        Self { delay, ..self }
    }

    /// Sets the message group. A FIFO queue keeps the messages of a group in order. Default: the
    /// partition of the message.
    pub fn group(self, group: impl Into<String>) -> Self {
        Self { group: Some(group.into()), ..self }
    }
}
