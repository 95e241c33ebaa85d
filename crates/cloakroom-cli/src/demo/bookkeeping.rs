//! Reads the books from where they are stored.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_dynamodb::types::AttributeValue;
use aws_sdk_sqs::types::QueueAttributeName;
use cloakroom::StateRead;
use serde::de::DeserializeOwned;

use super::audit::{Books, Entry};
use crate::{
    shop::Service,
    site::{Clients, Failure, Site},
};

/// What the names of dead-letter queues end in.
const DEAD: &str = "-dead";

/// Reads every item of the table, every key of the bucket and the depth of every queue.
pub(crate) async fn read(clients: &Clients, site: &Site, queues: &QueueDepths) -> Result<Books, Failure> {
    let mut books = Books { messages: queues.all().await?, ..Books::default() };
    read_table(clients, site, &mut books).await?;
    read_bucket(clients, site, &mut books).await?;
    Ok(books)
}

async fn read_table(clients: &Clients, site: &Site, books: &mut Books) -> Result<(), Failure> {
    let mut pages =
        clients.dynamodb.scan().table_name(&site.table).consistent_read(true).into_paginator().items().send();
    while let Some(item) = pages.next().await {
        let item = item.map_err(Failure::aws("reading the table"))?;
        let text = |name| item.get(name).and_then(|value: &AttributeValue| value.as_s().ok()).cloned();
        let (Some(partition), Some(sort_key)) = (text("pk"), text("sk")) else {
            return Err(Failure::new("the table has an item without the keys `pk` and `sk`"));
        };
        let id = partition.split_once('#').map_or(&*partition, |(_, id)| id).to_owned();
        match sort_key.as_str() {
            "state#orders" => drop(books.orders.insert(id, entry(&partition, item)?)),
            "state#stock" => drop(books.stock.insert(id, entry(&partition, item)?)),
            "state#billing" => drop(books.accounts.insert(id, entry(&partition, item)?)),
            _ => books.records.push(sort_key),
        }
    }
    Ok(())
}

fn entry<S: DeserializeOwned>(partition: &str, item: HashMap<String, AttributeValue>) -> Result<Entry<S>, Failure> {
    let unreadable = |error: &dyn std::error::Error| Failure::new(format!("reading `{partition}` failed: {error}"));
    let item = cloakroom_aws::item_from_sdk(item).map_err(|error| unreadable(&error))?;
    let read = cloakroom::placement::read_state_item("reading the state", Some(item));
    let StateRead { version, state } = read.map_err(|error| unreadable(&error))?;
    let state = serde_dynamo::from_item(state.unwrap_or_default()).map_err(|error| unreadable(&error))?;
    Ok(Entry { state, version: version.number() })
}

/// Payloads have their claim for a key; keys of dedupe entries have a `/` in them.
async fn read_bucket(clients: &Clients, site: &Site, books: &mut Books) -> Result<(), Failure> {
    let mut pages = clients.s3.list_objects_v2().bucket(&site.bucket).into_paginator().send();
    while let Some(page) = pages.next().await {
        let page = page.map_err(Failure::aws("listing the bucket"))?;
        let is_payload = |object: &&aws_sdk_s3::types::Object| object.key().is_some_and(|key| !key.contains('/'));
        books.payloads += page.contents().iter().filter(is_payload).count() as u64;
    }
    Ok(())
}

/// The queues of the services and those of their dead letters, looked up once: what is asked for later is their depth
/// only, which is left out of what a message costs.
#[derive(Debug)]
pub(crate) struct QueueDepths {
    sqs: aws_sdk_sqs::Client,
    /// By queue.
    urls: BTreeMap<String, String>,
}

impl QueueDepths {
    pub(crate) async fn find(clients: &Clients) -> Result<Self, Failure> {
        let mut urls = BTreeMap::new();
        for queue in
            Service::ALL.iter().flat_map(|service| [service.name().to_owned(), format!("{}{DEAD}", service.name())])
        {
            let answer = clients.sqs.get_queue_url().queue_name(&queue).send().await;
            let url = answer.map_err(Failure::aws("finding a queue"))?.queue_url;
            let url = url.ok_or_else(|| Failure::new(format!("queue `{queue}` has no address")))?;
            urls.insert(queue, url);
        }
        Ok(Self { sqs: clients.sqs.clone(), urls })
    }

    /// How many messages each queue holds.
    pub(crate) async fn all(&self) -> Result<BTreeMap<String, u64>, Failure> {
        let mut depths = BTreeMap::new();
        for (queue, url) in &self.urls {
            depths.insert(queue.clone(), self.depth(queue, url).await?);
        }
        Ok(depths)
    }

    /// How many messages the services have before them.
    pub(crate) async fn ahead(&self) -> Result<u64, Failure> {
        let mut ahead = 0;
        for (queue, url) in self.urls.iter().filter(|(queue, _)| !queue.ends_with(DEAD)) {
            ahead += self.depth(queue, url).await?;
        }
        Ok(ahead)
    }

    /// Visible, delayed and in flight.
    async fn depth(&self, queue: &str, url: &str) -> Result<u64, Failure> {
        let wanted = [
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesDelayed,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        ];
        let ask = self.sqs.get_queue_attributes().queue_url(url).set_attribute_names(Some(wanted.to_vec()));
        let answer = ask.send().await.map_err(Failure::aws("asking a queue for its depth"))?;
        let attributes = answer.attributes.unwrap_or_default();
        let numbers = wanted.iter().map(|name| attributes.get(name)?.parse::<u64>().ok());
        let sum: Option<u64> = numbers.sum();
        sum.ok_or_else(|| Failure::new(format!("queue `{queue}` does not tell its depth")))
    }
}
