//! ChangeMessageVisibility: changing the visibility timeout of a received message.

use crate::clock::{Millis, SECOND};
use crate::sqs::message::{Number, State};
use crate::sqs::queue::Queue;

/// The maximum number of seconds for which one delivery can hide a message.
const MAX_HIDDEN_SECONDS: u64 = 43_200;

/// The reason why a receipt cannot change the visibility timeout of its message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum VisibilityError {
    /// The message was deleted or received again.
    Gone,
    /// The visibility timeout has ended.
    NotInFlight,
    /// The message would be hidden for more than twelve hours since it was received.
    TooLong,
}

impl Queue {
    /// Sets the visibility timeout of a message, counted from now. Zero makes the message visible
    /// immediately.
    pub(super) fn change_visibility(
        &mut self,
        now: Millis,
        number: Number,
        receipt: Number,
        visibility: Millis,
    ) -> Result<(), VisibilityError> {
        let message = self.messages.get(&number).ok_or(VisibilityError::Gone)?;
        if message.delivery.receipt != Some(receipt) {
            return Err(VisibilityError::Gone);
        }
        if !matches!(message.delivery.state, State::InFlight { .. }) {
            return Err(VisibilityError::NotInFlight);
        }
        // The upper bits of a receipt are the time of its delivery.
        let received_at = receipt >> 16;
        if now.saturating_sub(received_at) / SECOND + visibility / SECOND > MAX_HIDDEN_SECONDS {
            return Err(VisibilityError::TooLong);
        }
        let state = match visibility {
            0 => State::Ready,
            visibility => State::InFlight { until: now + visibility },
        };
        self.change_state(number, state);
        Ok(())
    }
}
