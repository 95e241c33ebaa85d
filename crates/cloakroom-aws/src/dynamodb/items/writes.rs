//! Writes of single items without a condition.

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

/// A write of one item.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    pub(crate) key: ItemKey,
    /// All attributes except the key. `None` deletes the item.
    pub(crate) item: Option<Attributes>,
}

/// The operations for a kind of writes, alone and in a batch.
#[derive(Debug)]
pub(crate) struct Operations {
    put: Operation,
    delete: Operation,
    batch: Operation,
    is_repeated: bool,
}

/// Writes without the SDK's retries.
pub(crate) const ONCE: Operations = Operations {
    put: Operation::once("PutItem", "dynamodb:PutItem"),
    delete: Operation::once("DeleteItem", "dynamodb:DeleteItem"),
    batch: Operation::once("BatchWriteItem", "dynamodb:BatchWriteItem"),
    is_repeated: false,
};
/// Writes that the SDK retries as it is configured.
pub(crate) const REPEATEDLY: Operations = Operations {
    put: Operation::repeatedly("PutItem", "dynamodb:PutItem"),
    delete: Operation::repeatedly("DeleteItem", "dynamodb:DeleteItem"),
    batch: Operation::repeatedly("BatchWriteItem", "dynamodb:BatchWriteItem"),
    is_repeated: true,
};

/// Writes to one table with one client.
#[derive(Debug)]
pub(crate) struct Writes {
    client: Client,
    table: String,
    operations: Operations,
    batcher: Batcher<Write, ()>,
    denied: Denied,
}

type Answer = Result<(), PortError>;

impl Writes {
    /// Creates the writes of a table. At most `entries_max` writes share a request.
    pub(crate) fn new(
        client: Client,
        table: &str,
        operations: Operations,
        entries_max: usize,
        clock: &Arc<dyn Clock>,
    ) -> Self {
        let what = operations.batch.on(&target(table));
        let batcher = Batcher::new(what, entries_max.min(WRITES_MAX), PACE, Arc::clone(clock));
        Self { client, table: table.to_owned(), operations, batcher, denied: Denied::new(clock) }
    }

    /// Writes an item. Concurrent writes of the same key must be equal.
    pub(crate) async fn write(&self, write: Write) -> Answer {
        self.batcher.one(write, &|writes| self.request(writes)).await
    }

    async fn request(&self, writes: Vec<Write>) -> Vec<Answer> {
        let writes = match <[Write; 1]>::try_from(writes) {
            Ok([write]) => return vec![self.alone(write).await],
            Err(writes) => writes,
        };
        let none = || vec![Written::NotTried; writes.len()];
        let written = if self.denied.is_known() { Ok(none()) } else { self.batch(&writes).await };
        let written = match written {
            Err(error) if is_refused(&error) => none(),
            Err(error) => return vec![Err(error); writes.len()],
            Ok(written) => written,
        };
        let each = writes.into_iter().zip(written).map(async |(write, written)| match written {
            Written::Done => Ok(()),
            Written::NotTried => self.alone(write).await,
            Written::Unprocessed if self.operations.is_repeated => self.alone(write).await,
            // SUBTLE: a check-in is not sent again. DynamoDB does not promise that the unprocessed
            // write never takes effect later, so the engine tries again under a new claim
            // (`a_batch_of_check_ins_is_sent_once`).
            Written::Unprocessed => {
                let what = self.operations.batch.on(&target(&self.table));
                Err(PortError::new(what, "DynamoDB returned the write unprocessed: too many requests")
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
                put.map(drop).map_err(|error| self.operations.put.failed(&target(), error))
            }
            None => {
                let delete =
                    self.client.delete_item().table_name(&self.table).set_key(Some(key.attributes())).send().await;
                delete.map(drop).map_err(|error| self.operations.delete.failed(&target(), error))
            }
        }
    }

    /// Returns the result for each write.
    async fn batch(&self, writes: &[Write]) -> Result<Vec<Written>, PortError> {
        // DynamoDB refuses the same key twice in a request. Copies of a message delete the same
        // payload.
        let mut different: Vec<&Write> = writes.iter().collect();
        different.sort_by(|one, other| one.key.cmp(&other.key));
        different.dedup_by(|one, other| one.key == other.key);
        let requests = different.into_iter().map(Write::request).collect();
        let request = self.client.batch_write_item().request_items(&self.table, requests);
        let output = request.send().await.map_err(|error| {
            let target = target(&self.table);
            self.denied.note(&self.operations.batch, &target, &error);
            self.operations.batch.failed(&target, error)
        })?;
        // The response may name the table by its ARN. There is only one table.
        let left: Vec<WriteRequest> = output.unprocessed_items.unwrap_or_default().into_values().flatten().collect();
        let is_left = |key: &ItemKey| left.iter().filter_map(attributes).any(|item| key.is_of(item));
        let written = |Write { key, .. }: &Write| if is_left(key) { Written::Unprocessed } else { Written::Done };
        Ok(writes.iter().map(written).collect())
    }
}

/// The result of a batch for one write.
#[derive(Clone, Copy, Debug)]
enum Written {
    Done,
    /// DynamoDB returned the write unprocessed, for lack of capacity or because of an internal
    /// error.
    Unprocessed,
    /// The batch was refused, or batches are not allowed.
    NotTried,
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

/// The attributes that identify the write of a request: its item or its key.
fn attributes(request: &WriteRequest) -> Option<&Attributes> {
    let put = request.put_request().map(PutRequest::item);
    put.or_else(|| request.delete_request().map(DeleteRequest::key))
}
