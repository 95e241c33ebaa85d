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

/// The store of states and outbox records in a DynamoDB table with the string keys `pk` and `sk`.
///
/// - Each read reads one item, strongly consistent if the caller asks for it. Several reads are not
///   a snapshot, even if they share a request.
/// - A commit is one `TransactWriteItems`, which costs 2 write units for each started KB of each
///   item. If its records are embedded in the state and its handlers write no items of their own,
///   it is one `PutItem`, which costs 1 write unit for each started KB. It is sent **once**,
///   without the client's retries. The engine decides about a retry: if the outcome is unknown, it
///   reads the record first. The client's retries apply to all other calls.
/// - Limits and values are checked before the call: [`Committed::TooLarge`] and
///   [`Committed::Refused`] name the item.
///
/// ```no_run
/// # fn example(client: aws_sdk_dynamodb::Client) {
/// let store = cloakroom_aws::DynamoStore::new(client, "orders");
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DynamoStore {
    client: Client,
    /// SUBTLE: a commit is sent once. If the SDK retried it: (1) the first request takes effect,
    /// now or later, and its answer is lost, (2) the retry is throttled, and the SDK reports only
    /// that. The error would then claim "without effect" for a commit that took effect
    /// (`failed_commit_is_not_retried_by_the_sdk`). The idempotency token protects only the engine's retries, which
    /// follow an error without effect. A plain put has no token.
    unretried: Client,
    table: String,
    /// The description of a read, for errors.
    reading: String,
    reads: Arc<Reads>,
    limits: Limits,
}

impl DynamoStore {
    /// Creates a store on this table.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        let (unretried, table) = (unretried::dynamodb(&client), table.into());
        let reads = reads(&client, &table, WRITES_MAX);
        let reading = format!("reading an item of {}", target(&table));
        Self { client, unretried, table, reading, reads, limits: Limits::default() }
    }

    /// Sets [the maximum number of items](crate::AwsSettings::items_per_request_max) in a request.
    #[must_use]
    pub fn with_items_per_request_max(self, items: usize) -> Self {
        Self { reads: reads(&self.client, &self.table, items), ..self }
    }

    /// Sets the limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// SUBTLE: each item is read for itself, even if one request reads several. State and record of
    /// one message are never read by the same request: the record is read only after the state was
    /// returned (the wrong order `record_before_state`).
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

    /// Writes several items in one transaction. Returns `None` if it succeeded.
    async fn transact(
        &self,
        partition: &Partition,
        writes: &[Write],
        token: &str,
    ) -> Result<Option<Committed>, PortError> {
        let items = writes.iter().map(|write| transaction::item(&self.table, partition, write.clone())).collect();
        let request = self.unretried.transact_write_items().set_transact_items(Some(items));
        let request = request.client_request_token(token);
        match request.send().await {
            Ok(_) => Ok(None),
            Err(error) => self.commit_failed(partition, writes, error).map(Some),
        }
    }

    /// Writes the state with its embedded records, for half the units of a transaction. Returns
    /// `None` if it succeeded.
    async fn put(
        &self,
        partition: &Partition,
        sort_key: &str,
        item: Item,
        condition: &WriteCondition,
    ) -> Result<Option<Committed>, PortError> {
        let put = transaction::put(&self.table, partition, sort_key, item, condition);
        let put = self
            .unretried
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

    /// Returns the meaning of a failed transaction of `writes`.
    fn commit_failed(
        &self,
        partition: &Partition,
        writes: &[Write],
        error: SdkError<TransactWriteItemsError>,
    ) -> Result<Committed, PortError> {
        let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() else {
            // SUBTLE: `IdempotentParameterMismatchException` and `TransactionInProgressException`
            // mean that (1) an earlier request with this token was received, and (2) it may still
            // take effect. So the outcome is unknown, as it is after any unknown code
            // (`earlier_request_with_the_same_token_leaves_the_outcome_unknown`).
            let is_invalid = code(&error) == Some("ValidationException");
            let error = COMMIT.failed(&self.target(), error);
            // The content of the commit is invalid, for example a number that DynamoDB cannot
            // store.
            return if is_invalid { Ok(Committed::Refused(error.to_string())) } else { Err(error) };
        };
        let reasons = cancelled.cancellation_reasons();
        // The reasons have the sort keys of the items.
        let failed = || {
            let what = COMMIT.on(&self.target());
            let in_logs = format!("{what} failed: cancelled");
            PortError::new(what, transaction::reasons_text(reasons, writes)).in_logs(in_logs)
        };
        // SUBTLE: "without effect" holds only because this request was sent once: see `unretried`.
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

    /// Returns the meaning of a failed `store_claims`.
    fn claims_failed(&self, error: SdkError<PutItemError>) -> Result<ClaimsStored, PortError> {
        let Some(PutItemError::ConditionalCheckFailedException(failed)) = error.as_service_error() else {
            return Err(STORE_CLAIMS.failed(&self.target(), error));
        };
        let Some(item) = failed.item() else { return Ok(ClaimsStored::Gone) };
        let what = STORE_CLAIMS.on(&self.target());
        let record = placement::read_record_item(&what, &self.read(item.clone())?)?;
        // SUBTLE: a record without claims must not be returned as one with claims. Its messages
        // would be sent without claims (`damaged_record_without_claims_is_an_error_of_store_claims`).
        match record.claims() {
            Claims::Stored => Ok(ClaimsStored::AlreadyThere(record)),
            Claims::Missing => {
                let cause = format!(
                    "the record has no claims, but `{}` is not `false`: the item is damaged",
                    attribute::CLAIMED
                );
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
        // SUBTLE: without the second half of the condition, (1) one worker stores claims and sends
        // messages with them, (2) another worker stores other claims and sends messages with those.
        // The receiver would process both (`second_store_of_claims_does_not_replace_the_first`). The SDK may retry this put: if
        // the first try took effect, the retry's condition fails, and the caller gets its own
        // record back.
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
            // The record was retained before, and has expired.
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
