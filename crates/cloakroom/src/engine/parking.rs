//! Parking: a message that cannot be processed is sent to the dead-letter queue with the reason.
//!
//! Its payload stays in the payload store, so the message can be put back later. A foreign message
//! is parked as the envelope that was made for it, if one could be made.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    engine::{
        context::{Context, Parking},
        intake,
    },
    error::{Error, PortError},
    format::envelope::Envelope,
    ports::{
        fifo::is_fifo,
        limits::{DELAY_S_MAX, Limits},
        queue::{Delivery, Queue, QueueMessage},
    },
    protocol::step::Outcome,
};

/// Message attribute: the reason why the message was parked.
pub const REASON: &str = "cloakroom-reason";
/// Message attribute: the endpoint that parked the message.
pub const ENDPOINT: &str = "cloakroom-endpoint";
/// Message attribute: attributes of the sender that would exceed the limit of SQS, ten attributes,
/// together with Cloakroom's own. They are the last ones in the order of their names, as a JSON
/// object of strings. [`put_back`] restores them as attributes.
pub const ATTRIBUTES: &str = "cloakroom-attributes";
/// The prefix of the names of Cloakroom's own message attributes.
const OWN: &str = "cloakroom-";

/// Returns the name of the dead-letter queue of a queue: `orders-dead` for `orders`, and
/// `orders-dead.fifo` for `orders.fifo`.
///
/// ```
/// assert_eq!(cloakroom::engine::parking::dead_letter_queue("orders.fifo"), "orders-dead.fifo");
/// ```
pub fn dead_letter_queue(queue: &str) -> String {
    match queue.strip_suffix(".fifo") {
        Some(name) => format!("{name}-dead.fifo"),
        None => format!("{queue}-dead"),
    }
}

/// Returns the message to send when a dead-letter message is put back. It is the same logical
/// message, without the reason. For tools without an endpoint.
///
/// SUBTLE: SQS itself may have moved a plain message to the dead-letter queue. The identity of a
/// plain message is its id on the queue, and a message that is sent again gets another id.
/// Therefore the message carries its old id as an attribute
/// (`redriven_dead_letter_is_the_same_message`).
///
/// ```
/// use cloakroom::{Delivery, engine::{intake, parking}};
///
/// let dead = Delivery { id: "7c19-4d".to_owned(), body: r#"{"file":"a"}"#.to_owned(), ..Delivery::default() };
/// assert_eq!(parking::put_back(&dead).attributes[intake::ID], "7c19-4d");
/// ```
///
/// A message with a claim is marked as dispatched again. A copy of it may have been processed in
/// the meantime, so its payload may legitimately be missing.
pub fn put_back(delivery: &Delivery) -> QueueMessage {
    put_back_within(delivery, Limits::default().message_attributes_max)
}

fn put_back_within(delivery: &Delivery, attributes_max: usize) -> QueueMessage {
    let mut message = without_reason(delivery);
    if let Ok(envelope) = Envelope::decode(&message.body)
        && envelope.dataref.is_some()
    {
        message.body = Envelope { redispatch: true, ..envelope }.encode();
    }
    packed(message, attributes_max)
}

/// Returns the same logical message as it was before it was parked.
fn without_reason(delivery: &Delivery) -> QueueMessage {
    let Delivery { id, body, attributes, group, .. } = delivery.clone();
    let mut message = QueueMessage { body, attributes, group, ..QueueMessage::default() };
    unpack(&mut message.attributes);
    message.attributes.remove(REASON);
    message.attributes.remove(ENDPOINT);
    if !id.is_empty() && !intake::is_event(&message.body) {
        message.attributes.entry(intake::ID.to_owned()).or_insert(id);
    }
    message
}

/// Packs attributes of the sender into one attribute if there are more than the queue takes.
fn packed(mut message: QueueMessage, attributes_max: usize) -> QueueMessage {
    let attributes = &mut message.attributes;
    if attributes.len() <= attributes_max {
        return message;
    }
    let excess = attributes.len() + 1 - attributes_max;
    let foreign = attributes.keys().rev().filter(|name| !name.starts_with(OWN)).take(excess);
    let foreign: Vec<String> = foreign.cloned().collect();
    let taken: BTreeMap<String, String> = foreign.iter().filter_map(|name| attributes.remove_entry(name)).collect();
    let text = serde_json::to_string(&taken).expect("a map of strings can always be written as JSON");
    attributes.insert(ATTRIBUTES.to_owned(), text);
    message
}

