//! Reads of single items.

use std::{sync::Arc, time::Duration};

use aws_sdk_dynamodb::{Client, types::KeysAndAttributes};
use cloakroom::{
    PortError,
    ports::{Batcher, Clock},
    protocol::Consistency,
};
use futures::future::join_all;

use crate::{
    client::failure::Operation,
    dynamodb::{
        items::{Attributes, Denied, ItemKey, PACE, READS_MAX, is_refused, take},
        target,
    },
};

const GET: Operation = Operation::read("GetItem", "dynamodb:GetItem");
const BATCH: Operation = Operation::read("BatchGetItem", "dynamodb:BatchGetItem");

/// How long a read waits for a request that another caller sends, before it is sent alone. Sending
/// it alone costs the read units twice, so this is far longer than a read takes.
const ALONE_AFTER: Duration = Duration::from_secs(1);

/// Reads of one table.
#[derive(Debug)]
pub(crate) struct Reads {
    client: Client,
    table: String,
    strong: Batcher<ItemKey, Option<Attributes>>,
    eventual: Batcher<ItemKey, Option<Attributes>>,
    denied: Denied,
}

type Answer = Result<Option<Attributes>, PortError>;

impl Reads {
    /// Creates the reads of a table. At most `entries_max` reads share a request.
    pub(crate) fn new(client: Client, table: &str, entries_max: usize, clock: &Arc<dyn Clock>) -> Self {
        let batcher = || {
            let batcher = Batcher::new(BATCH.on(&target(table)), entries_max.min(READS_MAX), PACE, Arc::clone(clock));
            batcher.answers_within(ALONE_AFTER)
        };
        Self { client, table: table.to_owned(), strong: batcher(), eventual: batcher(), denied: Denied::new(clock) }
    }

    /// Returns the item of this key.
    ///
    /// SUBTLE: the request starts after this call, so that a strongly consistent read sees all
    /// earlier writes. A request that was sent already takes no more reads: it is full or closed
    /// (`entries_gather_while_a_request_is_in_flight`).
    pub(crate) async fn read(&self, key: ItemKey, consistency: Consistency) -> Answer {
        let batcher = match consistency {
            Consistency::Strong => &self.strong,
            Consistency::Any => &self.eventual,
        };
        let read = batcher.one_or_alone(key, &|keys| self.request(keys, consistency)).await;
        read.map_err(PortError::without_effect)
    }

    async fn request(&self, keys: Vec<ItemKey>, consistency: Consistency) -> Vec<Answer> {
        if let [key] = &keys[..] {
            return vec![self.get(key, consistency).await];
        }
        let none = || vec![KeyResult::Unread; keys.len()];
        let results = if self.denied.is_known() { Ok(none()) } else { self.batch(&keys, consistency).await };
        let results = match results {
            Err(error) if is_refused(&error) => none(),
            Err(error) => return vec![Err(error); keys.len()],
            Ok(results) => results,
        };
        let each = keys.iter().zip(results).map(async |(key, result)| match result {
            KeyResult::Read(item) => Ok(item),
            KeyResult::Unread => self.get(key, consistency).await,
        });
        join_all(each).await
    }

    async fn get(&self, key: &ItemKey, consistency: Consistency) -> Answer {
        let get = self.client.get_item().table_name(&self.table).set_key(Some(key.attributes()));
        let output = get.consistent_read(consistency == Consistency::Strong).send().await;
        Ok(output.map_err(|error| GET.failed(&target(&self.table), error))?.item)
    }

    /// Returns the result for each key.
    async fn batch(&self, keys: &[ItemKey], consistency: Consistency) -> Result<Vec<KeyResult>, PortError> {
        // DynamoDB refuses the same key twice in a request. Copies of a message read the same key.
        let mut different: Vec<&ItemKey> = keys.iter().collect();
        different.sort_unstable();
        different.dedup();
        let is_each_once = different.len() == keys.len();
        let asked = if is_each_once { keys.iter().collect() } else { different };
        let wanted = KeysAndAttributes::builder().consistent_read(consistency == Consistency::Strong);
        let wanted = wanted.set_keys(Some(asked.into_iter().map(ItemKey::attributes).collect()));
        let request = self.client.batch_get_item().request_items(&self.table, wanted.build().expect("it has keys"));
        let output = request.send().await.map_err(|error| {
            let target = target(&self.table);
            self.denied.note(&BATCH, &target, &error);
            BATCH.failed(&target, error)
        })?;
        // The response may name the table by its ARN. There is only one table.
        let mut found: Vec<Attributes> = output.responses.unwrap_or_default().into_values().flatten().collect();
        let left = output.unprocessed_keys.unwrap_or_default();
        let left: Vec<Attributes> = left.into_values().flat_map(|left| left.keys).collect();
        let result = |key: &ItemKey| {
            let item = if is_each_once {
                take(&mut found, |item| key.is_of(item))
            } else {
                found.iter().find(|item| key.is_of(item)).cloned()
            };
            // SUBTLE: an unprocessed key is not a missing item. Otherwise a payload that was not
            // read would make its message look processed, or a state would look absent
            // (`unprocessed_key_does_not_count_as_missing`).
            if item.is_none() && left.iter().any(|left| key.is_of(left)) {
                KeyResult::Unread
            } else {
                KeyResult::Read(item)
            }
        };
        Ok(keys.iter().map(result).collect())
    }
}

/// The result of a batch for one key.
#[derive(Clone, Debug)]
enum KeyResult {
    /// The key was read; this is its item.
    Read(Option<Attributes>),
    /// The key was returned unprocessed, for lack of capacity or because the response was large. It
    /// is read alone, with the client's retries.
    Unread,
}
