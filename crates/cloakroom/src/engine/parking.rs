//! Parking: a message that cannot be processed goes to the dead-letter queue, with the reason.
//! Its payload stays where it is, so that the message can be put back. A foreign message is parked as the envelope that it was
//! turned into, if it could be.

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

/// Message attribute: why the message was parked.
pub const REASON: &str = "cloakroom-reason";
/// Message attribute: the endpoint that parked it.
pub const ENDPOINT: &str = "cloakroom-endpoint";
/// Message attribute: attributes of the sender's for which there was no room beside Cloakroom's own, since SQS takes ten. They are
/// the last ones in the order of their names, as a JSON object of texts. [`put_back`] makes attributes of them again.
pub const ATTRIBUTES: &str = "cloakroom-attributes";
/// What the names of Cloakroom's own message attributes begin with.
const OWN: &str = "cloakroom-";

/// The dead-letter queue that belongs to a queue: `orders-dead` to `orders`, and `orders-dead.fifo` to `orders.fifo`.
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

/// The message to send when a dead letter is put back: the same logical message as before, without the reason. For tools that
/// know no endpoint.
///
/// SUBTLE: a plain message that SQS moved here itself came as it was, and its identity is its id on the queue. Sent anew it has
/// another one; so it is given its old one to carry (`a_dead_letter_that_is_put_back_is_the_same_message`).
///
/// ```
/// use cloakroom::{Delivery, engine::{intake, parking}};
///
/// let dead = Delivery { id: "7c19-4d".to_owned(), body: r#"{"file":"a"}"#.to_owned(), ..Delivery::default() };
/// assert_eq!(parking::put_back(&dead).attributes[intake::ID], "7c19-4d");
/// ```
///
/// A message with a claim is marked as dispatched anew: it may have a twin by now, whose payload is missing by rights.
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

/// The same logical message, as it was before it was parked.
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

/// Packs attributes of the sender's into one if there are more than the queue takes.
fn packed(mut message: QueueMessage, attributes_max: usize) -> QueueMessage {
    let attributes = &mut message.attributes;
    if attributes.len() <= attributes_max {
        return message;
    }
    let excess = attributes.len() + 1 - attributes_max;
    let foreign = attributes.keys().rev().filter(|name| !name.starts_with(OWN)).take(excess);
    let foreign: Vec<String> = foreign.cloned().collect();
    let taken: BTreeMap<String, String> = foreign.iter().filter_map(|name| attributes.remove_entry(name)).collect();
    let text = serde_json::to_string(&taken).expect("texts can always be written to progress");
    attributes.insert(ATTRIBUTES.to_owned(), text);
    message
}

