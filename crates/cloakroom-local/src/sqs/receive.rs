//! ReceiveMessage, with long polling.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::clock::{self, Millis, SECOND};
use crate::sqs::address::{ACCOUNT, ReceiptHandle, name_in_url, sequence};
use crate::sqs::error::{Error, Kind};
use crate::sqs::message::{Attribute, Received, md5_of_attributes, md5_of_body};
use crate::sqs::parameters::{check_id, within};
use crate::sqs::queues::{Delivered, Poll};
use crate::sqs::service::{Answer, Sqs};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Receive {
    #[serde(default)]
    queue_url: String,
    max_number_of_messages: Option<i64>,
    visibility_timeout: Option<i64>,
    wait_time_seconds: Option<i64>,
    /// The older name of the next field.
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    message_system_attribute_names: Vec<String>,
    #[serde(default)]
    message_attribute_names: Vec<String>,
    receive_request_attempt_id: Option<String>,
}

/// The attributes of messages that the service sets.
const SYSTEM_ATTRIBUTES: [&str; 9] = [
    "SenderId",
    "SentTimestamp",
    "ApproximateReceiveCount",
    "ApproximateFirstReceiveTimestamp",
    "MessageGroupId",
    "MessageDeduplicationId",
    "SequenceNumber",
    "AWSTraceHeader",
    "DeadLetterQueueSourceArn",
];

#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Messages<'m> {
    #[serde(skip_serializing_if = "Vec::is_empty")]
    messages: Vec<MessageOutput<'m>>,
}

/// A message in the response.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct MessageOutput<'m> {
    message_id: &'m str,
    receipt_handle: String,
    #[serde(rename = "MD5OfBody")]
    md5_of_body: String,
    body: &'m str,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    attributes: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    message_attributes: BTreeMap<&'m String, &'m Attribute>,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_attributes: Option<String>,
}

impl Sqs {
    pub(super) async fn receive_message(&self, receive: Receive) -> Result<Answer, Error> {
        let name = name_in_url(&receive.queue_url)?;
        let max_messages = within("MaxNumberOfMessages", receive.max_number_of_messages, 1, 10)?;
        let max_messages = usize::try_from(max_messages.unwrap_or(1)).unwrap_or(1);
        let visibility = within("VisibilityTimeout", receive.visibility_timeout, 0, 43_200)?;
        let visibility = visibility.map(|seconds| seconds * SECOND);
        let wait = within("WaitTimeSeconds", receive.wait_time_seconds, 0, 20)?;
        let wait = wait.map(|seconds| seconds * SECOND);
        let attempt = receive.receive_request_attempt_id.clone();
        attempt.as_deref().map_or(Ok(()), |id| check_id("ReceiveRequestAttemptId", id))?;
        receive.requested().try_for_each(check_system_attribute)?;

        let delivered = self.poll(name, &Poll { max_messages, visibility, attempt }, wait).await?;
        self.meter.record(|usage| {
            usage.sqs.messages_received += delivered.messages.len() as u64;
            usage.faults.duplicate_deliveries += delivered.duplicates;
        });
        let size = delivered.messages.iter().map(|m| m.content.size()).sum();
        let shown = delivered.messages.iter().map(|m| receive.output(name, m));
        let messages = Messages { messages: shown.collect() };
        Ok(Answer::new(&messages).carrying(size))
    }

    /// Receives immediately or, if there is no message, when one becomes available, until the wait
    /// ends.
    async fn poll(&self, name: &str, poll: &Poll, wait: Option<Millis>) -> Result<Delivered, Error> {
        let started = Instant::now();
        let mut stop = self.stop.clone();
        loop {
            let (wait, arrivals) = self.change(|queues, _| {
                let queue = queues.get(name)?;
                if poll.attempt.is_some() && !queue.settings.fifo {
                    return Err(Kind::InvalidParameterValue.because(
                        "The request includes a parameter that is not valid for this queue type: \
                         ReceiveRequestAttemptId is for FIFO queues.",
                    ));
                }
                Ok((wait.unwrap_or(queue.settings.wait), std::sync::Arc::clone(&queue.arrivals)))
            })?;
            // Registered before the queue is examined, so that a message that arrives in between is
            // not missed.
            let arrival = arrivals.notified();
            tokio::pin!(arrival);
            if wait > 0 {
                arrival.as_mut().enable();
            }
            let (delivered, deadline) = self.change(|queues, now| {
                let delivered = queues.receive(now, name, poll, &self.injector)?;
                Ok((delivered, queues.get(name)?.next_deadline()))
            })?;
            let end = started + Duration::from_millis(wait);
            if !delivered.messages.is_empty() || Instant::now() >= end || *stop.borrow() {
                return Ok(delivered);
            }
            tokio::select! {
                () = arrival => {}
                () = tokio::time::sleep_until(earlier(end, deadline)) => {}
                _ = stop.changed() => {}
            }
        }
    }
}

/// Returns the earlier one of the end of the wait and the next deadline.
fn earlier(end: Instant, deadline: Option<Millis>) -> Instant {
    match deadline {
        // One millisecond more, because deadlines have a resolution of one millisecond.
        Some(deadline) => {
            let left = deadline.saturating_sub(clock::now()) + 1;
            end.min(Instant::now() + Duration::from_millis(left))
        }
        None => end,
    }
}

impl Receive {
    fn output<'m>(&self, queue: &str, message: &'m Received) -> MessageOutput<'m> {
        let content = &message.content;
        let handle = ReceiptHandle { number: message.number, receipt: message.delivery.receipt.unwrap_or_default() };
        let attributes: BTreeMap<_, _> =
            content.attributes.iter().filter(|(name, _)| self.wants_attribute(name)).collect();
        MessageOutput {
            message_id: &content.id,
            receipt_handle: handle.encode(queue),
            md5_of_body: md5_of_body(&content.body),
            body: &content.body,
            attributes: self.system_attributes(message),
            md5_of_attributes: md5_of_attributes(attributes.iter().map(|(name, value)| (*name, *value))),
            message_attributes: attributes,
        }
    }

    fn wants_attribute(&self, name: &str) -> bool {
        self.message_attribute_names.iter().any(|wanted| {
            wanted == "All"
                || wanted == name
                || wanted.strip_suffix(".*").is_some_and(|prefix| name.starts_with(prefix))
        })
    }

    fn system_attributes(&self, message: &Received) -> BTreeMap<&'static str, String> {
        let (content, delivery) = (&message.content, &message.delivery);
        let number = content.group.as_ref().and(content.deduplication_id.as_ref());
        let values = [
            Some(ACCOUNT.to_owned()),
            Some(content.sent_at.to_string()),
            Some(delivery.received.to_string()),
            delivery.first_received_at.map(|at| at.to_string()),
            content.group.clone(),
            content.deduplication_id.clone(),
            number.map(|_| sequence(message.number)),
            content.trace_header.clone(),
            content.dead_letter_source.clone(),
        ];
        let wanted = |name: &str| self.requested().any(|wanted| wanted == "All" || wanted == name);
        let all = SYSTEM_ATTRIBUTES.into_iter().zip(values);
        all.filter(|(name, _)| wanted(name)).filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// Returns the names of the requested system attributes.
    fn requested(&self) -> impl Iterator<Item = &str> {
        self.message_system_attribute_names.iter().chain(&self.attribute_names).map(String::as_str)
    }
}

fn check_system_attribute(name: &str) -> Result<(), Error> {
    match name == "All" || SYSTEM_ATTRIBUTES.contains(&name) {
        true => Ok(()),
        false => Err(Kind::InvalidAttributeName.because(format!("Unknown Attribute {name}."))),
    }
}
