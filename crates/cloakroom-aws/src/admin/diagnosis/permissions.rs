//! Tries the permissions of endpoints, without side effects.

use std::collections::HashMap;

use aws_sdk_dynamodb::{
    primitives::Blob,
    types::{AttributeValue, ConditionCheck, DeleteRequest, KeysAndAttributes, TransactWriteItem, WriteRequest},
};
use aws_sdk_s3::primitives::ByteStream;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use cloakroom::{
    Partition, PortError,
    engine::parking::dead_letter_queue,
    format::{
        Claim,
        schema::{Key, payload_attribute},
    },
};
use futures::{StreamExt as _, future::OptionFuture, stream};

use crate::{
    admin::diagnosis::{Diagnosis, Problem, Resource, clock::Watch, finding::Finding, queues::QUEUES_AT_ONCE},
    client::failure::{Operation, SdkError, code},
    dynamodb::{self, transaction},
    s3::payloads,
    sqs::queue,
};

const GET_ITEM: Operation = Operation::read("GetItem", "dynamodb:GetItem");
const GET_ITEMS: Operation = Operation::read("BatchGetItem", "dynamodb:BatchGetItem");
const WRITE_ITEMS: Operation = Operation::read("BatchWriteItem", "dynamodb:BatchWriteItem");
const QUERY: Operation = Operation::read("Query", "dynamodb:Query");
const PUT_ITEM: Operation = Operation::read("PutItem", "dynamodb:PutItem");
const DELETE_ITEM: Operation = Operation::read("DeleteItem", "dynamodb:DeleteItem");
const CHECK_ITEM: Operation = Operation::read("TransactWriteItems", "dynamodb:ConditionCheckItem");
const PUT_OBJECT: Operation = Operation::repeatedly("PutObject", "s3:PutObject");
const GET_OBJECT: Operation = Operation::read("GetObject", "s3:GetObject");
/// For a missing object S3 answers "access denied", unless both are allowed.
const GET_OR_LIST: Operation = Operation::read("GetObject", "s3:GetObject and s3:ListBucket");
const LIST: Operation = Operation::read("GetObject of what is not there", "s3:ListBucket");
const DELETE_OBJECT: Operation = Operation::repeatedly("DeleteObject", "s3:DeleteObject");
const SEND: Operation = Operation::read("SendMessageBatch", "sqs:SendMessage");
const RECEIVE: Operation = Operation::read("ReceiveMessage", "sqs:ReceiveMessage");
const DELETE: Operation = Operation::read("DeleteMessage", "sqs:DeleteMessage");
const EXTEND: Operation = Operation::read("ChangeMessageVisibility", "sqs:ChangeMessageVisibility");

/// A condition that does not hold for an item that does not exist.
const EXISTS: &str = "attribute_exists(pk)";
const PAYLOAD_EXISTS: &str = "attribute_exists(k)";
/// The codes for a condition that does not hold. A table with other keys refuses every item, which
/// is another finding.
const REFUSED: &[&str] = &["ConditionalCheckFailedException", "TransactionCanceledException", "ValidationException"];
/// A receipt handle that SQS never issued. `UNKNOWN_RECEIPT` has the codes that refuse it.
const NO_RECEIPT: &str = "cloakroom-doctor";
const UNKNOWN_RECEIPT: &[&str] = &["ReceiptHandleIsInvalid", "InvalidParameterValue"];
/// More messages than SQS returns at once, so it refuses the receive.
const TOO_MANY: i32 = 11;

type Item = HashMap<String, AttributeValue>;

impl Diagnosis {
    /// Reads and writes an item that does not exist, and compares the clock with that of AWS.
    pub(super) async fn table_permissions(&self) -> Vec<Finding> {
        let (client, table) = (&self.aws.dynamodb, &self.aws.settings.table);
        let partition = Partition::new(format!("cloakroom-doctor#{:032x}", self.random()));
        let key = transaction::key(&partition, "doctor");
        let watch = Watch::new(self.clock.clone());
        let check = client.transact_write_items().transact_items(check(table, key.clone()));
        let query = client.query().table_name(table).limit(1).key_condition_expression("pk = :partition");
        let query = query.expression_attribute_values(":partition", AttributeValue::S(partition.to_string()));
        let items = self.try_items(table, key, EXISTS, &watch);
        let (proofs, check, query) = futures::join!(items, check.send(), query.send());
        let check = proof(check, &CHECK_ITEM, &dynamodb::target(table), REFUSED);
        let query = proof(query, &QUERY, &dynamodb::target(table), REFUSED);
        let mut findings: Vec<Finding> = watch.finding().into_iter().collect();
        for proof in proofs.into_iter().chain([check, query]) {
            self.answer_of(Resource::Table, proof, &mut findings);
        }
        findings
    }

