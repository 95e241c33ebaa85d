//! Operations on queues: creating, configuring, listing, tagging, purging and deleting.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use crate::clock::SECOND;
use crate::sqs::address::{arn, name_in_url, url};
use crate::sqs::error::{Error, Kind};
use crate::sqs::parameters::within;
use crate::sqs::queue::Queue;
use crate::sqs::queues::Queues;
use crate::sqs::service::{Answer, Sqs};
use crate::sqs::settings::{self, Settings};

/// A request on one queue, with the parameters that some operations have.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct QueueRequest {
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
pub(super) struct GetUrl {
    queue_name: String,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    #[serde(default)]
    queue_name_prefix: String,
    #[serde(default)]
    queue_url: String,
    max_results: Option<i64>,
    #[serde(default)]
    next_token: String,
}

impl Sqs {
    pub(super) fn create_queue(&self, host: &str, create: Create) -> Result<Answer, Error> {
        let name = create.queue_name;
        check_name(&name)?;
        let settings = Settings::parse(&name, create.attributes)?;
        self.change(|queues, now| queues.create(now, &name, settings, create.tags))?;
        Ok(Answer::new(&json!({ "QueueUrl": url(host, &name) })))
    }

    pub(super) fn delete_queue(&self, request: &QueueRequest) -> Result<Answer, Error> {
        let name = name_in_url(&request.queue_url)?;
        self.change(|queues, now| queues.delete(now, name)).map(|()| Answer::empty())
    }

    pub(super) fn get_queue_url(&self, host: &str, request: &GetUrl) -> Result<Answer, Error> {
        let name = &request.queue_name;
        self.change(|queues, _| queues.get(name).map(drop))?;
        Ok(Answer::new(&json!({ "QueueUrl": url(host, name) })))
    }

    pub(super) fn list_queues(&self, host: &str, list: &List) -> Result<Answer, Error> {
        self.change(|queues, _| {
            let names = queues.by_name.keys();
            let names = names.filter(|name| name.starts_with(&list.queue_name_prefix));
            list.page(host, "QueueUrls", names)
        })
    }

    pub(super) fn list_dead_letter_source_queues(&self, host: &str, list: &List) -> Result<Answer, Error> {
        let name = name_in_url(&list.queue_url)?;
        self.change(|queues, _| {
            queues.get(name)?;
            list.page(host, "queueUrls", queues.sources_of(name).into_iter())
        })
    }

    pub(super) fn get_queue_attributes(&self, request: &QueueRequest) -> Result<Answer, Error> {
        let name = name_in_url(&request.queue_url)?;
        self.change(|queues, now| {
            let queue = queues.get(name)?;
            request.attribute_names.iter().try_for_each(|wanted| settings::check_readable(wanted))?;
            queue.advance(now);
            let mut attributes = attributes(name, queue);
            if !request.attribute_names.iter().any(|wanted| wanted == "All") {
                attributes.retain(|name, _| request.attribute_names.contains(name));
            }
            Ok(Answer::new(&json!({ "Attributes": attributes })))
        })
    }

    pub(super) fn set_queue_attributes(&self, request: QueueRequest) -> Result<Answer, Error> {
        self.reconfigure(&request.queue_url, |name, queues| {
            let policy = request.attributes.get("RedrivePolicy").filter(|policy| !policy.is_empty()).cloned();
            let settings = queues.get(name)?.settings.with(name, request.attributes)?;
            policy.map_or(Ok(()), |policy| queues.check_dead_letter_queue(name, &policy))?;
            queues.get(name)?.settings = settings;
            Ok(())
        })
    }

    pub(super) fn purge_queue(&self, request: &QueueRequest) -> Result<Answer, Error> {
        let name = name_in_url(&request.queue_url)?;
        self.change(|queues, now| queues.purge(now, name)).map(|()| Answer::empty())
    }

    pub(super) fn tag_queue(&self, request: QueueRequest) -> Result<Answer, Error> {
        self.reconfigure(&request.queue_url, |name, queues| {
            queues.get(name)?.tags.extend(request.tags);
            Ok(())
        })
    }

    pub(super) fn untag_queue(&self, request: &QueueRequest) -> Result<Answer, Error> {
        self.reconfigure(&request.queue_url, |name, queues| {
            queues.get(name)?.tags.retain(|key, _| !request.tag_keys.contains(key));
            Ok(())
        })
    }

    pub(super) fn list_queue_tags(&self, request: &QueueRequest) -> Result<Answer, Error> {
        let name = name_in_url(&request.queue_url)?;
        self.change(|queues, _| {
            let tags = &queues.get(name)?.tags;
            Ok(Answer::new(&json!({ "Tags": tags })))
        })
    }

    fn reconfigure(
        &self,
        queue_url: &str,
        work: impl FnOnce(&str, &mut Queues) -> Result<(), Error>,
    ) -> Result<Answer, Error> {
        let name = name_in_url(queue_url)?;
        self.change(|queues: &mut Queues, now| {
            work(name, queues)?;
            let queue = queues.get(name)?;
            queue.modified_at = now;
            queue.arrivals.notify_waiters();
            queues.reconfigured(name);
            Ok(Answer::empty())
        })
    }
}

impl List {
    /// Returns one page of queues by name. The token of the next page is the last name of this
    /// page.
    fn page<'n>(&self, host: &str, field: &str, names: impl Iterator<Item = &'n String>) -> Result<Answer, Error> {
        let max = within("MaxResults", self.max_results, 1, 1_000)?.unwrap_or(1_000);
        let max = usize::try_from(max).unwrap_or(1_000);
        let mut names = names.filter(|name| **name > self.next_token);
        let page: Vec<&String> = names.by_ref().take(max).collect();
        let urls: Vec<String> = page.iter().map(|name| url(host, name)).collect();
        let mut answer = json!({ field: urls });
        if let (Some(last), Some(_)) = (page.last(), names.next())
            && self.max_results.is_some()
        {
            answer["NextToken"] = json!(last);
        }
        Ok(Answer::new(&answer))
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
