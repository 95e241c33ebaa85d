//! The results of a handler.

use std::{fmt, time::Duration};

use crate::{error::ErrorKind, ports::limits::DELAY_S_MAX};

/// The reason why a handler did not accept a message.
///
/// An error that a handler returns with `?` requests a retry of the message. A handler calls
/// [`reject`](Self::reject) for a message that no retry can help, and [`defer`](Self::defer) for a
/// message that is too early.
///
/// ```
/// use cloakroom::HandlerError;
///
/// fn quantity(text: &str) -> Result<u32, HandlerError> {
///     text.parse().map_err(|_| HandlerError::reject(format!("`{text}` is not a quantity")))
/// }
/// assert!(quantity("many").is_err());
/// ```
#[derive(Debug)]
pub struct HandlerError {
    pub(crate) reason: String,
    pub(crate) refusal: Refusal,
}

/// What a [`HandlerError`] requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The message can never be processed.
    Rejected,
    /// The handler failed. It may succeed in another attempt.
    Failed,
    /// The message must be delivered again after this time.
    Deferred(Duration),
    /// The configuration lacks something that the handler needs, such as a route.
    Misconfigured,
}

impl HandlerError {
    /// Creates an error for a message that can never be processed. The message is parked in the
    /// dead-letter queue with this reason.
    pub fn reject(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string(), refusal: Refusal::Rejected }
    }

    /// Creates an error for a handler that failed. The message is received again later. It is
    /// parked after `attempts_max` failures.
    pub fn retry(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string(), refusal: Refusal::Failed }
    }

    /// Creates an error for a message that is too early. Its handler runs again after this time.
    /// This is not a failure and does not count as a failed attempt. The changes and outgoing
    /// messages of this run are dropped.
    ///
    /// On a standard queue the same message is sent again with this delay, and the delivery is
    /// deleted. This needs `sqs:SendMessage` on the endpoint's own queue. The maximum delay is 15
    /// minutes. A handler that needs a longer delay runs every 15 minutes.
    ///
    /// On a FIFO queue the message itself is given back for this time, at most 15 minutes. So its
    /// group waits and stays in order. Each time adds a receive to this message, and to the
    /// messages of its group that were received with it. After `maxReceiveCount` receives SQS moves
    /// them to the dead-letter queue. So set a high `maxReceiveCount`, and defer for a long time.
    /// Never defer a message to wait for a later message of its own group, because that message
    /// cannot come first. A Lambda function cannot choose the time on a FIFO queue: it is the
    /// visibility timeout of the queue.
    ///
    /// A message with a claim is parked if it is still deferred after half of `payload_ttl_ms` (14
    /// of 28 days by default). A message without a claim can be deferred forever.
    ///
    /// ```
    /// use std::time::Duration;
    /// # use cloakroom::{Handled, Message, Partition, Tx};
    /// use cloakroom::HandlerError;
    /// # #[derive(Default, serde::Serialize, serde::Deserialize)] struct Account { is_open: bool }
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Pay;
    ///
    /// async fn pay(account: &mut Account, _: Pay, _: &mut Tx) -> Handled {
    ///     if !account.is_open {
    ///         return Err(HandlerError::defer(Duration::from_secs(30)));
    ///     }
    ///     Ok(())
    /// }
    /// ```
    pub fn defer(delay: Duration) -> Self {
        let delay = delay.min(Duration::from_secs(DELAY_S_MAX));
        Self { reason: format!("deferred by {delay:?}"), refusal: Refusal::Deferred(delay) }
    }

    /// Creates an error for an endpoint that is not configured for what the handler does. The
    /// message waits until the configuration is fixed.
    pub(crate) const fn misconfigured(reason: String) -> Self {
        Self { reason, refusal: Refusal::Misconfigured }
    }

    pub(crate) const fn kind(&self) -> ErrorKind {
        match self.refusal {
            Refusal::Rejected | Refusal::Failed | Refusal::Deferred(_) => ErrorKind::RetryMessage,
            Refusal::Misconfigured => ErrorKind::FixConfiguration,
        }
    }
}

impl<E: std::error::Error> From<E> for HandlerError {
    fn from(error: E) -> Self {
        Self::retry(error)
    }
}

/// The result of a handler: the message is accepted, or the reason why it is not.
pub type Handled = Result<(), HandlerError>;
