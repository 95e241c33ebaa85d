//! Writes of single items that have no condition.

use std::sync::Arc;

use aws_sdk_dynamodb::{
    Client,
    types::{DeleteRequest, PutRequest, WriteRequest},
};
use cloakroom::{
    PortError,
    error::Retry,
    ports::{Batcher, Clock},
};
use futures::future::join_all;

use crate::{
    client::failure::Operation,
    dynamodb::{
        items::{Attributes, Denied, ItemKey, PACE, WRITES_MAX, is_refused},
        target,
    },
};

/// What becomes of the item of a key.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) key: ItemKey,
    /// All of it but the key; none if it is deleted.
    pub(crate) item: Option<Attributes>,
}

/// How a kind of writes is sent: alone, and in a batch.
#[derive(Debug)]
pub(crate) struct Sent {
    put: Operation,
    delete: Operation,
    batch: Operation,
    is_repeated: bool,
}

/// Nothing is repeated unseen.
pub(crate) const ONCE: Sent = Sent {
    put: Operation::once("PutItem", "dynamodb:PutItem"),
    delete: Operation::once("DeleteItem", "dynamodb:DeleteItem"),
    batch: Operation::once("BatchWriteItem", "dynamodb:BatchWriteItem"),
    is_repeated: false,
};
/// The SDK repeats them as it is configured to.
pub(crate) const REPEATEDLY: Sent = Sent {
    put: Operation::repeatedly("PutItem", "dynamodb:PutItem"),
    delete: Operation::repeatedly("DeleteItem", "dynamodb:DeleteItem"),
    batch: Operation::repeatedly("BatchWriteItem", "dynamodb:BatchWriteItem"),
    is_repeated: true,
};

/// Writes to one table, by one client.
#[derive(Debug)]
pub(crate) struct Writes {
    client: Client,
    table: String,
    sent: Sent,
    coalescer: Batcher<Write, ()>,
    denied: Denied,
}

type Answer = Result<(), PortError>;

impl Writes {
    /// Up to so many writes share a request.
    pub(crate) fn new(client: Client, table: &str, sent: Sent, entries_max: usize, clock: &Arc<dyn Clock>) -> Self {
        let what = sent.batch.on(&target(table));
        let coalescer = Batcher::new(what, entries_max.min(WRITES_MAX), PACE, Arc::clone(clock));
        Self { client, table: table.to_owned(), sent, coalescer, denied: Denied::new(clock) }
    }

    /// Writes an item. Whoever writes the same one at the same time must write the same.
    pub(crate) async fn write(&self, write: Write) -> Answer {
        self.coalescer.one(write, &|writes| self.request(writes)).await
    }

    async fn request(&self, writes: Vec<Write>) -> Vec<Answer> {
        let writes = match <[Write; 1]>::try_from(writes) {
            Ok([write]) => return vec![self.alone(write).await],
            Err(writes) => writes,
        };
        let none = || vec![Written::NotYet; writes.len()];
        let written = if self.denied.is_known() { Ok(none()) } else { self.batch(&writes).await };
        let written = match written {
            Err(error) if is_refused(&error) => none(),
            Err(error) => return vec![Err(error); writes.len()],
            Ok(written) => written,
        };
        let each = writes.into_iter().zip(written).map(async |(write, written)| match written {
            Written::Done => Ok(()),
            Written::NotYet => self.alone(write).await,
            Written::GivenBack if self.sent.is_repeated => self.alone(write).await,
            // SUBTLE: not again, since nobody promises that it never will be there; the engine tries anew, under another claim
            // (`a_batch_of_check_ins_is_sent_once`).
            Written::GivenBack => {
                let what = self.sent.batch.on(&target(&self.table));
                Err(PortError::new(what, "given back unprocessed: too many requests")
                    .public()
                    .because(Retry::Throttled))
            }
        });
        join_all(each).await
    }

    async fn alone(&self, Write { key, item }: Write) -> Answer {
        let target = || target(&self.table);
        match item {
            Some(mut item) => {
                item.extend(key.attributes());
                let put = self.client.put_item().table_name(&self.table).set_item(Some(item)).send().await;
                put.map(drop).map_err(|error| self.sent.put.failed(&target(), error))
            }
            None => {
                let delete =
                    self.client.delete_item().table_name(&self.table).set_key(Some(key.attributes())).send().await;
                delete.map(drop).map_err(|error| self.sent.delete.failed(&target(), error))
            }
        }
    }

    /// What became of each write.
    async fn batch(&self, writes: &[Write]) -> Result<Vec<Written>, PortError> {
        // DynamoDB takes a key once; copies of a message delete the same payload.
        let mut different: Vec<&Write> = writes.iter().collect();
        different.sort_by(|one, other| one.key.cmp(&other.key));
        different.dedup_by(|one, other| one.key == other.key);
        let requests = different.into_iter().map(Write::request).collect();
        let request = self.client.batch_write_item().request_items(&self.table, requests);
        let output = request.send().await.map_err(|error| {
            let target = target(&self.table);
            self.denied.note(&self.sent.batch, &target, &error);
            self.sent.batch.failed(&target, error)
        })?;
        // Of one table, however the answer calls it.
        let left: Vec<WriteRequest> = output.unprocessed_items.unwrap_or_default().into_values().flatten().collect();
        let is_left = |key: &ItemKey| left.iter().filter_map(attributes).any(|item| key.is_of(item));
        let written = |Write { key, .. }: &Write| if is_left(key) { Written::GivenBack } else { Written::Done };
        Ok(writes.iter().map(written).collect())
    }
}

/// What a batch has done for one write.
#[derive(Clone, Copy, Debug)]
enum Written {
    Done,
    /// By lack of capacity, or for a failure of the service's own.
    GivenBack,
    /// The batch was refused, or is not allowed.
    NotYet,
}

impl Write {
    fn request(&self) -> WriteRequest {
        let (key, request) = (self.key.attributes(), WriteRequest::builder());
        match &self.item {
            Some(item) => {
                let item = item.clone().into_iter().chain(key).collect();
                request.put_request(PutRequest::builder().set_item(Some(item)).build().expect("it has an item"))
            }
            None => request.delete_request(DeleteRequest::builder().set_key(Some(key)).build().expect("it has a key")),
        }
        .build()
    }
}

/// What tells which write a request is: its item, or its key.
fn attributes(request: &WriteRequest) -> Option<&Attributes> {
    let put = request.put_request().map(PutRequest::item);
    put.or_else(|| request.delete_request().map(DeleteRequest::key))
}