/// Reverses [`packed`]. An attribute of that name in another format stays as it is.
fn unpack(attributes: &mut BTreeMap<String, String>) {
    let packed =
        attributes.get(ATTRIBUTES).and_then(|text| serde_json::from_str::<BTreeMap<String, String>>(text).ok());
    let Some(packed) = packed else { return };
    attributes.remove(ATTRIBUTES);
    for (name, text) in packed {
        attributes.entry(name).or_insert(text);
    }
}

const REASON_BYTES_MAX: usize = 1024;

impl Parking {
    /// Returns the queue for parked messages of the queue `source`. `None` if the endpoint names no
    /// dead-letter queue and `source` is not known.
    ///
    /// # Errors
    /// One of the two queues is a FIFO queue and the other is not.
    pub(crate) fn known_queue(&self, endpoint: &Context, source: Option<&str>) -> Result<Option<String>, Error> {
        let is_known = self.queue.is_some() || source.is_some();
        is_known.then(|| self.queue(endpoint, source)).transpose()
    }

    /// Returns the queue for parked messages of the queue `source`. If the endpoint names none and
    /// `source` is not known, it is that of a queue with the endpoint's name.
    ///
    /// # Errors
    /// One of the two queues is a FIFO queue and the other is not.
    fn queue(&self, endpoint: &Context, source: Option<&str>) -> Result<String, Error> {
        let default = || dead_letter_queue(source.unwrap_or(&endpoint.name));
        let queue = self.queue.clone().unwrap_or_else(default);
        let Some(source) = source.filter(|source| is_fifo(source) != is_fifo(&queue)) else { return Ok(queue) };
        let fitting = dead_letter_queue(source);
        Err(Error::misconfigured(format!(
            "messages of queue `{source}` cannot be parked in queue `{queue}`: only one of the two is a FIFO queue, so the messages \
             would lose their group or lack one. Set a queue such as `{fitting}` with `dead_letters`"
        )))
    }

    /// Sends the decoded message to the dead-letter queue, with the reason if it fits.
    ///
    /// A message that this process could not decode keeps its identity, too. Another version of the
    /// service, which knows its type, may have decoded it.
    pub(crate) async fn park(
        &self,
        endpoint: &Context,
        delivery: &Delivery,
        source: Option<&str>,
        reason: &str,
    ) -> Result<(), Error> {
        let queue = self.queue(endpoint, source)?;
        let opened = endpoint.queue(&queue).await?;
        let (message, included) = self.dead_letter_message(endpoint, delivery, reason);
        endpoint.call(|| send_one(&*opened, message.clone())).await?;
        // The log does not contain the reason, because the reason may quote the message.
        tracing::warn!(endpoint = &*endpoint.name, queue, "message parked; {}", included.text());
        Ok(())
    }

    /// Returns the message for the dead-letter queue with as many of the two attributes as its
    /// queue takes.
    fn dead_letter_message(&self, endpoint: &Context, delivery: &Delivery, reason: &str) -> (QueueMessage, Included) {
        let limits = &endpoint.ports.limits;
        let message = with_new_deduplication_id(endpoint, without_reason(delivery));
        let endpoint_name = self.names_endpoint.then(|| (ENDPOINT, endpoint.name.to_string()));
        let reason = Some((REASON, printable(reason)));
        let notes = [
            (Included::Reason, reason, endpoint_name.clone()),
            (Included::Endpoint, None, endpoint_name),
            (Included::Nothing, None, None),
        ];
        let with = |(included, reason, endpoint_name): (Included, Note, Note)| {
            let mut noted = message.clone();
            let notes = reason.into_iter().chain(endpoint_name);
            noted.attributes.extend(notes.map(|(name, text)| (name.to_owned(), text)));
            (packed(noted, limits.message_attributes_max), included)
        };
        let fits = |(message, _): &(QueueMessage, Included)| limits.check_message("a parked message", message).is_ok();
        notes.into_iter().map(with).find(fits).unwrap_or_else(|| {
            let attributes = delivery.attributes.clone();
            (QueueMessage { attributes, ..message.clone() }, Included::Nothing)
        })
    }
}

impl Context {
    /// Parks a message.
    pub(crate) async fn park(&self, delivery: &Delivery, source: Option<&str>, reason: &str) -> Result<Outcome, Error> {
        self.parking.park(self, delivery, source, reason).await?;
        Ok(Outcome::Parked)
    }
}

