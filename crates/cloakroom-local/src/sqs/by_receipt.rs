//! Operations on a message by its receipt handle: DeleteMessage, ChangeMessageVisibility and their
//! batches.

use serde::Deserialize;

use crate::clock::{Millis, SECOND};
use crate::sqs::address::{ReceiptHandle, name_in_url};
use crate::sqs::batch::{Batch, Entry, Success};
use crate::sqs::error::{Error, Kind};
use crate::sqs::parameters::within;
use crate::sqs::queue::{Expired, Queue};
use crate::sqs::service::{Answer, Sqs};
use crate::sqs::visibility::VisibilityError;

/// A request on a received message, alone or in a batch. The visibility timeout is only for
/// ChangeMessageVisibility.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ByReceipt {
    #[serde(default)]
    id: String,
    #[serde(default)]
    queue_url: String,
    #[serde(default)]
    receipt_handle: String,
    visibility_timeout: Option<i64>,
}

impl Entry for ByReceipt {
    fn id(&self) -> &str {
        &self.id
    }
}

impl Sqs {
    pub(super) fn delete_message(&self, message: &ByReceipt) -> Result<Answer, Error> {
        self.for_one(message, Self::delete)
    }

    pub(super) fn delete_message_batch(&self, batch: Batch<ByReceipt>) -> Result<Answer, Error> {
        self.for_each(batch, Self::delete)
    }

    pub(super) fn change_message_visibility(&self, message: &ByReceipt) -> Result<Answer, Error> {
        self.for_one(message, Self::change_visibility)
    }

    pub(super) fn change_message_visibility_batch(&self, batch: Batch<ByReceipt>) -> Result<Answer, Error> {
        self.for_each(batch, Self::change_visibility)
    }

    fn for_one(&self, message: &ByReceipt, operation: Operation) -> Result<Answer, Error> {
        let name = name_in_url(&message.queue_url)?;
        self.change(|queues, now| operation(self, queues.get(name)?, name, now, message))?;
        Ok(Answer::empty())
    }

    fn for_each(&self, batch: Batch<ByReceipt>, operation: Operation) -> Result<Answer, Error> {
        let name = name_in_url(&batch.queue_url)?.to_owned();
        let outcome = self.change(|queues, now| {
            let queue = queues.get(&name)?;
            batch.check()?;
            Ok(batch.each(|message| {
                operation(self, queue, &name, now, &message)?;
                Ok(Success { id: message.id })
            }))
        })?;
        Ok(Answer::new(&outcome))
    }

    fn delete(&self, queue: &mut Queue, name: &str, now: Millis, message: &ByReceipt) -> Result<(), Error> {
        let handle = ReceiptHandle::decode(name, &message.receipt_handle)?;
        queue.advance(now);
        let deleted = queue
            .delete(handle.number, handle.receipt)
            .map_err(|Expired| invalid(&message.receipt_handle, "The receipt handle has expired"))?;
        self.meter.record(|usage| usage.sqs.messages_deleted += u64::from(deleted));
        Ok(())
    }

    fn change_visibility(&self, queue: &mut Queue, name: &str, now: Millis, message: &ByReceipt) -> Result<(), Error> {
        let visibility = visibility(message)?;
        let handle = ReceiptHandle::decode(name, &message.receipt_handle)?;
        queue.advance(now);
        queue
            .change_visibility(now, handle.number, handle.receipt, visibility)
            .map_err(|why| visibility_error(&why, &message.receipt_handle))
    }
}

/// An operation on one message, alone or as an entry of a batch.
type Operation = fn(&Sqs, &mut Queue, &str, Millis, &ByReceipt) -> Result<(), Error>;

fn visibility(message: &ByReceipt) -> Result<Millis, Error> {
    let seconds = within("VisibilityTimeout", message.visibility_timeout, 0, 43_200)?;
    let seconds = seconds
        .ok_or_else(|| Kind::MissingParameter.because("The request must contain the parameter VisibilityTimeout."))?;
    Ok(seconds * SECOND)
}

fn visibility_error(why: &VisibilityError, handle: &str) -> Error {
    match why {
        VisibilityError::Gone => {
            invalid(handle, "Message does not exist or is not available for visibility timeout change")
        }
        VisibilityError::NotInFlight => {
            Kind::MessageNotInflight.because(format!("The message of the receipt handle {handle} is not in flight."))
        }
        VisibilityError::TooLong => Kind::InvalidParameterValue.because(
            "The parameter VisibilityTimeout is invalid. Reason: Total VisibilityTimeout for the message is beyond \
             the limit [43200 seconds].",
        ),
    }
}

fn invalid(handle: &str, why: &str) -> Error {
    Kind::InvalidParameterValue
        .because(format!("Value {handle} for parameter ReceiptHandle is invalid. Reason: {why}."))
}
