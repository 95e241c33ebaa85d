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
    client::failure::{Operation, SdkError, code, meaning::Meaning},
    sqs::{
        batch::{self, Answer, BatchResult, Numbered},
        message::outgoing,
        queue::{SqsQueue, all, apart},
    },
};

const SEND: Operation = Operation::once("SendMessageBatch", "sqs:SendMessage");

/// The smallest `MaximumMessageSize` of a queue, in bytes. A smaller message was not refused
/// because of its size.
const SMALLEST_MAXIMUM: usize = 1024;

type Entry = Numbered<SendMessageBatchRequestEntry>;

impl SqsQueue {
    /// Sends messages that do not have to wait for each other.
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

    /// Returns the entry of a message, or the error if it cannot be sent. Sends no request.
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

    /// Sends a batch. A rejected batch is sent again entry by entry, so that one bad entry cannot
    /// block the others.
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

    async fn request(&self, batch: Vec<Entry>) -> Result<BatchResult, SdkError<SendMessageBatchError>> {
        let (_, entries) = apart(batch);
        let request = self.unretried.send_message_batch().queue_url(&self.url).set_entries(Some(entries));
        let output = request.send().await?;
        let done = output.successful.into_iter().map(|entry| entry.id).collect();
        Ok(BatchResult { done, failed: output.failed })
    }

    fn answers(
        &self,
        numbers: Vec<usize>,
        sizes: &BTreeMap<usize, usize>,
        answer: Result<BatchResult, SdkError<SendMessageBatchError>>,
    ) -> Vec<Answer> {
        let answer = match answer {
            // A batch that is still refused here has only one entry.
            Err(error) if is_invalid(&error) => Ok(BatchResult { done: Vec::new(), failed: refused(&numbers, &error) }),
            other => other,
        };
        let result = answer.map(|BatchResult { done, failed }| BatchResult {
            done,
            failed: failed.into_iter().map(|entry| with_size(entry, sizes)).collect(),
        });
        batch::answers(&SEND, &self.target, numbers, result.map_err(|error| SEND.failed(&self.target, error)))
    }
}

/// Whether SQS refuses the content of the request, and would refuse it again.
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

/// Adds the size of a message to the error if its content was refused. A queue may be set to accept
/// less than SQS does.
fn with_size(mut entry: BatchResultErrorEntry, sizes: &BTreeMap<usize, usize>) -> BatchResultErrorEntry {
    let bytes = entry.id.parse().ok().and_then(|number: usize| sizes.get(&number)).copied().unwrap_or_default();
    if Meaning::of(None, Some(&entry.code)) == Meaning::Invalid && bytes > SMALLEST_MAXIMUM {
        let message = entry.message.unwrap_or_default();
        entry.message = Some(format!(
            "{message} (the message has {bytes} bytes; if its queue accepts less, raise the queue's \
             `MaximumMessageSize`, or set `limits.message_bytes_max` to it, so that larger messages are refused before \
             the commit)"
        ));
    }
    entry
}
