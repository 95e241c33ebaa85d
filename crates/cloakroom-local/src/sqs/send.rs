//! SendMessage and SendMessageBatch.

use serde::{Deserialize, Serialize};

use crate::clock::{Millis, SECOND};
use crate::identifier;
use crate::sqs::address::{name_in_url, sequence};
use crate::sqs::attributes;
use crate::sqs::batch::{Batch, Entry};
use crate::sqs::error::{Error, Kind};
use crate::sqs::message::{self, Attributes, Content, hex, md5_of_attributes, md5_of_body};
use crate::sqs::parameters::check_id;
use crate::sqs::queue::Queue;
use crate::sqs::service::{Answer, Sqs};
use crate::sqs::settings::{MAX_MESSAGE_BYTES, Settings};
use s3s::crypto::Checksum as _;

/// A message in a request, alone or in a batch.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Outgoing {
    #[serde(default)]
    id: String,
    #[serde(default)]
    queue_url: String,
    message_body: Option<String>,
    delay_seconds: Option<i64>,
    #[serde(default)]
    message_attributes: Attributes,
    #[serde(default)]
    message_system_attributes: Attributes,
    message_group_id: Option<String>,
    message_deduplication_id: Option<String>,
}

impl Entry for Outgoing {
    fn id(&self) -> &str {
        &self.id
    }
}

/// The result of a send.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Sent {
    #[serde(skip_serializing_if = "String::is_empty")]
    id: String,
    message_id: String,
    #[serde(rename = "MD5OfMessageBody")]
    md5_of_body: String,
    #[serde(rename = "MD5OfMessageAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_attributes: Option<String>,
    #[serde(rename = "MD5OfMessageSystemAttributes", skip_serializing_if = "Option::is_none")]
    md5_of_system_attributes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence_number: Option<String>,
}

impl Sqs {
    pub(super) fn send_message(&self, message: Outgoing) -> Result<Answer, Error> {
        let name = name_in_url(&message.queue_url)?.to_owned();
        let mut size = 0;
        let sent = self.change(|queues, now| self.send(queues.get(&name)?, now, message, &mut size))?;
        Ok(Answer::new(&sent).carrying(size))
    }

    pub(super) fn send_message_batch(&self, batch: Batch<Outgoing>) -> Result<Answer, Error> {
        let name = name_in_url(&batch.queue_url)?.to_owned();
        self.change(|queues, _| queues.get(&name).map(drop))?;
        batch.check()?;
        let total: usize = batch.entries.iter().map(Outgoing::size).sum();
        if total > MAX_MESSAGE_BYTES {
            return Err(Kind::BatchRequestTooLong.because(format!(
                "Batch requests cannot be longer than {MAX_MESSAGE_BYTES} bytes. You have sent \
                 {total} bytes."
            )));
        }
        let mut size = 0;
        let outcome = self.change(|queues, now| {
            let queue = queues.get(&name)?;
            Ok(batch.each(|message| self.send(queue, now, message, &mut size)))
        })?;
        Ok(Answer::new(&outcome).carrying(size))
    }

    fn send(&self, queue: &mut Queue, now: Millis, message: Outgoing, size: &mut usize) -> Result<Sent, Error> {
        queue.advance(now);
        let id = message.id.clone();
        let md5_of_system_attributes = md5_of_attributes(&message.message_system_attributes);
        let delay = message.delay(&queue.settings)?;
        let content = message.into_content(&queue.settings, now)?;
        *size += content.size();
        let mut sent = Sent {
            id,
            message_id: content.id.clone(),
            md5_of_body: md5_of_body(&content.body),
            md5_of_attributes: md5_of_attributes(&content.attributes),
            md5_of_system_attributes,
            sequence_number: None,
        };
        if let Some(original) = queue.original(now, &content) {
            sent.message_id.clone_from(&original.message_id);
            sent.sequence_number = Some(sequence(original.number));
            return Ok(sent);
        }
        let late = match queue.settings.fifo {
            true => None,
            false => self.injector.late_delivery(),
        };
        let number = queue.send(now, content, delay + late.unwrap_or(0));
        sent.sequence_number = queue.settings.fifo.then(|| sequence(number));
        self.meter.record(|usage| {
            usage.sqs.messages_sent += 1;
            usage.faults.late_deliveries += u64::from(late.is_some());
        });
        Ok(sent)
    }
}

