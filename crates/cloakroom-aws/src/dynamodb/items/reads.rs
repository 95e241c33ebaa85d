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

/// How long a read waits for a request that another caller sends, before it is requested alone. That costs the read units
/// twice, so it is far more than a read takes.
const ALONE_AFTER: Duration = Duration::from_secs(1);

/// Reads of one table.
#[derive(Debug)]
pub(crate) struct Reads {
    client: Client,
    table: String,
    strong: Batcher<ItemKey, Option<Attributes>>,
    late: Batcher<ItemKey, Option<Attributes>>,
    denied: Denied,
}

type Answer = Result<Option<Attributes>, PortError>;

impl Reads {
    /// Up to so many reads share a request.
    pub(crate) fn new(client: Client, table: &str, entries_max: usize, clock: &Arc<dyn Clock>) -> Self {
        let coalescer = || {
            let coalescer = Batcher::new(BATCH.on(&target(table)), entries_max.min(READS_MAX), PACE, Arc::clone(clock));
            coalescer.answers_within(ALONE_AFTER)
        };
        Self { client, table: table.to_owned(), strong: coalescer(), late: coalescer(), denied: Denied::new(clock) }
    }

    /// The item of this key.
    ///
    /// SUBTLE: the request begins after this was called, so that a strongly consistent one sees what was written before: those that have
    /// been sent already are full, or closed (`while_a_request_is_under_way_the_next_one_gathers`).
    pub(crate) async fn read(&self, key: ItemKey, consistency: Consistency) -> Answer {
        let coalescer = match consistency {
            Consistency::Strong => &self.strong,
            Consistency::Any => &self.late,
        };
        let read = coalescer.one_or_alone(key, &|keys| self.request(keys, consistency)).await;
        read.map_err(PortError::without_effect)
    }

    async fn request(&self, keys: Vec<ItemKey>, consistency: Consistency) -> Vec<Answer> {
        if let [key] = &keys[..] {
            return vec![self.get(key, consistency).await];
        }
        let none = || vec![Looked::NotYet; keys.len()];
        let looked = if self.denied.is_known() { Ok(none()) } else { self.batch(&keys, consistency).await };
        let looked = match looked {
            Err(error) if is_refused(&error) => none(),
            Err(error) => return vec![Err(error); keys.len()],
            Ok(looked) => looked,
        };
        let each = keys.iter().zip(looked).map(async |(key, looked)| match looked {
            Looked::Up(item) => Ok(item),
            Looked::NotYet => self.get(key, consistency).await,
        });
        join_all(each).await
    }

    async fn get(&self, key: &ItemKey, consistency: Consistency) -> Answer {
        let get = self.client.get_item().table_name(&self.table).set_key(Some(key.attributes()));
        let output = get.consistent_read(consistency == Consistency::Strong).send().await;
        Ok(output.map_err(|error| GET.failed(&target(&self.table), error))?.item)
    }

    /// What became of each key.
    async fn batch(&self, keys: &[ItemKey], consistency: Consistency) -> Result<Vec<Looked>, PortError> {
        // DynamoDB takes a key once; copies of a message ask for it several times.
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
        // Of one table, however the answer calls it.
        let mut found: Vec<Attributes> = output.responses.unwrap_or_default().into_values().flatten().collect();
        let left = output.unprocessed_keys.unwrap_or_default();
        let left: Vec<Attributes> = left.into_values().flat_map(|left| left.keys).collect();
        let looked = |key: &ItemKey| {
            let item = if is_each_once {
                take(&mut found, |item| key.is_of(item))
            } else {
                found.iter().find(|item| key.is_of(item)).cloned()
            };
            // SUBTLE: what was not looked up is not missing. Its message would pass for processed, or its state for one that never was
            // (`what_was_not_looked_up_is_not_missing`).
            if item.is_none() && left.iter().any(|left| key.is_of(left)) { Looked::NotYet } else { Looked::Up(item) }
        };
        Ok(keys.iter().map(looked).collect())
    }
}

/// What a batch has done for one key.
#[derive(Clone, Debug)]
enum Looked {
    /// It was looked up: this is there.
    Up(Option<Attributes>),
    /// It was given back, for lack of capacity or because the answer was large enough. Alone it is repeated as the client is configured.
    NotYet,
}
