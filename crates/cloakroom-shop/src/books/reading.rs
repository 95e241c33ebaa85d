//! Reads the books from the table, the payload stores and the queues.

use std::{
    collections::{BTreeMap, HashMap},
    error::Error,
};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::QueueAttributeName;
use cloakroom::engine::parking::dead_letter_queue;
use cloakroom::{
    Partition, PortError,
    format::{Settles, schema::payload_attribute},
    ports::{Found, Placement, StateRead},
};
use serde::de::DeserializeOwned;

use super::{Books, Entry};
use crate::{Service, Site};

impl Books {
    /// Reads every item of the tables, every key of the bucket and the depth of every queue. While services run, the
    /// result is not consistent in time.
    ///
    /// # Errors
    /// A call to AWS failed, or the table has an item that is not the shop's.
    pub async fn read(site: &Site, queues: &QueueDepths) -> Result<Self, PortError> {
        let mut books = Self { messages: queues.all().await?, ..Self::default() };
        let embedded = read_table(site, &mut books).await?;
        for found in embedded {
            // A record whose message is settled stays until the next commit drops it.
            if !is_settled(site, &found).await? {
                books.records.push(format!("{} in the state of {}", found.message, found.endpoint));
            }
        }
        read_bucket(site, &mut books).await?;
        read_payload_table(site, &mut books).await?;
        Ok(books)
    }
}

/// Returns the records that are embedded in states.
async fn read_table(site: &Site, books: &mut Books) -> Result<Vec<Found>, PortError> {
    let mut embedded = Vec::new();
    let table = &site.settings.table;
    let what = format!("reading table `{table}`");
    let mut pages = site.dynamodb.scan().table_name(table).consistent_read(true).into_paginator().items().send();
    while let Some(item) = pages.next().await {
        let item = item.map_err(failed(&what))?;
        let text = |name| item.get(name).and_then(|value: &AttributeValue| value.as_s().ok()).cloned();
        let (Some(partition), Some(sort_key)) = (text("pk"), text("sk")) else {
            return Err(PortError::new(what, "it has an item without the keys `pk` and `sk`")
                .without_effect()
                .permanent());
        };
        let plain = cloakroom_aws::item_from_sdk(item.clone());
        let plain = plain.map_err(|error| PortError::new(&*what, error).without_effect().permanent())?;
        let found = Found::read(&Partition::new(partition.clone()), &sort_key, &plain).into_iter();
        embedded.extend(found.filter(|found| found.placement == Placement::Embedded));
        let id = partition.split_once('#').map_or(&*partition, |(_, id)| id).to_owned();
        match sort_key.as_str() {
            "state#orders" => drop(books.orders.insert(id, entry(&partition, item)?)),
            "state#stock" => drop(books.stock.insert(id, entry(&partition, item)?)),
            "state#billing" => drop(books.accounts.insert(id, entry(&partition, item)?)),
            _ => books.records.push(sort_key),
        }
    }
    Ok(embedded)
}

async fn is_settled(site: &Site, found: &Found) -> Result<bool, PortError> {
    let unreadable = |error: String| PortError::new("reading an embedded record", error).without_effect().permanent();
    let ports = site.aws().map_err(|error| unreadable(error.to_string()))?.ports();
    let record = found.record.as_ref().map_err(|error| unreadable(error.clone()))?;
    match &record.settles {
        Some(Settles::Payload(claim)) => Ok(ports.payloads.read(claim).await?.is_none()),
        Some(Settles::Entry(_)) => ports.payloads.has_entry(&found.endpoint, &found.message).await,
        Some(Settles::Retained(_)) | None => Ok(false),
    }
}

fn entry<S: DeserializeOwned>(partition: &str, item: HashMap<String, AttributeValue>) -> Result<Entry<S>, PortError> {
    let unreadable = |error: &dyn Error| {
        PortError::new(format!("reading `{partition}`"), error.to_string()).without_effect().permanent()
    };
    let item = cloakroom_aws::item_from_sdk(item).map_err(|error| unreadable(&error))?;
    let read = cloakroom::ports::placement::read_state_item("reading the state", Some(item));
    let StateRead { version, state, .. } = read.map_err(|error| unreadable(&error))?;
    let state = serde_dynamo::from_item(state.unwrap_or_default()).map_err(|error| unreadable(&error))?;
    Ok(Entry { state, version: version.number() })
}

