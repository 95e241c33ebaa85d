//! The event source: batches of messages, and what becomes of them afterwards.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::settings::FunctionSettings;
use crate::clock::{self, SECOND};
use crate::sqs::{self, Sqs};

/// What SQS gives, and takes, in one request.
const MOST: usize = 10;
/// The longest long poll, in seconds.
const LONGEST_WAIT: u64 = 20;

/// One queue, seen by the trigger of a function. It is a client of SQS like any other.
pub(super) struct EventSource {
    sqs: Sqs,
    queue: String,
    batch_size: usize,
    window: clock::Millis,
}

/// The receipts of a batch, by message id. A message may be in it twice.
pub(super) type Receipts = BTreeMap<String, Vec<String>>;

impl EventSource {
    /// A queue that can trigger such a function.
    pub(super) async fn open(sqs: Sqs, queue: &str, settings: &FunctionSettings) -> Result<Self, String> {
        let request = json!({ "QueueUrl": queue, "AttributeNames": ["VisibilityTimeout"] });
        let answer = sqs.call("GetQueueAttributes", &request).await?;
        let visibility = answer["Attributes"]["VisibilityTimeout"].as_str().and_then(|text| text.parse::<u64>().ok());
        if visibility.is_none_or(|visibility| visibility < settings.timeout_s) {
            return Err(format!(
                "the visibility timeout of the queue {queue} is less than `timeout_s`, which is {}: messages would be \
                 received again while they are worked on",
                settings.timeout_s
            ));
        }
        let window = settings.batch_window_s * SECOND;
        Ok(Self { sqs, queue: queue.to_owned(), batch_size: settings.batch_size, window })
    }

    /// Waits for messages and collects a batch: the event of an invocation, and the receipts of what is in it.
    pub(super) async fn batch(&self) -> Result<(Value, Receipts), String> {
        let mut messages = Vec::new();
        while messages.is_empty() {
            messages = self.receive(self.batch_size, LONGEST_WAIT).await?;
        }
        let until = clock::now() + self.window;
        loop {
            let left = until.saturating_sub(clock::now()).div_ceil(SECOND).min(LONGEST_WAIT);
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

    async fn receive(&self, most: usize, wait: u64) -> Result<Vec<Value>, String> {
        let request = json!({
            "QueueUrl": self.queue,
            "MaxNumberOfMessages": most.min(MOST),
            "WaitTimeSeconds": wait,
            "MessageSystemAttributeNames": ["All"],
            "MessageAttributeNames": ["All"],
        });
        let answer = self.sqs.call("ReceiveMessage", &request).await?;
        // Without any there is no field.
        Ok(answer["Messages"].as_array().cloned().unwrap_or_default())
    }

    /// Deletes messages, and tells how many could be deleted.
    pub(super) async fn delete(&self, receipts: Vec<String>) -> usize {
        let mut deleted = 0;
        for batch in receipts.chunks(MOST) {
            let entry =
                |(number, receipt): (usize, &String)| json!({ "Id": number.to_string(), "ReceiptHandle": receipt });
            let entries: Vec<Value> = batch.iter().enumerate().map(entry).collect();
            match self.sqs.call("DeleteMessageBatch", &json!({ "QueueUrl": self.queue, "Entries": entries })).await {
                Ok(answer) => deleted += answer["Successful"].as_array().map_or(0, Vec::len),
                Err(error) => tracing::warn!(error, queue = self.queue, "messages are not deleted: they come again"),
            }
        }
        deleted
    }
}

fn text(message: &Value, field: &str) -> String {
    message[field].as_str().unwrap_or_default().to_owned()
}

/// A message as a function sees it.
fn record(queue: &str, message: &Value) -> Value {
    let mut record = json!({
        "messageId": message["MessageId"],
        "receiptHandle": message["ReceiptHandle"],
        "body": message["Body"],
        "md5OfBody": message["MD5OfBody"],
        "attributes": message["Attributes"],
        "messageAttributes": attributes(&message["MessageAttributes"]),
        "eventSource": "aws:sqs",
        "eventSourceARN": sqs::arn(queue),
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
