//! Partitions in a DynamoDB table.

use std::{mem, sync::Arc};

use async_trait::async_trait;
use aws_sdk_dynamodb::{
    Client,
    operation::{put_item::PutItemError, transact_write_items::TransactWriteItemsError},
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure, Select},
};
use cloakroom::{
    Partition, PortError, Timestamp,
    format::{
        Item, Record,
        schema::{self, Key, attribute},
    },
    ports::{
        ClaimsStored, Clock, Commit, Committed, Conflict, Failures, ItemAction, Limits, PartitionStore, RecordKey,
        StateRead,
        placement::{self, Write, WriteCondition},
    },
    protocol::{Claims, Consistency},
};

use crate::{
    client::{
        failure::{Operation, SdkError, code},
        unretried,
    },
    clock::TokioClock,
    dynamodb::{
        attributes::{item_from_sdk, to_sdk},
        items::{self, Attributes, ItemKey, WRITES_MAX, reads::Reads},
        target,
        transaction::{self, Cancelled},
    },
};

const COMMIT: Operation =
    Operation::once("TransactWriteItems", "dynamodb:PutItem, dynamodb:DeleteItem and dynamodb:ConditionCheckItem");
const LOOK: Operation = Operation::read("Query", "dynamodb:Query");
const COMMIT_ALONE: Operation = Operation::once("PutItem", "dynamodb:PutItem");
const STORE_CLAIMS: Operation = Operation::repeatedly("PutItem", "dynamodb:PutItem");
const RETAIN: Operation = Operation::repeatedly("PutItem", "dynamodb:PutItem");
const CLEAR: Operation = Operation::repeatedly("DeleteItem", "dynamodb:DeleteItem");

/// State and outbox records in one DynamoDB table with the string keys `pk` and `sk`.
///
/// - Reads are reads of one item, strongly consistent where that is asked for. A query or a batch is no snapshot.
/// - A commit is one `TransactWriteItems` (2 write units for each begun KB of each item), or, if its records are embedded in the state and
///   its handlers write no items of their own, one `PutItem` (1 write unit for each begun KB). It is sent **once**:
///   whether and how to repeat it is for the engine to decide, which reads the record first if the outcome is
///   open. The retries that the client is configured for apply to all other calls.
/// - Limits and values are checked before the call: [`Committed::TooLarge`] and [`Committed::Refused`] name the item.
///
/// ```no_run
/// # fn example(client: aws_sdk_dynamodb::Client) {
/// let store = cloakroom_aws::DynamoStore::new(client, "orders");
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DynamoStore {
    client: Client,
    /// SUBTLE: a commit is sent once. Were the SDK to repeat it, a throttled repetition would hide a first request that
    /// is done, or will be, and "without effect" would be a lie (`a_commit_is_sent_once`). The token, which a put has not even,
    /// guards the repetitions of the engine, which come only after "without effect".
    once: Client,
    table: String,
    /// What errors call a read.
    reading: String,
    reads: Arc<Reads>,
    limits: Limits,
}