/// The key of a payload is its claim. Keys of dedupe entries contain a `/`.
async fn read_bucket(site: &Site, books: &mut Books) -> Result<(), PortError> {
    let bucket = &site.settings.bucket;
    let mut pages = site.s3.list_objects_v2().bucket(bucket).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(failed(&format!("listing bucket `{bucket}`")))?;
        let is_payload = |object: &&aws_sdk_s3::types::Object| object.key().is_some_and(|key| !key.contains('/'));
        books.payloads += page.contents().iter().filter(is_payload).count() as u64;
    }
    Ok(())
}

/// Dedupe entries have no body.
async fn read_payload_table(site: &Site, books: &mut Books) -> Result<(), PortError> {
    let Some(table) = &site.settings.payload_table else { return Ok(()) };
    let scan = site.dynamodb.scan().table_name(table).consistent_read(true);
    let mut items = scan.into_paginator().items().send();
    while let Some(item) = items.next().await {
        let item = item.map_err(failed(&format!("reading table `{table}`")))?;
        books.payloads += u64::from(item.contains_key(payload_attribute::BODY));
    }
    Ok(())
}

/// Converts an error of the SDK, with its whole chain of causes.
fn failed<E: Error>(what: &str) -> impl Fn(E) -> PortError {
    move |error| {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        PortError::new(what, text).without_effect()
    }
}

/// The queues of the services and their dead-letter queues, looked up once. Later requests ask only for their depth,
/// and are not counted in the cost of a message.
#[derive(Clone, Debug)]
pub struct QueueDepths {
    sqs: aws_sdk_sqs::Client,
    /// By queue.
    urls: BTreeMap<String, String>,
}

impl QueueDepths {
    /// Looks up the queues.
    ///
    /// # Errors
    /// A queue does not exist, or access to it is denied.
    pub async fn find(site: &Site) -> Result<Self, PortError> {
        let mut urls = BTreeMap::new();
        for service in Service::ALL {
            for queue in [service.name().to_owned(), dead_letter_queue(service.name())] {
                let name = site.settings.queues.full_name(&queue);
                let what = format!("finding queue `{name}`");
                let answer = site.sqs.get_queue_url().queue_name(&name).send().await.map_err(failed(&what))?;
                let url = answer.queue_url.ok_or_else(|| PortError::new(what, "it has no address").without_effect())?;
                urls.insert(queue, url);
            }
        }
        Ok(Self { sqs: site.sqs.clone(), urls })
    }

    /// Returns how many messages each queue holds: visible, delayed and in flight.
    ///
    /// # Errors
    /// A call to SQS failed.
    pub async fn all(&self) -> Result<BTreeMap<String, u64>, PortError> {
        let mut depths = BTreeMap::new();
        for (queue, url) in &self.urls {
            depths.insert(queue.clone(), self.depth(queue, url).await?);
        }
        Ok(depths)
    }

    /// Returns how many messages the services have to process. The queues are asked one after the other, and a message
    /// may move between them: zero is certain only if it is returned twice and nothing was processed in between.
    ///
    /// # Errors
    /// A call to SQS failed.
    pub async fn ahead(&self) -> Result<u64, PortError> {
        let mut ahead = 0;
        for service in Service::ALL {
            if let Some(url) = self.urls.get(service.name()) {
                ahead += self.depth(service.name(), url).await?;
            }
        }
        Ok(ahead)
    }

    async fn depth(&self, queue: &str, url: &str) -> Result<u64, PortError> {
        let what = format!("reading the depth of queue `{queue}`");
        let wanted = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let ask = self.sqs.get_queue_attributes().queue_url(url).set_attribute_names(Some(wanted.to_vec()));
        let attributes = ask.send().await.map_err(failed(&what))?.attributes.unwrap_or_default();
        let numbers = wanted.iter().map(|name| attributes.get(name)?.parse::<u64>().ok());
        let sum: Option<u64> = numbers.sum();
        sum.ok_or_else(|| PortError::new(what, "the response has no depth").without_effect())
    }
}
