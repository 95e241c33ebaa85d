//! The event source: receives batches of messages, and deletes them after a successful invocation.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::clock::{self, SECOND};
use crate::lambda::settings::FunctionSettings;
use crate::sqs::address::arn;
use crate::sqs::service::Sqs;

/// The maximum number of messages in one request to SQS.
const MAX_BATCH: usize = 10;
/// The maximum duration of a long poll, in seconds.
const MAX_WAIT_S: u64 = 20;

/// The queue of a function's trigger. It uses SQS like any other client.
pub(super) struct EventSource {
    sqs: Sqs,
    queue: String,
    batch_size: usize,
    window: clock::Millis,
}

/// The receipt handles of a batch, by message id. A message may be in the batch twice.
pub(super) type Receipts = BTreeMap<String, Vec<String>>;

impl EventSource {
    /// Opens the queue, and checks that its visibility timeout is at least the function's timeout.
    pub(super) async fn open(sqs: Sqs, queue: &str, settings: &FunctionSettings) -> Result<Self, String> {
        let request = json!({ "QueueUrl": queue, "AttributeNames": ["VisibilityTimeout"] });
        let answer = sqs.call("GetQueueAttributes", &request).await?;
        let visibility = answer["Attributes"]["VisibilityTimeout"].as_str().and_then(|text| text.parse::<u64>().ok());
        if visibility.is_none_or(|visibility| visibility < settings.timeout_s) {
            return Err(format!(
                "the visibility timeout of the queue {queue} is less than `timeout_s`, which is {}; messages would be \
                 received again while the function processes them; increase the visibility timeout",
                settings.timeout_s
            ));
        }
        let window = settings.batch_window_s * SECOND;
        Ok(Self { sqs, queue: queue.to_owned(), batch_size: settings.batch_size, window })
    }

    /// Waits for messages, and collects a batch. Returns the event of an invocation, and the
    /// receipt handles of its messages.
    pub(super) async fn batch(&self) -> Result<(Value, Receipts), String> {
        let mut messages = Vec::new();
        while messages.is_empty() {
            messages = self.receive(self.batch_size, MAX_WAIT_S).await?;
        }
        let until = clock::now() + self.window;
        loop {
            let left = until.saturating_sub(clock::now()).div_ceil(SECOND).min(MAX_WAIT_S);
            if left == 0 || messages.len() >= self.batch_size {
                break;
            }
            messages.extend(self.receive(self.batch_size - messages.len(), left).await?);
        }
        let mut receipts = Receipts::new();
        for message in &messages {
            receipts.entry(text(message, "MessageId")).or_default().push(text(message, "ReceiptHandle"));
        }
        let records: Vec<Value> = messages.iter().map(|message| record(&self.queue, message)).collect();
        Ok((json!({ "Records": records }), receipts))
    }

    async fn receive(&self, max: usize, wait: u64) -> Result<Vec<Value>, String> {
        let request = json!({
            "QueueUrl": self.queue,
            "MaxNumberOfMessages": max.min(MAX_BATCH),
            "WaitTimeSeconds": wait,
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        });
        let answer = self.sqs.call("ReceiveMessage", &request).await?;
        // A response without messages has no such field.
        Ok(answer["Messages"].as_array().cloned().unwrap_or_default())
    }

    /// Deletes messages, and returns the number of deleted messages.
    pub(super) async fn delete(&self, receipts: Vec<String>) -> usize {
        let mut deleted = 0;
        for batch in receipts.chunks(MAX_BATCH) {
            let entry =
                |(number, receipt): (usize, &String)| json!({ "Id": number.to_string(), "ReceiptHandle": receipt });
            let entries: Vec<Value> = batch.iter().enumerate().map(entry).collect();
            match self.sqs.call("DeleteMessageBatch", &json!({ "QueueUrl": self.queue, "Entries": entries })).await {
                Ok(answer) => deleted += answer["Successful"].as_array().map_or(0, Vec::len),
                Err(error) => tracing::warn!(
                    error,
                    queue = self.queue,
                    "messages could not be deleted; they will be received again"
                ),
            }
        }
        deleted
    }
}

fn text(message: &Value, field: &str) -> String {
    message[field].as_str().unwrap_or_default().to_owned()
}

/// Returns a message in the format of a Lambda event.
fn record(queue: &str, message: &Value) -> Value {
    let mut record = json!({
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "md5OfBody": message["MD5OfBody"],
        "attributes": message["Attributes"],
        "messageAttributes": attributes(&message["MessageAttributes"]),
        "eventSource": "aws:sqs",
        "eventSourceARN": arn(queue),
        "awsRegion": crate::REGION,
    });
    if let Value::String(checksum) = &message["MD5OfMessageAttributes"] {
        record["md5OfMessageAttributes"] = checksum.clone().into();
    }
    record
}

fn attributes(attributes: &Value) -> Value {
    let attribute = |(name, attribute): (&String, &Value)| {
        let mut shown = json!({ "stringListValues": [], "binaryListValues": [], "dataType": attribute["DataType"] });
        for (field, from) in [("stringValue", "StringValue"), ("binaryValue", "BinaryValue")] {
            if let Value::String(value) = &attribute[from] {
                shown[field] = value.clone().into();
            }
        }
        (name.clone(), shown)
    };
    Value::Object(attributes.as_object().map_or_else(Map::new, |all| all.iter().map(attribute).collect()))
}