impl DynamoStore {
    /// The store in this table.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        let (once, table) = (unretried::dynamodb(&client), table.into());
        let reads = reads(&client, &table, WRITES_MAX);
        let reading = format!("reading an item of {}", target(&table));
        Self { client, once, table, reading, reads, limits: Limits::default() }
    }

    /// The same store, with [up to so many items](crate::AwsSettings::items_per_request_max) in a request.
    #[must_use]
    pub fn with_items_per_request_max(self, items: usize) -> Self {
        Self { reads: reads(&self.client, &self.table, items), ..self }
    }

    /// The same store with other limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// SUBTLE: an item for itself, even where others are read by the same request. State and record of one message are never in one: whoever
    /// wants the record has the state already (the wrong order `record_before_state`).
    async fn get(
        &self,
        partition: &Partition,
        sort: String,
        consistency: Consistency,
    ) -> Result<Option<Item>, PortError> {
        let key = ItemKey::Sorted { partition: partition.clone(), sort };
        let item = self.reads.read(key, consistency).await?;
        item.map(|item| self.read(item)).transpose()
    }

    fn read(&self, item: Attributes) -> Result<Item, PortError> {
        let unreadable = |error| PortError::new(&*self.reading, error).without_effect().caused_by_data();
        item_from_sdk(item).map_err(unreadable)
    }

    /// Writes several items, all or nothing. How it failed, if it did.
    async fn transact(
        &self,
        partition: &Partition,
        writes: &[Write],
        token: &str,
    ) -> Result<Option<Committed>, PortError> {
        let items = writes.iter().map(|write| transaction::item(&self.table, partition, write.clone())).collect();
        let request = self.once.transact_write_items().set_transact_items(Some(items));
        let request = request.client_request_token(token);
        match request.send().await {
            Ok(_) => Ok(None),
            Err(error) => self.commit_failed(partition, writes, error).map(Some),
        }
    }

    /// Writes the state alone, with the records that are embedded in it: half the units of a transaction. How it failed, if it did.
    async fn put(
        &self,
        partition: &Partition,
        sort_key: &str,
        item: Item,
        condition: &WriteCondition,
    ) -> Result<Option<Committed>, PortError> {
        let put = transaction::put(&self.table, partition, sort_key, item, condition);
        let put = self
            .once
            .put_item()
            .table_name(&self.table)
            .set_item(Some(put.item))
            .set_condition_expression(put.condition_expression)
            .set_expression_attribute_values(put.expression_attribute_values);
        let error = match put.send().await {
            Ok(_) => return Ok(None),
            Err(error) => error,
        };
        if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) {
            return Ok(Some(Committed::Conflict(Conflict::Overtaken)));
        }
        let is_invalid = code(&error) == Some("ValidationException");
        let error = COMMIT_ALONE.failed(&self.target(), error);
        if is_invalid { Ok(Some(Committed::Refused(error.to_string()))) } else { Err(error) }
    }

    /// What it means that the transaction of `writes` failed.
    fn commit_failed(
        &self,
        partition: &Partition,
        writes: &[Write],
        error: SdkError<TransactWriteItemsError>,
    ) -> Result<Committed, PortError> {
        let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else {
            // SUBTLE: `IdempotentParameterMismatchException` and `TransactionInProgressException` mean that an
            // earlier request with this token is there: that one may take effect, so both stay open, as does
            // everything else that is not known (`another_request_under_the_token_leaves_the_outcome_open`).
            let is_invalid = code(&error) == Some("ValidationException");
            let error = COMMIT.failed(&self.target(), error);
            // What the commit holds is at fault, such as a number that DynamoDB cannot store.
            return if is_invalid { Ok(Committed::Refused(error.to_string())) } else { Err(error) };
        };
        let reasons = cancelled.cancellation_reasons();
        // The reasons name the items at fault, by their sort keys.
        let failed = || {
            let what = COMMIT.on(&self.target());
            let in_logs = format!("{what} failed: cancelled");
            PortError::new(what, transaction::told(reasons, writes)).in_logs(in_logs)
        };
        // SUBTLE: "without effect" is the truth only because this request was the only one: see `commit`.
        match Cancelled::read(reasons.iter().map(|reason| reason.code())) {
            Cancelled::Lost(number) => {
                let found = reasons.get(number).and_then(|reason| reason.item());
                let found = found.map(|item| self.read(item.clone())).transpose()?;
                Ok(placement::lost(partition, number, writes, found.as_ref()))
            }
            Cancelled::Refused => Ok(Committed::Refused(failed().without_effect().to_string())),
            Cancelled::Busy(reason) => Err(failed().without_effect().because(reason)),
            Cancelled::Unknown => Err(failed()),
        }
    }

    /// What is stored where `store_claims` failed.
    fn claims_failed(&self, error: SdkError<PutItemError>) -> Result<ClaimsStored, PortError> {
        let Some(PutItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() else {
            return Err(STORE_CLAIMS.failed(&self.target(), error));
        };
        let Some(item) = failed.item() else { return Ok(ClaimsStored::Gone) };
        let what = STORE_CLAIMS.on(&self.target());
        let record = placement::read_record_item(&what, &self.read(item.clone())?)?;
        // SUBTLE: a record without claims must not pass for one that can be dispatched; its bodies would go out
        // without any (`a_damaged_record_is_not_taken_for_a_claimed_one`).
        match record.claims() {
            Claims::Stored => Ok(ClaimsStored::AlreadyThere(record)),
            Claims::Missing => {
                let cause = format!("the record has no claims, and no `false` in `{}`", attribute::CLAIMED);
                Err(PortError::new(what, cause).without_effect().caused_by_data().public())
            }
        }
    }
}

fn reads(client: &Client, table: &str, items_per_request_max: usize) -> Arc<Reads> {
    let clock: Arc<dyn Clock> = Arc::new(TokioClock);
    Arc::new(Reads::new(client.clone(), table, items_per_request_max, &clock))
}

#[async_trait]
impl PartitionStore for DynamoStore {
    fn target(&self) -> String {
        target(&self.table)
    }