    /// Reads and writes a payload that does not exist.
    pub(super) async fn payload_table_permissions(&self, table: &str) -> Vec<Finding> {
        let bits = AttributeValue::B(Blob::new(self.random().to_be_bytes()));
        let key = HashMap::from([(payload_attribute::KEY.to_owned(), bits)]);
        let delete = DeleteRequest::builder().set_key(Some(key.clone())).build().expect("it has a key");
        let delete = WriteRequest::builder().delete_request(delete).build();
        // The batch has no condition, but its key does not exist, so it deletes nothing.
        let write = self.aws.dynamodb.batch_write_item().request_items(table, vec![delete]);
        let watch = Watch::new(self.clock.clone());
        let write = self.if_shared(|| write.send());
        let (proofs, written) = futures::join!(self.try_items(table, key, PAYLOAD_EXISTS, &watch), write);
        let written = written.map(|written| proof(written, &WRITE_ITEMS, &dynamodb::target(table), REFUSED));
        let mut findings = Vec::new();
        for proof in proofs.into_iter().chain(written) {
            self.answer_of(Resource::PayloadTable, proof, &mut findings);
        }
        findings
    }

    /// Reads an item that does not exist, and writes and deletes it on the condition that it
    /// exists.
    async fn try_items(&self, table: &str, key: Item, exists: &str, watch: &Watch) -> Vec<Result<(), PortError>> {
        let client = &self.aws.dynamodb;
        let get = client.get_item().table_name(table).consistent_read(true).set_key(Some(key.clone()));
        let get = get.customize().interceptor(watch.clone());
        let keys = KeysAndAttributes::builder().keys(key.clone()).build().expect("it has keys");
        let get_all = client.batch_get_item().request_items(table, keys);
        let put = client.put_item().table_name(table).set_item(Some(key.clone())).condition_expression(exists);
        let delete = client.delete_item().table_name(table).set_key(Some(key)).condition_expression(exists);
        let get_all = self.if_shared(|| get_all.send());
        let (get, get_all, put, delete) = futures::join!(get.send(), get_all, put.send(), delete.send());
        let target = dynamodb::target(table);
        let get_all = get_all.map(|get_all| proof(get_all, &GET_ITEMS, &target, REFUSED));
        let singles = [
            proof(get, &GET_ITEM, &target, REFUSED),
            proof(put, &PUT_ITEM, &target, REFUSED),
            proof(delete, &DELETE_ITEM, &target, REFUSED),
        ];
        singles.into_iter().chain(get_all).collect()
    }

    /// Makes a call if reads and writes of items share requests. Otherwise endpoints do not need
    /// permission for batches.
    fn if_shared<F: Future>(&self, call: impl FnOnce() -> F) -> OptionFuture<F> {
        (self.aws.settings.items_per_request_max > 1).then(call).into()
    }

    /// Writes an object under a new claim, reads it, deletes it, and checks that it is gone.
    pub(super) async fn bucket_permissions(&self) -> Vec<Finding> {
        let (client, bucket) = (&self.aws.s3, &self.aws.settings.bucket);
        let claim = Claim::from_random(self.random(), "doctor");
        let (key, target) = (Key::Payload { claim: &claim }.text(), payloads::target(bucket));
        let mut findings = Vec::new();
        let get = || client.get_object().bucket(bucket).key(&key).send();
        let put = client.put_object().bucket(bucket).key(&key).body(ByteStream::from_static(b"{}")).send().await;
        let put = put.map(drop).map_err(|error| PUT_OBJECT.failed(&target, error));
        let is_there = self.answer_of(Resource::Bucket, put, &mut findings).is_some();
        let mut get_nothing = Some(GET_OR_LIST);
        if is_there {
            let got = get().await.map(drop).map_err(|error| GET_OBJECT.failed(&target, error));
            get_nothing = self.answer_of(Resource::Bucket, got, &mut findings).map(|()| LIST);
        }
        let deleted = client.delete_object().bucket(bucket).key(&key).send().await;
        if let Err(error) = deleted {
            let mut finding = self.failure_finding(Resource::Bucket, &DELETE_OBJECT.failed(&target, error));
            if is_there {
                finding.text.push_str(&format!("; so the probe object `{key}` stays until it expires"));
            }
            findings.push(finding);
        } else if let Some(operation) = get_nothing {
            let gone = proof(get().await, &operation, &target, &["NoSuchKey"]);
            self.answer_of(Resource::Bucket, gone, &mut findings);
        }
        findings
    }

