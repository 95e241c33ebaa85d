//! ReceiveMessage, with long polling.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use super::address::{ACCOUNT, Handle, name_in_url};
use super::error::{Error, Kind};
use super::message::{Attribute, md5_of_attributes, md5_of_body};
use super::queue::Received;
use super::queues::{Delivered, Poll};
use super::send::{check_id, sequence};
use super::{Answer, Sqs};
use crate::clock::{self, Millis, SECOND};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Receive {
    #[serde(default)]
    queue_url: String,
    max_number_of_messages: Option<i64>,
    visibility_timeout: Option<i64>,
    wait_time_seconds: Option<i64>,
    /// The older name of the next.
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    message_system_attribute_names: Vec<String>,
    #[serde(default)]
    message_attribute_names: Vec<String>,
    receive_request_attempt_id: Option<String>,
}

/// The attributes of messages that are not given by their senders.
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
    messages: Vec<Shown<'m>>,
}

/// A message as its receiver sees it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown<'m> {
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
        let most = within("MaxNumberOfMessages", receive.max_number_of_messages, 1, 10)?;
        let most = usize::try_from(most.unwrap_or(1)).unwrap_or(1);
        let visibility = within("VisibilityTimeout", receive.visibility_timeout, 0, 43_200)?;
        let visibility = visibility.map(|seconds| seconds * SECOND);
        let wait = within("WaitTimeSeconds", receive.wait_time_seconds, 0, 20)?;
        let wait = wait.map(|seconds| seconds * SECOND);
        let attempt = receive.receive_request_attempt_id.clone();
        attempt.as_deref().map_or(Ok(()), |id| check_id("ReceiveRequestAttemptId", id))?;
        receive.asked().try_for_each(check_system_attribute)?;

        let delivered = self.poll(name, &Poll { most, visibility, attempt }, wait).await?;
        self.meter.record(|usage| {
            usage.sqs.messages_received += delivered.messages.len() as u64;
            usage.faults.duplicate_deliveries += delivered.duplicates;
        });
        let size = delivered.messages.iter().map(|m| m.content.size()).sum();
        let shown = delivered.messages.iter().map(|m| receive.show(name, m));
        let messages = Messages { messages: shown.collect() };
        Ok(Answer::new(&messages).carrying(size))
    }

    /// Receives at once or, if there is nothing, as soon as there is something, until the wait
    /// is over.
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
            // Registered before looking, so that nothing arrives unseen in between.
            let arrival = arrivals.notified();
            tokio::pin!(arrival);
            if wait > 0 {
                arrival.as_mut().enable();
            }
            let (delivered, deadline) = self.change(|queues, now| {
                let delivered = queues.receive(now, name, poll, &self.dice)?;
                Ok((delivered, queues.get(name)?.next_deadline()))
            })?;
            let over = started + Duration::from_millis(wait);
            if !delivered.messages.is_empty() || Instant::now() >= over || *stop.borrow() {
                return Ok(delivered);
            }
            tokio::select! {
                () = arrival => {}
                () = tokio::time::sleep_until(earlier(over, deadline)) => {}
                _ = stop.changed() => {}
            }
        }
    }
}

/// The end of a wait that has to look again when a message becomes visible.
fn earlier(over: Instant, deadline: Option<Millis>) -> Instant {
    match deadline {
        // One millisecond more, because the clock that deadlines are of counts whole ones.
        Some(deadline) => {
            let left = deadline.saturating_sub(clock::now()) + 1;
            over.min(Instant::now() + Duration::from_millis(left))
        }
        None => over,
    }
}

/// Checks the range of a parameter.
pub(super) fn within(parameter: &str, value: Option<i64>, least: u64, most: u64) -> Result<Option<u64>, Error> {
    let Some(value) = value else { return Ok(None) };
    match u64::try_from(value) {
        Ok(number) if (least..=most).contains(&number) => Ok(Some(number)),
        _ => Err(Kind::InvalidParameterValue.because(format!(
            "Value {value} for parameter {parameter} is invalid. Reason: Must be between {least} \
             and {most}, if provided."
        ))),
    }
}

impl Receive {
    fn show<'m>(&self, queue: &str, message: &'m Received) -> Shown<'m> {
        let content = &message.content;
        let handle = Handle { number: message.number, receipt: message.delivery.receipt.unwrap_or_default() };
        let attributes: BTreeMap<_, _> =
            content.attributes.iter().filter(|(name, _)| self.wants_attribute(name)).collect();
        Shown {
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
        let wanted = |name: &str| self.asked().any(|wanted| wanted == "All" || wanted == name);
        let all = SYSTEM_ATTRIBUTES.into_iter().zip(values);
        all.filter(|(name, _)| wanted(name)).filter_map(|(name, value)| Some((name, value?))).collect()
    }

    /// The names of the system attributes that are asked for.
    fn asked(&self) -> impl Iterator<Item = &str> {
        self.message_system_attribute_names.iter().chain(&self.attribute_names).map(String::as_str)
    }
}

fn check_system_attribute(name: &str) -> Result<(), Error> {
    match name == "All" || SYSTEM_ATTRIBUTES.contains(&name) {
        true => Ok(()),
        false => Err(Kind::InvalidAttributeName.because(format!("Unknown Attribute {name}."))),
    }
}