/// Undoes [`packed`]. What others have written under that name stays.
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
    /// The queue that takes parked messages of the queue `source`, or `None` if neither that queue nor this one is known.
    ///
    /// # Errors
    /// One of them is a FIFO queue and the other is not.
    pub(crate) fn known_queue(&self, endpoint: &Context, source: Option<&str>) -> Result<Option<String>, Error> {
        let is_known = self.queue.is_some() || source.is_some();
        is_known.then(|| self.queue(endpoint, source)).transpose()
    }

    /// The queue that takes parked messages of the queue `source`, if that is known.
    ///
    /// # Errors
    /// One of them is a FIFO queue and the other is not.
    fn queue(&self, endpoint: &Context, source: Option<&str>) -> Result<String, Error> {
        let follows = || dead_letter_queue(source.unwrap_or(&endpoint.name));
        let queue = self.queue.clone().unwrap_or_else(follows);
        let Some(source) = source.filter(|source| is_fifo(source) != is_fifo(&queue)) else { return Ok(queue) };
        let fitting = dead_letter_queue(source);
        Err(Error::misconfigured(format!(
            "dead letters of queue `{source}` cannot go to queue `{queue}`: one is a FIFO queue and the other is not, so that they \
             would lose their group, or lack one; name a queue such as `{fitting}` with `dead_letters`"
        )))
    }

    /// Sends the message to the dead-letter queue as it was taken in, with the reason if it fits. What could not be taken in
    /// here may have been elsewhere, by a version of the service that knows its type: so it keeps its identity, too.
    pub(crate) async fn park(
        &self,
        endpoint: &Context,
        delivery: &Delivery,
        source: Option<&str>,
        reason: &str,
    ) -> Result<(), Error> {
        let queue = self.queue(endpoint, source)?;
        let opened = endpoint.queue(&queue).await?;
        let (message, says) = self.dead_letter(endpoint, delivery, reason);
        endpoint.call(|| send_one(&*opened, message.clone())).await?;
        // Not the reason: it may quote the message.
        tracing::warn!(endpoint = &*endpoint.name, queue, "message parked; {}", says.text());
        Ok(())
    }

    /// The message for the dead-letter queue, and what it says: as much as its queue takes.
    fn dead_letter(&self, endpoint: &Context, delivery: &Delivery, reason: &str) -> (QueueMessage, Says) {
        let limits = &endpoint.ports.limits;
        let message = sent_again(endpoint, without_reason(delivery));
        let signature = self.signs.then(|| (ENDPOINT, endpoint.name.to_string()));
        let reason = Some((REASON, printable(reason)));
        let notes =
            [(Says::Reason, reason, signature.clone()), (Says::Endpoint, None, signature), (Says::Nothing, None, None)];
        let with = |(says, reason, signature): (Says, Note, Note)| {
            let mut noted = message.clone();
            let notes = reason.into_iter().chain(signature);
            noted.attributes.extend(notes.map(|(name, text)| (name.to_owned(), text)));
            (packed(noted, limits.message_attributes_max), says)
        };
        let fits = |(message, _): &(QueueMessage, Says)| limits.check_message("a parked message", message).is_ok();
        notes.into_iter().map(with).find(fits).unwrap_or_else(|| {
            let attributes = delivery.attributes.clone();
            (QueueMessage { attributes, ..message.clone() }, Says::Nothing)
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

/// An attribute that a dead letter gets, if it gets it.
type Note = Option<(&'static str, String)>;

/// What a dead letter says about itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    /// Why it was parked and, unless an operator parked it, by which endpoint.
    Reason,
    /// Only which endpoint parked it.
    Endpoint,
    Nothing,
}

impl Says {
    const fn text(self) -> &'static str {
        match self {
            Self::Reason => "its attribute `cloakroom-reason` says why",
            Self::Endpoint => "it is so large that it has no room for the reason",
            Self::Nothing => "it is so large that it has no room for the reason and the name of the endpoint",
        }
    }
}

/// Sends a dead letter back to a queue.
pub(crate) async fn send_back(endpoint: &Context, delivery: &Delivery, queue: &str) -> Result<(), Error> {
    send_later(endpoint, delivery, queue, Duration::ZERO).await
}

/// Returns after how many receives a worker replaces a message that goes back without a failure by a fresh copy, if its endpoint
/// has this `attempts_max`. A queue must allow a message more receives than that.
///
/// ```
/// assert_eq!([1, 8].map(cloakroom::engine::parking::receives_before_copy), [4, 8]);
/// ```
pub const fn receives_before_copy(attempts_max: u32) -> u32 {
    const LEAST: u32 = 4;
    if attempts_max < LEAST { LEAST } else { attempts_max }
}

/// Whether a delivery that was received so often, and is not finished, is replaced by a copy whose receives start anew. It is so
/// once in several receives only: a delivery that cannot be deleted must not leave a copy at each of them.
pub(crate) const fn is_time_for_a_copy(receive_count: u32, attempts_max: u32) -> bool {
    receive_count > 0 && receive_count.is_multiple_of(receives_before_copy(attempts_max))
}

/// Sends the same logical message to a queue, which holds it back for up to 15 minutes. The caller acknowledges the delivery
/// afterwards.
///
/// SUBTLE: sent before the delivery is acknowledged. A worker that stops in between leaves two copies, and the identity that both
/// carry makes one of them a duplicate. The other way round there would be none.
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
    let message = QueueMessage { delay_s, ..sent_again(endpoint, message) };
    // SUBTLE: not again after an unknown outcome. The delivery comes again anyway, and each try that took effect would leave one
    // more copy, which does the same (`copy_whose_sending_is_unknown_is_sent_once`).
    endpoint.call_until_unknown(|| send_one(&*queue, message.clone())).await?;
    Ok(())
}

/// A message may be parked, and put back, more than once. Each time counts to a FIFO queue, so it gets a new deduplication id.
fn sent_again(endpoint: &Context, message: QueueMessage) -> QueueMessage {
    let deduplication = message.group.is_some().then(|| format!("{:032x}", endpoint.ports.random.bits()));
    QueueMessage { deduplication, ..message }
}

async fn send_one(queue: &dyn Queue, message: QueueMessage) -> Result<(), PortError> {
    let silent = || PortError::new(format!("send to queue `{}`", queue.name()), "no answer for the message").public();
    queue.send(vec![message]).await.pop().unwrap_or_else(|| Err(silent()))
}

/// The reason without characters that SQS refuses, cut to a bounded size.
fn printable(reason: &str) -> String {
    let clean = reason.chars().map(|c| if c.is_control() || matches!(c, '\u{fffe}' | '\u{ffff}') { ' ' } else { c });
    let mut text = String::new();
    for c in clean {
        if text.len() + c.len_utf8() > REASON_BYTES_MAX {
            break;
        }
        text.push(c);
    }
    // SQS takes no empty attribute.
    if text.trim().is_empty() { "no reason was given".to_owned() } else { text }
}