    /// Tries the queues and their dead-letter queues.
    pub(super) async fn queue_permissions(&self) -> Vec<Finding> {
        let full_name = |name: &str| self.aws.settings.queues.full_name(name);
        let names = self.settings.queues.iter();
        let names = names.flat_map(|queue| [(full_name(queue), true), (full_name(&dead_letter_queue(queue)), false)]);
        let tried = stream::iter(names.collect::<Vec<_>>());
        let tried = tried.map(|(name, whole)| async move { self.try_queue(&name, whole).await });
        let tried: Vec<Option<Vec<Finding>>> = tried.buffered(QUEUES_AT_ONCE).collect().await;
        let not_tried = tried.iter().any(Option::is_some).then(|| self.not_tried());
        tried.into_iter().flatten().flatten().chain(not_tried).collect()
    }

    /// Tries all operations on a queue, or only sending on a dead-letter queue, where endpoints do
    /// nothing else. Returns `None` if the queue cannot be opened. Another check reports that.
    async fn try_queue(&self, name: &str, whole: bool) -> Option<Vec<Finding>> {
        let url = self.aws.queue_url(name).await.ok()??;
        let (client, target, resource) = (&self.aws.sqs, queue::target(name), Resource::Queue(name));
        let mut findings = Vec::new();
        let sent = client.send_message_batch().queue_url(&url).set_entries(Some(Vec::new())).send().await;
        self.denial(resource, proof(sent, &SEND, &target, &[]), &mut findings);
        if !whole {
            return Some(findings);
        }
        let receive = client.receive_message().queue_url(&url).max_number_of_messages(TOO_MANY).visibility_timeout(0);
        let delete = client.delete_message().queue_url(&url).receipt_handle(NO_RECEIPT);
        let extend = client.change_message_visibility().queue_url(&url).receipt_handle(NO_RECEIPT);
        let (received, deleted, extended) =
            futures::join!(receive.send(), delete.send(), extend.visibility_timeout(0).send());
        self.denial(resource, proof(received, &RECEIVE, &target, &[]), &mut findings);
        self.answer_of(resource, proof(deleted, &DELETE, &target, UNKNOWN_RECEIPT), &mut findings);
        self.answer_of(resource, proof(extended, &EXTEND, &target, UNKNOWN_RECEIPT), &mut findings);
        Some(findings)
    }

    /// Adds a finding only if a call that is refused in any case was refused for lack of
    /// permission.
    fn denial(&self, resource: Resource<'_>, proof: Result<(), PortError>, findings: &mut Vec<Finding>) {
        let finding = proof.err().map(|error| self.failure_finding(resource, &error));
        findings.extend(finding.filter(|one| !matches!(one.problem, Problem::LookFailed | Problem::NotOffered)));
    }

    fn not_tried(&self) -> Finding {
        let text = "`sqs:SendMessage` and `sqs:ReceiveMessage` were not denied, but they are not proved either: \
                    that would send and receive messages";
        let fix = "to be sure, run `aws iam simulate-principal-policy --policy-source-arn … --action-names \
                   sqs:SendMessage sqs:ReceiveMessage`";
        Finding::new(Problem::NotTried, "queues", text, fix)
    }
}

fn check(table: &str, key: Item) -> TransactWriteItem {
    let check = ConditionCheck::builder().table_name(table).set_key(Some(key)).condition_expression(EXISTS);
    TransactWriteItem::builder().condition_check(check.build().expect("table, key and condition are set")).build()
}

/// Whether the answer to a call without effect proves a permission. It does if the call succeeded,
/// or was refused with a code that only a permitted caller receives.
fn proof<T, E>(
    answer: Result<T, SdkError<E>>,
    operation: &Operation,
    target: &str,
    proofs: &[&str],
) -> Result<(), PortError>
where
    E: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static,
{
    match answer {
        Ok(_) => Ok(()),
        Err(error) if code(&error).is_some_and(|code| proofs.contains(&code.rsplit('.').next().unwrap_or(code))) => {
            Ok(())
        }
        Err(error) => Err(operation.failed(target, error)),
    }
}
