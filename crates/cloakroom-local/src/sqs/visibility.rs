//! ChangeMessageVisibility: how long a message that was received stays hidden.

use super::message::{Number, State};
use super::queue::Queue;
use crate::clock::{Millis, SECOND};

/// How many seconds one delivery can hide a message.
const MOST_HIDDEN: u64 = 43_200;

/// Why a receipt does not change the visibility of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Unchanged {
    /// It was deleted, or has been received again since.
    Gone,
    /// Its visibility timeout has passed.
    NotInFlight,
    /// It would be hidden for more than twelve hours since it was received.
    TooLong,
}

impl Queue {
    /// Hides a message for this long from now, or shows it at once if that is zero.
    pub(super) fn change_visibility(
        &mut self,
        now: Millis,
        number: Number,
        receipt: Number,
        visibility: Millis,
    ) -> Result<(), Unchanged> {
        let message = self.messages.get(&number).ok_or(Unchanged::Gone)?;
        if message.delivery.receipt != Some(receipt) {
            return Err(Unchanged::Gone);
        }
        if !matches!(message.delivery.state, State::InFlight { .. }) {
            return Err(Unchanged::NotInFlight);
        }
        // Receipts count from the time at which they were given.
        let received_at = receipt >> 16;
        if now.saturating_sub(received_at) / SECOND + visibility / SECOND > MOST_HIDDEN {
            return Err(Unchanged::TooLong);
        }
        let state = match visibility {
            0 => State::Ready,
            visibility => State::InFlight { until: now + visibility },
        };
        self.change_state(number, state);
        Ok(())
    }
}
