//! Parking: a message that cannot be processed goes to the dead-letter queue, with the reason.
//! Its payload stays where it is, so that the message can be put back. A foreign message is parked as the envelope that it was
//! turned into, if it could be.

use crate::{Delivery, Envelope, Error, PortError, Queue, QueueMessage, endpoint::Inner, intake};

/// Message attribute: why the message was parked.
pub const REASON: &str = "cloakroom-reason";
/// Message attribute: the endpoint that parked it.
pub const ENDPOINT: &str = "cloakroom-endpoint";

/// The dead-letter queue that belongs to a queue: `orders-dead` to `orders`, and `orders-dead.fifo` to `orders.fifo`.
///
/// ```
/// assert_eq!(cloakroom::parking::dead_letter_queue("orders.fifo"), "orders-dead.fifo");
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
/// use cloakroom::{Delivery, intake, parking};
///
/// let dead = Delivery { id: "7c19-4d".to_owned(), body: r#"{"file":"a"}"#.to_owned(), ..Delivery::default() };
/// assert_eq!(parking::put_back(&dead).attributes[intake::ID], "7c19-4d");
/// ```
///
/// A message with a claim is marked as dispatched anew: it may have a twin by now, whose payload is missing by rights.
pub fn put_back(delivery: &Delivery) -> QueueMessage {
    let mut message = without_reason(delivery);
    if let Ok(envelope) = Envelope::decode(&message.body)
        && envelope.dataref.is_some()
    {
        message.body = Envelope { redispatch: true, ..envelope }.encode();
    }
    message
}

/// The same logical message, as it was before it was parked.
fn without_reason(delivery: &Delivery) -> QueueMessage {
    let Delivery { id, body, attributes, group, .. } = delivery.clone();
    let mut message = QueueMessage { body, attributes, group, ..QueueMessage::default() };
    message.attributes.remove(REASON);
    message.attributes.remove(ENDPOINT);
    if !id.is_empty() && !intake::is_event(&message.body) {
        message.attributes.entry(intake::ID.to_owned()).or_insert(id);
    }
    message
}

const REASON_BYTES_MAX: usize = 1024;

#[derive(Debug)]
pub(crate) struct Parking {
    queue: String,
    /// Whether it says which endpoint has parked a message.
    signs: bool,
}

impl Parking {
    pub(crate) const fn new(queue: String) -> Self {
        Self { queue, signs: true }
    }

    /// That of an operator, who may not know which endpoint it is.
    pub(crate) const fn of_operator(queue: String, signs: bool) -> Self {
        Self { queue, signs }
    }

    /// Opens the dead-letter queue, so that a missing one is noticed before it is needed.
    pub(crate) async fn open(&self, endpoint: &Inner) -> Result<(), Error> {
        endpoint.queue(&self.queue).await?;
        Ok(())
    }

    /// Sends the message to the dead-letter queue as it was taken in, with the reason if it fits. What could not be taken in
    /// here may have been elsewhere, by a version of the service that knows its type: so it keeps its identity, too.
    pub(crate) async fn park(&self, endpoint: &Inner, delivery: &Delivery, reason: &str) -> Result<(), Error> {
        // Not the reason: it may quote the message.
        tracing::warn!(
            endpoint = &*endpoint.name,
            queue = self.queue,
            "message parked; its attribute `{REASON}` says why"
        );
        let queue = endpoint.queue(&self.queue).await?;
        let mut told = sent_again(endpoint, without_reason(delivery));
        let silent = told.clone();
        told.attributes.insert(REASON.to_owned(), printable(reason));
        if self.signs {
            told.attributes.insert(ENDPOINT.to_owned(), endpoint.name.to_string());
        }
        let bare = QueueMessage { attributes: delivery.attributes.clone(), ..silent.clone() };
        let fits = |message: &QueueMessage| endpoint.ports.limits.check_message("a parked message", message).is_ok();
        let message = [told, silent].into_iter().find(fits).unwrap_or(bare);
        endpoint.call(|| send_one(&*queue, message.clone())).await?;
        Ok(())
    }
}

/// Sends a dead letter back to a queue.
pub(crate) async fn send_back(endpoint: &Inner, delivery: &Delivery, queue: &str) -> Result<(), Error> {
    let queue = endpoint.queue(queue).await?;
    let message = sent_again(endpoint, put_back(delivery));
    endpoint.call(|| send_one(&*queue, message.clone())).await?;
    Ok(())
}

/// A message may be parked, and put back, more than once. Each time counts to a FIFO queue, so it gets a new deduplication id.
fn sent_again(endpoint: &Inner, message: QueueMessage) -> QueueMessage {
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