    async fn read_state(
        &self,
        partition: &Partition,
        endpoint: &str,
        consistency: Consistency,
    ) -> Result<StateRead, PortError> {
        let item = self.get(partition, Key::State { endpoint }.text(), consistency).await?;
        placement::read_state_item(&self.reading, item)
    }

    async fn has_records(&self, partition: &Partition, endpoint: &str) -> Result<bool, PortError> {
        let query = self.client.query().table_name(&self.table).select(Select::Count).limit(1).consistent_read(true);
        let query = query
            .key_condition_expression("pk = :partition AND begins_with(sk, :records)")
            .expression_attribute_values(":partition", AttributeValue::S(partition.to_string()))
            .expression_attribute_values(":records", AttributeValue::S(schema::records_of(endpoint)));
        let output = query.send().await.map_err(|error| LOOK.failed(&self.target(), error))?;
        Ok(output.count() > 0)
    }

    async fn read_record(&self, key: RecordKey<'_>) -> Result<Option<Record>, PortError> {
        let item = self.get(key.partition, placement::record_sort_key(key), Consistency::Strong).await?;
        item.map(|item| placement::read_record_item(&self.reading, &item)).transpose()
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<Committed, PortError> {
        let (placement, mut writes) = transaction::writes(&commit);
        if let Some(refused) = placement::refusal(&self.limits, commit.partition, &writes) {
            return Ok(refused);
        }
        let failed = match &mut writes[..] {
            [Write { sort_key, action: ItemAction::Put(item), condition }] => {
                self.put(commit.partition, sort_key, mem::take(item), condition).await?
            }
            _ => self.transact(commit.partition, &writes, commit.token).await?,
        };
        Ok(failed.unwrap_or(Committed::Applied(placement)))
    }

    async fn store_claims(&self, key: RecordKey<'_>, record: &Record) -> Result<ClaimsStored, PortError> {
        let at = items::sorted(key.partition, &placement::record_sort_key(key));
        let item = to_sdk(at, placement::record_item(record));
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        // SUBTLE: without the second half of the condition, two workers could put different claims in turn, and
        // the receiver would process both (`the_first_claims_stay`). The SDK may repeat the put: a repetition
        // that meets its own success is answered with the record as it is, which is the caller's.
        let put = put
            .condition_expression("attribute_exists(pk) AND cloakroom_claimed = :no")
            .expression_attribute_values(":no", AttributeValue::Bool(false))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        match put.send().await {
            Ok(_) => Ok(ClaimsStored::Stored),
            Err(error) => self.claims_failed(error),
        }
    }

    async fn retain(&self, key: RecordKey<'_>, record: &Record, expires: Timestamp) -> Result<(), PortError> {
        let at = items::sorted(key.partition, &placement::record_sort_key(key));
        let item = to_sdk(at, placement::retained_item(record, expires));
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        match put.condition_expression("attribute_exists(pk)").send().await {
            Ok(_) => Ok(()),
            // It has been kept, and has expired.
            Err(error) if error.as_service_error().is_some_and(PutItemError::is_conditional_check_failed_exception) => {
                Ok(())
            }
            Err(error) => Err(RETAIN.failed(&self.target(), error)),
        }
    }

    async fn clear(&self, key: RecordKey<'_>) -> Result<(), PortError> {
        let delete = self.client.delete_item().table_name(&self.table);
        let delete = delete.set_key(Some(transaction::key(key.partition, &placement::record_sort_key(key))));
        delete.send().await.map_err(|error| CLEAR.failed(&self.target(), error))?;
        Ok(())
    }

    async fn read_failures(&self, key: RecordKey<'_>) -> Result<Option<Failures>, PortError> {
        let item = self.get(key.partition, placement::failures_sort_key(key), Consistency::Strong).await?;
        Ok(item.as_ref().and_then(placement::read_failures_item))
    }

    async fn write_failures(&self, key: RecordKey<'_>, failures: Option<Failures>) -> Result<(), PortError> {
        let sort_key = placement::failures_sort_key(key);
        let Some(failures) = failures else {
            let delete = self.client.delete_item().table_name(&self.table);
            let delete = delete.set_key(Some(transaction::key(key.partition, &sort_key)));
            return delete.send().await.map(drop).map_err(|error| CLEAR.failed(&self.target(), error));
        };
        let item = to_sdk(items::sorted(key.partition, &sort_key), placement::failures_item(failures));
        let put = self.client.put_item().table_name(&self.table).set_item(Some(item));
        put.send().await.map(drop).map_err(|error| RETAIN.failed(&self.target(), error))
    }
}

#[cfg(test)]
mod tests;