impl Outgoing {
    fn size(&self) -> usize {
        message::size(self.message_body.as_deref().unwrap_or_default(), &self.message_attributes)
    }

    fn delay(&self, settings: &Settings) -> Result<Millis, Error> {
        let Some(seconds) = self.delay_seconds else {
            return Ok(settings.delay);
        };
        let refuse = |why: &str| {
            Err(Kind::InvalidParameterValue
                .because(format!("Value {seconds} for parameter DelaySeconds is invalid. Reason: {why}.")))
        };
        match u64::try_from(seconds) {
            Ok(seconds) if settings.fifo && seconds * SECOND != settings.delay => {
                refuse("The request include parameter that is not valid for this queue type")
            }
            Ok(seconds) if seconds <= 900 => Ok(seconds * SECOND),
            _ => refuse("DelaySeconds must be >= 0 and <= 900"),
        }
    }

    fn into_content(self, settings: &Settings, now: Millis) -> Result<Content, Error> {
        let size = self.size();
        let body = self
            .message_body
            .filter(|body| !body.is_empty())
            .ok_or_else(|| Kind::MissingParameter.because("The request must contain the parameter MessageBody."))?;
        if !body.chars().all(attributes::is_allowed) {
            return Err(Kind::InvalidMessageContents.because(
                "Invalid characters found. Valid unicode characters are #x9 | #xA | #xD | #x20 \
                 to #xD7FF | #xE000 to #xFFFD | #x10000 to #x10FFFF",
            ));
        }
        if size > settings.max_message_bytes {
            return Err(Kind::InvalidParameterValue.because(format!(
                "One or more parameters are invalid. Reason: Message must be shorter than {} \
                 bytes.",
                settings.max_message_bytes
            )));
        }
        attributes::check(&self.message_attributes)?;
        attributes::check_system(&self.message_system_attributes)?;
        let group = group(self.message_group_id, settings)?;
        let deduplication_id = deduplication_id(self.message_deduplication_id, &body, settings)?;
        let trace = self.message_system_attributes.get("AWSTraceHeader");
        Ok(Content {
            id: identifier::unique(),
            trace_header: trace.and_then(|trace| trace.string_value.clone()),
            attributes: self.message_attributes,
            body,
            group,
            deduplication_id,
            sent_at: now,
            dead_letter_source: None,
        })
    }
}

fn group(given: Option<String>, settings: &Settings) -> Result<Option<String>, Error> {
    match &given {
        Some(group) => check_id("MessageGroupId", group)?,
        None if settings.fifo => {
            return Err(Kind::MissingParameter.because("The request must contain the parameter MessageGroupId."));
        }
        None => {}
    }
    Ok(given)
}

fn deduplication_id(given: Option<String>, body: &str, settings: &Settings) -> Result<Option<String>, Error> {
    let refuse = |why: &str| Err(Kind::InvalidParameterValue.because(why));
    match given {
        Some(_) if !settings.fifo => refuse(
            "The request includes a parameter that is not valid for this queue type: \
             MessageDeduplicationId is for FIFO queues.",
        ),
        Some(id) => check_id("MessageDeduplicationId", &id).map(|()| Some(id)),
        None if !settings.fifo => Ok(None),
        None if settings.deduplicates_by_content => Ok(Some(hex(&s3s::crypto::Sha256::checksum(body.as_bytes())))),
        None => refuse(
            "The queue should either have ContentBasedDeduplication enabled or \
             MessageDeduplicationId provided explicitly",
        ),
    }
}
