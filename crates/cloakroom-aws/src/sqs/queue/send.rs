//! Sending to a queue of SQS.

use std::collections::BTreeMap;

use aws_sdk_sqs::{
    operation::send_message_batch::SendMessageBatchError,
    types::{BatchResultErrorEntry, SendMessageBatchRequestEntry},
};
use aws_smithy_types::error::metadata::ProvideErrorMetadata as _;
use cloakroom::{
    PortError,
    error::LimitError,
    ports::{Limits, QueueMessage},
};

use crate::{
    client::failure::{Meaning, Operation, SdkError, code},
    sqs::{
        batch::{self, Answer, Numbered, Told},
        message::outgoing,
        queue::{SqsQueue, all, apart},
    },
};

const SEND: Operation = Operation::once("SendMessageBatch", "sqs:SendMessage");

/// The least that a queue can be set to take. What is smaller was not refused for its size.
const SMALLEST_MAXIMUM: usize = 1024;

type Entry = Numbered<SendMessageBatchRequestEntry>;

impl SqsQueue {
    /// Sends messages of which none has to wait for another.
    pub(super) async fn send_at_once(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        let mut answers = Vec::new();
        let mut entries = Vec::with_capacity(messages.len());
        for (number, message) in messages.into_iter().enumerate() {
            match self.entry(number, message) {
                Ok(entry) => entries.push(entry),
                Err(error) => answers.push((number, Err(error))),
            }
        }
        let batches = batch::split(entries, self.limits.message_bytes_max);
        answers.extend(all(batches, |batch| self.send_batch(batch)).await);
        batch::in_order(answers)
    }

    /// The entry of a message, or why it cannot be sent. Nothing is asked of SQS for that.
    fn entry(&self, number: usize, message: QueueMessage) -> Result<Entry, PortError> {
        let refused = |cause: String| PortError::new(SEND.on(&self.target), cause).without_effect().caused_by_data();
        let attributes = message.attributes.len();
        let entry = outgoing(number, message, self.flavour).map_err(refused)?;
        let Limits { message_bytes_max, message_attributes_max, .. } = self.limits;
        for (size, size_max, unit) in
            [(entry.bytes, message_bytes_max, "bytes"), (attributes, message_attributes_max, "attributes")]
        {
            if size > size_max {
                let error = LimitError { what: "the message".to_owned(), size, size_max, unit };
                return Err(refused(format!("{error} (`limits.message_{unit}_max`)")));
            }
        }
        Ok(entry)
    }

    /// One entry that SQS does not take can make it refuse the whole batch; then each entry goes alone.
    async fn send_batch(&self, batch: Vec<Entry>) -> Vec<Answer> {
        let apart = (batch.len() > 1).then(|| batch.clone());
        let sizes = batch.iter().map(|entry| (entry.number, entry.bytes)).collect();
        let numbers = batch.iter().map(|entry| entry.number).collect();
        match (self.request(batch).await, apart) {
            (Err(error), Some(apart)) if is_invalid(&error) => {
                let alone = apart.into_iter().map(|entry| vec![entry]).collect();
                all(alone, |entry| Box::pin(self.send_batch(entry))).await
            }
            (answer, _) => self.answers(numbers, &sizes, answer),
        }
    }

    async fn request(&self, batch: Vec<Entry>) -> Result<Told, SdkError<SendMessageBatchError>> {
        let (_, entries) = apart(batch);
        let request = self.once.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let output = request.send().await?;
        let done = output.successful.into_iter().map(|entry| entry.id).collect();
        Ok(Told { done, failed: output.failed })
    }

    fn answers(
        &self,
        numbers: Vec<usize>,
        sizes: &BTreeMap<usize, usize>,
        answer: Result<Told, SdkError<SendMessageBatchError>>,
    ) -> Vec<Answer> {
        let answer = match answer {
            // What is refused is the only entry.
            Err(error) if is_invalid(&error) => Ok(Told { done: Vec::new(), failed: refused(&numbers, &error) }),
            other => other,
        };
        let told = answer.map(|Told { done, failed }| Told {
            done,
            failed: failed.into_iter().map(|entry| with_size(entry, sizes)).collect(),
        });
        batch::answers(&SEND, &self.target, numbers, told.map_err(|error| SEND.failed(&self.target, error)))
    }
}

/// Whether SQS refuses what is in the request, as it would again.
fn is_invalid(error: &SdkError<SendMessageBatchError>) -> bool {
    Meaning::of(None, code(error)) == Meaning::Invalid
}

fn refused(numbers: &[usize], error: &SdkError<SendMessageBatchError>) -> Vec<BatchResultErrorEntry> {
    let entry = |number: &usize| {
        let entry = BatchResultErrorEntry::builder().id(number.to_string()).sender_fault(true);
        let entry = entry.code(code(error).unwrap_or_default()).set_message(error.message().map(str::to_owned));
        entry.build().expect("all that is required is set")
    };
    numbers.iter().map(entry).collect()
}

/// Tells how large a message is that was refused for what it is: queues may be set to take less than SQS does.
fn with_size(mut entry: BatchResultErrorEntry, sizes: &BTreeMap<usize, usize>) -> BatchResultErrorEntry {
    let bytes = entry.id.parse().ok().and_then(|number: usize| sizes.get(&number)).copied().unwrap_or_default();
    if Meaning::of(None, Some(&entry.code)) == Meaning::Invalid && bytes > SMALLEST_MAXIMUM {
        let message = entry.message.unwrap_or_default();
        entry.message = Some(format!(
            "{message} (the message has {bytes} bytes; if its queue takes less, raise the queue's `MaximumMessageSize`, or set \
             `limits.message_bytes_max` to it, so that larger ones are refused before the commit)"
        ));
    }
    entry
}
