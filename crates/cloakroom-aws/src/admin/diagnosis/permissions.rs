//! What endpoints must be allowed, tried so that nobody notices.

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
    admin::diagnosis::{Diagnosis, Place, Problem, clock::Watch, finding::Finding, queues::QUEUES_AT_ONCE},
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
/// S3 says of an object that is not there that it is denied, unless both are allowed.
const GET_OR_LIST: Operation = Operation::read("GetObject", "s3:GetObject and s3:ListBucket");
const LIST: Operation = Operation::read("GetObject of what is not there", "s3:ListBucket");
const DELETE_OBJECT: Operation = Operation::repeatedly("DeleteObject", "s3:DeleteObject");
const SEND: Operation = Operation::read("SendMessageBatch", "sqs:SendMessage");
const RECEIVE: Operation = Operation::read("ReceiveMessage", "sqs:ReceiveMessage");
const DELETE: Operation = Operation::read("DeleteMessage", "sqs:DeleteMessage");
const EXTEND: Operation = Operation::read("ChangeMessageVisibility", "sqs:ChangeMessageVisibility");

/// A condition that no item fulfils that is not there.
const EXISTS: &str = "attribute_exists(pk)";
const PAYLOAD_EXISTS: &str = "attribute_exists(k)";
/// How that is refused. A table with other keys refuses every item; that is another finding.
const REFUSED: &[&str] = &["ConditionalCheckFailedException", "TransactionCanceledException", "ValidationException"];
/// A receipt that SQS never gave, and how that is refused.
const NO_RECEIPT: &str = "cloakroom-doctor";
const UNKNOWN_RECEIPT: &[&str] = &["ReceiptHandleIsInvalid", "InvalidParameterValue"];
/// More messages than SQS gives at once: a receive that it refuses.
const TOO_MANY: i32 = 11;

type Item = HashMap<String, AttributeValue>;

