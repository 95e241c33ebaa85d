//! Parking: a message that cannot be processed goes to the dead-letter queue, with the reason.
//! Its payload stays where it is, so that the message can be put back.

use crate::{Delivery, Error, PortError, Queue, QueueMessage, endpoint::Inner};

/// Message attribute: why the message was parked.
pub const REASON: &str = "cloakroom-reason";
/// Message attribute: the endpoint that parked it.
pub const ENDPOINT: &str = "cloakroom-endpoint";

const REASON_BYTES_MAX: usize = 1024;

#[derive(Debug)]
pub(crate) struct Parking {
    queue: String,
}

impl Parking {
    pub(crate) const fn new(queue: String) -> Self {
        Self { queue }
    }

    /// Opens the dead-letter queue, so that a missing one is noticed before it is needed.
    pub(crate) async fn open(&self, endpoint: &Inner) -> Result<(), Error> {
        endpoint.queue(&self.queue).await?;
        Ok(())
    }

    /// Sends the message to the dead-letter queue as it came, with what fits of the reason.
    pub(crate) async fn park(&self, endpoint: &Inner, delivery: &Delivery, reason: &str) -> Result<(), Error> {
        // Not the reason: it may quote the message.
        tracing::warn!(
            endpoint = &*endpoint.name,
            queue = self.queue,
            "message parked; its attribute `{REASON}` says why"
        );
        let queue = endpoint.queue(&self.queue).await?;
        let plain = QueueMessage {
            body: delivery.body.clone(),
            attributes: delivery.attributes.clone(),
            group: delivery.group.clone(),
            // A message may be parked again after it was put back: each time counts.
            deduplication: delivery.group.is_some().then(|| format!("{:032x}", endpoint.ports.random.bits())),
            ..QueueMessage::default()
        };
        let mut told = plain.clone();
        told.attributes.insert(REASON.to_owned(), printable(reason));
        told.attributes.insert(ENDPOINT.to_owned(), endpoint.name.to_string());
        let fits = endpoint.ports.limits.check_message("a parked message", &told).is_ok();
        let message = if fits { told } else { plain };
        endpoint.call(|| send_one(&*queue, message.clone())).await?;
        Ok(())
    }
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