/// An attribute of a dead-letter message. `None` if it is left out.
type Note = Option<(&'static str, String)>;

/// The attributes that a dead-letter message includes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Included {
    /// The reason and, unless an operator parked the message, the endpoint.
    Reason,
    /// Only the endpoint.
    Endpoint,
    Nothing,
}

impl Included {
    const fn text(self) -> &'static str {
        match self {
            Self::Reason => "its attribute `cloakroom-reason` says why",
            Self::Endpoint => "it is so large that it has no room for the reason",
            Self::Nothing => "it is so large that it has no room for the reason and the name of the endpoint",
        }
    }
}

/// Sends a dead-letter message back to a queue.
pub(crate) async fn send_back(endpoint: &Context, delivery: &Delivery, queue: &str) -> Result<(), Error> {
    send_later(endpoint, delivery, queue, Duration::ZERO).await
}

/// Returns the number of receives after which a worker replaces a message by a copy. It applies to
/// a message that goes back to its queue without a failure of its own, at an endpoint with this
/// `attempts_max`. The `maxReceiveCount` of a queue must be greater.
///
/// ```
/// assert_eq!([1, 8].map(cloakroom::engine::parking::receives_before_copy), [4, 8]);
/// ```
pub const fn receives_before_copy(attempts_max: u32) -> u32 {
    const LEAST: u32 = 4;
    if attempts_max < LEAST { LEAST } else { attempts_max }
}

/// Returns whether a delivery with this receive count that is not finished is replaced by a copy,
/// whose receive count starts again. That is the case only once in several receives, so a delivery
/// that cannot be deleted does not leave a copy at each of them.
pub(crate) const fn is_due_for_copy(receive_count: u32, attempts_max: u32) -> bool {
    receive_count > 0 && receive_count.is_multiple_of(receives_before_copy(attempts_max))
}

/// Sends the same logical message to a queue, with a delay of at most 15 minutes. The caller
/// acknowledges the delivery afterwards.
///
/// SUBTLE: the copy is sent before the delivery is acknowledged. A worker that stops in between
/// leaves two copies, and one of them is found to be a duplicate, since both have the same
/// identity. In the other order the message would be lost.
pub(crate) async fn send_later(
    endpoint: &Context,
    delivery: &Delivery,
    queue: &str,
    delay: Duration,
) -> Result<(), Error> {
    let queue = endpoint.queue(queue).await?;
    let delay_s = delay.as_millis().div_ceil(1_000).min(DELAY_S_MAX.into());
    let delay_s = u32::try_from(delay_s).unwrap_or_default();
    let message = put_back_within(delivery, endpoint.ports.limits.message_attributes_max);
    let message = QueueMessage { delay_s, ..with_new_deduplication_id(endpoint, message) };
    // SUBTLE: the send is not retried if its outcome is unknown. The delivery comes again anyway,
    // and each send that took effect would leave another copy, which would multiply in the same way
    // (`deferred_copy_whose_send_has_an_unknown_outcome_is_sent_once`).
    endpoint.call_until_unknown(|| send_one(&*queue, message.clone())).await?;
    Ok(())
}

/// Gives the message a new deduplication id if it has a group. A message may be parked and put back
/// more than once, and a FIFO queue must accept it each time.
fn with_new_deduplication_id(endpoint: &Context, message: QueueMessage) -> QueueMessage {
    let deduplication = message.group.is_some().then(|| format!("{:032x}", endpoint.ports.random.bits()));
    QueueMessage { deduplication, ..message }
}

async fn send_one(queue: &dyn Queue, message: QueueMessage) -> Result<(), PortError> {
    let no_result = || {
        PortError::new(format!("send to queue `{}`", queue.name()), "the queue returned no result for the message")
            .public()
    };
    queue.send(vec![message]).await.pop().unwrap_or_else(|| Err(no_result()))
}

/// Returns the reason without characters that SQS refuses, at most [`REASON_BYTES_MAX`] bytes long.
fn printable(reason: &str) -> String {
    let clean = reason.chars().map(|c| if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') { ' ' } else { c });
    let mut text = String::new();
    for c in clean {
        if text.len() + c.len_utf8() > REASON_BYTES_MAX {
            break;
        }
        text.push(c);
    }
    // SQS accepts no empty attribute.
    if text.trim().is_empty() { "no reason was given".to_owned() } else { text }
}
