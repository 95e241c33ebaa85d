//! What a handler returns: the message is accepted, or why it is not.

use std::{fmt, time::Duration};

use crate::{error::ErrorKind, ports::limits::DELAY_S_MAX};

/// Why a handler did not accept a message.
///
/// Any error that a handler passes on with `?` asks for another try; what another try cannot mend is
/// rejected by name, and what is only too early is deferred.
///
/// ```
/// use cloakroom::HandlerError;
///
/// fn quantity(text: &str) -> Result<u32, HandlerError> {
///     text.parse().map_err(|_| HandlerError::reject(format!("`{text}` is no quantity")))
/// }
/// assert!(quantity("many").is_err());
/// ```
#[derive(Debug)]
pub struct HandlerError {
    pub(crate) reason: String,
    pub(crate) refusal: Refusal,
}

/// What a [`HandlerError`] asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The message can never be processed.
    Rejected,
    /// The handler failed and may succeed at another try.
    Failed,
    /// The message is to come again after this time.
    Deferred(Duration),
    /// The endpoint lacks something that the handler needs, such as a route.
    Misconfigured,
}

impl HandlerError {
    /// The message can never be processed: it is parked in the dead-letter queue with this reason.
    pub fn reject(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string(), refusal: Refusal::Rejected }
    }

    /// The handler failed: the message is received again later, and parked after `attempts_max` failures.
    pub fn retry(reason: impl fmt::Display) -> Self {
        Self { reason: reason.to_string(), refusal: Refusal::Failed }
    }

    /// Not yet: the message is to come again after this time, and its handler is to be asked again then. That is no failure, and uses
    /// up none of the message's attempts. What the handler has changed or sent so far is dropped.
    ///
    /// On a standard queue the message is sent again with this delay, as the same message, and the delivery is deleted. That takes
    /// `sqs:SendMessage` on the endpoint's own queue. The longest delay is 15 minutes; a handler that needs more is asked every 15
    /// minutes.
    ///
    /// On a FIFO queue the message itself is given back for this time, at most 15 minutes: so its group waits, and stays in order.
    /// Each time uses up a receive of this message and of those of its group that were received with it. After `maxReceiveCount`
    /// of them SQS moves them to the dead-letter queue: set it high, and defer for long. Never wait so for a message of the same
    /// group: it cannot come before this one. A Lambda function cannot choose the time on a FIFO queue: there it is the queue's
    /// visibility timeout.
    ///
    /// A message with a claim is parked if it is still deferred after half of `payload_ttl_ms` (14 of 28 days by default). A message
    /// without a claim can be deferred without end.
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

    /// The endpoint is not configured for what the handler does. The message waits until that is fixed.
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

/// What a handler answers: the message is accepted, or why it is not.
pub type Handled = Result<(), HandlerError>;