impl Diagnosis {
    /// Reads and writes an item that nobody has; looks at the clock on the way.
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
            self.told(Place::Table, proof, &mut findings);
        }
        findings
    }

    /// Reads and writes a payload that nobody has.
    pub(super) async fn payload_table_permissions(&self, table: &str) -> Vec<Finding> {
        let bits = AttributeValue::B(Blob::new(self.random().to_be_bytes()));
        let key = HashMap::from([(payload_attribute::KEY.to_owned(), bits)]);
        let delete = DeleteRequest::builder().set_key(Some(key.clone())).build().expect("it has a key");
        let delete = WriteRequest::builder().delete_request(delete).build();
        // It has no condition, and deletes nothing all the same.
        let write = self.aws.dynamodb.batch_write_item().request_items(table, vec![delete]);
        let watch = Watch::new(self.clock.clone());
        let write = self.if_shared(|| write.send());
        let (proofs, written) = futures::join!(self.try_items(table, key, PAYLOAD_EXISTS, &watch), write);
        let written = written.map(|written| proof(written, &WRITE_ITEMS, &dynamodb::target(table), REFUSED));
        let mut findings = Vec::new();
        for proof in proofs.into_iter().chain(written) {
            self.told(Place::PayloadTable, proof, &mut findings);
        }
        findings
    }

    /// Reads an item that is not there, and writes and deletes it if it is.
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

    /// Makes a call if items share requests here. Otherwise nobody needs to be allowed batches.
    fn if_shared<F: Future>(&self, call: impl FnOnce() -> F) -> OptionFuture<F> {
        (self.aws.settings.items_per_request_max > 1).then(call).into()
    }

    /// Writes an object under a claim that nobody has, reads it, deletes it, and finds it gone.
    pub(super) async fn bucket_permissions(&self) -> Vec<Finding> {
        let (client, bucket) = (&self.aws.s3, &self.aws.settings.bucket);
        let claim = Claim::from_random(self.random(), "doctor");
        let (key, target) = (Key::Payload { claim: &claim }.text(), payloads::target(bucket));
        let mut findings = Vec::new();
        let get = || client.get_object().bucket(bucket).key(&key).send();
        let put = client.put_object().bucket(bucket).key(&key).body(ByteStream::from_static(b"{}")).send().await;
        let put = put.map(drop).map_err(|error| PUT_OBJECT.failed(&target, error));
        let is_there = self.told(Place::Bucket, put, &mut findings).is_some();
        let mut get_nothing = Some(GET_OR_LIST);
        if is_there {
            let got = get().await.map(drop).map_err(|error| GET_OBJECT.failed(&target, error));
            get_nothing = self.told(Place::Bucket, got, &mut findings).map(|()| LIST);
        }
        let deleted = client.delete_object().bucket(bucket).key(&key).send().await;
        if let Err(error) = deleted {
            let mut finding = self.trouble(Place::Bucket, &DELETE_OBJECT.failed(&target, error));
            if is_there {
                finding.text.push_str(&format!("; so the probe object `{key}` stays until it expires"));
            }
            findings.push(finding);
        } else if let Some(operation) = get_nothing {
            let gone = proof(get().await, &operation, &target, &["NoSuchKey"]);
            self.told(Place::Bucket, gone, &mut findings);
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

    /// Tries a queue, wholly or, as a dead-letter queue, only what endpoints do with it: they send. `None` if it is not
    /// seen; the look at it tells why.
    async fn try_queue(&self, name: &str, whole: bool) -> Option<Vec<Finding>> {
        let url = self.aws.queue_url(name).await.ok()??;
        let (client, target, place) = (&self.aws.sqs, queue::target(name), Place::Queue(name));
        let mut findings = Vec::new();
        let sent = client.send_message_batch().queue_url(&url).set_entries(Some(Vec::new())).send().await;
        self.denial(place, proof(sent, &SEND, &target, &[]), &mut findings);
        if !whole {
            return Some(findings);
        }
        let receive = client.receive_message().queue_url(&url).max_number_of_messages(TOO_MANY).visibility_timeout(0);
        let delete = client.delete_message().queue_url(&url).receipt_handle(NO_RECEIPT);
        let extend = client.change_message_visibility().queue_url(&url).receipt_handle(NO_RECEIPT);
        let (received, deleted, extended) =
            futures::join!(receive.send(), delete.send(), extend.visibility_timeout(0).send());
        self.denial(place, proof(received, &RECEIVE, &target, &[]), &mut findings);
        self.told(place, proof(deleted, &DELETE, &target, UNKNOWN_RECEIPT), &mut findings);
        self.told(place, proof(extended, &EXTEND, &target, UNKNOWN_RECEIPT), &mut findings);
        Some(findings)
    }

    /// Takes a refusal for lack of permission, and nothing else, from a call that is refused in any case.
    fn denial(&self, place: Place<'_>, proof: Result<(), PortError>, findings: &mut Vec<Finding>) {
        let finding = proof.err().map(|error| self.trouble(place, &error));
        findings.extend(finding.filter(|one| !matches!(one.problem, Problem::LookFailed | Problem::NotOffered)));
    }

    fn not_tried(&self) -> Finding {
        let text = "`sqs:SendMessage` and `sqs:ReceiveMessage` were not seen to be denied, and are not proved: that \
                    would send and take messages";
        let fix = "`aws iam simulate-principal-policy --policy-source-arn … --action-names sqs:SendMessage \
                   sqs:ReceiveMessage` tells, or the first message";
        Finding::new(Problem::NotTried, "queues", text, fix)
    }
}

fn check(table: &str, key: Item) -> TransactWriteItem {
    let check = ConditionCheck::builder().table_name(table).set_key(Some(key)).condition_expression(EXISTS);
    TransactWriteItem::builder().condition_check(check.build().expect("table, key and condition are set")).build()
}

/// What the answer to a call proves that nothing comes of: it is allowed, if it was refused with a code that only those
/// see who may call.
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
