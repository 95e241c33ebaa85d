//! Operations on queues as a whole.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::address::{arn, name_in_url, url};
use super::error::{Error, Kind};
use super::queue::Queue;
use super::queues::Queues;
use super::settings::Settings;
use super::{Answer, Sqs};
use crate::clock::SECOND;

/// A request about one queue, with what some of them say besides.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OfQueue {
    #[serde(default)]
    queue_url: String,
    #[serde(default)]
    attribute_names: Vec<String>,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default)]
    tags: BTreeMap<String, String>,
    #[serde(default)]
    tag_keys: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Create {
    queue_name: String,
    #[serde(default)]
    attributes: BTreeMap<String, String>,
    #[serde(default, alias = "tags")]
    tags: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Named {
    queue_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    #[serde(default)]
    queue_name_prefix: String,
    #[serde(default)]
    queue_url: String,
    max_results: Option<usize>,
    #[serde(default)]
    next_token: String,
}

impl Sqs {
    pub(super) fn create_queue(&self, host: &str, create: Create) -> Result<Answer, Error> {
        let name = create.queue_name;
        check_name(&name)?;
        let settings = Settings::parse(&name, create.attributes)?;
        self.change(|queues, now| {
            if let Some(queue) = queues.by_name.get(&name) {
                return agrees(queue, &settings);
            }
            let mut queue = Queue::new(settings, now, queues.durable);
            queue.tags = create.tags;
            queues.by_name.insert(name.clone(), queue);
            queues.reconfigured(&name);
            Ok(())
        })?;
        Ok(Answer::new(&json!({ "QueueUrl": url(host, &name) })))
    }

    pub(super) fn delete_queue(&self, request: &OfQueue) -> Result<Answer, Error> {
        let name = name_in_url(&request.queue_url)?;
        self.change(|queues, _| {
            queues.delete(name)?;
            Ok(Answer::empty())
        })
    }

    pub(super) fn get_queue_url(&self, host: &str, request: &Named) -> Result<Answer, Error> {
        let name = &request.queue_name;
        self.change(|queues, _| queues.get(name).map(drop))?;
        Ok(Answer::new(&json!({ "QueueUrl": url(host, name) })))
    }

    pub(super) fn list_queues(&self, host: &str, list: &List) -> Result<Answer, Error> {
        self.change(|queues, _| {
            let names = queues.by_name.keys();
            let names = names.filter(|name| name.starts_with(&list.queue_name_prefix));
            Ok(list.page(host, "QueueUrls", names))
        })
    }

    pub(super) fn list_dead_letter_source_queues(&self, host: &str, list: &List) -> Result<Answer, Error> {
        let name = name_in_url(&list.queue_url)?;
        self.change(|queues, _| {
            queues.get(name)?;
            Ok(list.page(host, "queueUrls", queues.sources_of(name).into_iter()))
        })
    }

    pub(super) fn get_queue_attributes(&self, request: &OfQueue) -> Result<Answer, Error> {
        let name = name_in_url(&request.queue_url)?;
        self.change(|queues, now| {
            let queue = queues.get(name)?;
            queue.advance(now);
            let mut attributes = attributes(name, queue);
            if !request.attribute_names.iter().any(|wanted| wanted == "All") {
                attributes.retain(|name, _| request.attribute_names.contains(name));
            }
            Ok(Answer::new(&json!({ "Attributes": attributes })))
        })
    }

    pub(super) fn set_queue_attributes(&self, request: OfQueue) -> Result<Answer, Error> {
        self.reconfigure(&request.queue_url, |name, queue| {
            queue.settings = queue.settings.with(name, request.attributes)?;
            Ok(())
        })
    }

    pub(super) fn purge_queue(&self, request: &OfQueue) -> Result<Answer, Error> {
        let name = name_in_url(&request.queue_url)?;
        self.change(|queues, _| {
            queues.get(name)?.purge();
            Ok(Answer::empty())
        })
    }

    pub(super) fn tag_queue(&self, request: OfQueue) -> Result<Answer, Error> {
        self.reconfigure(&request.queue_url, |_, queue| {
            queue.tags.extend(request.tags);
            Ok(())
        })
    }

    pub(super) fn untag_queue(&self, request: &OfQueue) -> Result<Answer, Error> {
        self.reconfigure(&request.queue_url, |_, queue| {
            queue.tags.retain(|key, _| !request.tag_keys.contains(key));
            Ok(())
        })
    }

    pub(super) fn list_queue_tags(&self, request: &OfQueue) -> Result<Answer, Error> {
        let name = name_in_url(&request.queue_url)?;
        self.change(|queues, _| {
            let tags = &queues.get(name)?.tags;
            Ok(Answer::new(&json!({ "Tags": tags })))
        })
    }

    fn reconfigure(
        &self,
        queue_url: &str,
        work: impl FnOnce(&str, &mut Queue) -> Result<(), Error>,
    ) -> Result<Answer, Error> {
        let name = name_in_url(queue_url)?;
        self.change(|queues: &mut Queues, now| {
            let queue = queues.get(name)?;
            work(name, queue)?;
            queue.modified_at = now;
            queue.arrivals.notify_waiters();
            queues.reconfigured(name);
            Ok(Answer::empty())
        })
    }
}

impl List {
    /// One page of queues by name. The token of the next page is the last name of this one.
    fn page<'n>(&self, host: &str, field: &str, names: impl Iterator<Item = &'n String>) -> Answer {
        let most = self.max_results.unwrap_or(1_000).clamp(1, 1_000);
        let mut names = names.filter(|name| **name > self.next_token);
        let page: Vec<&String> = names.by_ref().take(most).collect();
        let urls: Vec<String> = page.iter().map(|name| url(host, name)).collect();
        let mut answer = json!({ field: urls });
        if let (Some(last), Some(_)) = (page.last(), names.next())
            && self.max_results.is_some()
        {
            answer["NextToken"] = json!(last);
        }
        Answer::new(&answer)
    }
}

fn check_name(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let stem = name.strip_suffix(".fifo").unwrap_or(name);
    match !stem.is_empty() && name.len() <= 80 && stem.chars().all(plain) {
        true => Ok(()),
        false => Err(Kind::InvalidParameterValue.because(
            "Can only include alphanumeric characters, hyphens, or underscores. 1 to 80 in \
             length",
        )),
    }
}

/// Creating a queue again is fine if it would be the same.
fn agrees(queue: &Queue, wanted: &Settings) -> Result<(), Error> {
    let existing = queue.settings.effective();
    let differs = |(name, value): (&String, &String)| existing.get(name) != Some(value);
    match wanted.given.iter().find(|pair| differs(*pair)) {
        None => Ok(()),
        Some((attribute, _)) => Err(Kind::QueueNameExists.because(format!(
            "A queue already exists with the same name and a different value for attribute \
             {attribute}"
        ))),
    }
}

fn attributes(name: &str, queue: &Queue) -> BTreeMap<String, String> {
    let counts = queue.counts();
    let mut all = queue.settings.effective();
    let derived = [
        ("QueueArn", arn(name)),
        ("ApproximateNumberOfMessages", counts.ready.to_string()),
        ("ApproximateNumberOfMessagesDelayed", counts.delayed.to_string()),
        ("ApproximateNumberOfMessagesNotVisible", counts.in_flight.to_string()),
        ("CreatedTimestamp", (queue.created_at / SECOND).to_string()),
        ("LastModifiedTimestamp", (queue.modified_at / SECOND).to_string()),
    ];
    all.extend(derived.map(|(name, value)| (name.to_owned(), value)));
    all
}
