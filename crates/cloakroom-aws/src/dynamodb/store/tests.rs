use std::collections::HashMap;

use cloakroom::{
    Condition, MessageId,
    format::Outgoing,
    ports::{Conflict, Embedded, ItemAction, ItemWrite, Placement, Sharing, StateWrite},
    protocol::{Consistency, Version},
};
use serde_json::{Value, json};

use crate::scripted::{BUSY, OPEN, REFUSED, Reply, Script, dynamodb, judged, refusal, reply, run};

use super::*;

fn store(replies: Vec<Reply>) -> (DynamoStore, Script) {
    let script = Script::new(replies);
    (DynamoStore::new(dynamodb(&script), "orders"), script)
}

struct Place {
    partition: Partition,
    message: MessageId,
}

impl Place {
    fn new() -> Self {
        Self { partition: "order#1".into(), message: "m".into() }
    }

    fn key(&self) -> RecordKey<'_> {
        RecordKey { partition: &self.partition, endpoint: "orders", message: &self.message }
    }
}

fn commit_embedding(
    store: &DynamoStore,
    expected: u64,
    items: &[ItemWrite],
    embedded_bytes_max: usize,
) -> Result<Committed, PortError> {
    let (place, record) = (Place::new(), Record::default());
    let state = StateWrite::Put(Item::from(HashMap::from([(
        "total".to_owned(),
        cloakroom::format::AttributeValue::N("7".to_owned()),
    )])));
    let RecordKey { partition, endpoint, message } = place.key();
    run(store.commit(Commit {
        partition,
        endpoint,
        expected: Version::new(expected),
        state: &state,
        records: &[(message, &record)],
        kept: &Embedded::default(),
        embedded_bytes_max,
        items,
        token: "token-1",
    }))
}

fn commit(store: &DynamoStore, expected: u64, items: &[ItemWrite]) -> Result<Committed, PortError> {
    commit_embedding(store, expected, items, 0)
}

fn item(sort_key: &str, action: ItemAction, condition: Condition) -> ItemWrite {
    ItemWrite { sort_key: sort_key.to_owned(), action, condition, sharing: Sharing::Owned }
}

fn cancelled(codes: &[&str]) -> Reply {
    let reason = |code: &&str| json!({ "Code": code, "Message": "why" });
    cancelled_for(codes.iter().map(reason).collect())
}

fn cancelled_for(reasons: Vec<Value>) -> Reply {
    let kind = "com.amazonaws.dynamodb.v20120810#TransactionCanceledException";
    reply(400, json!({ "__type": kind, "Message": "cancelled", "CancellationReasons": reasons }))
}

#[test]
fn store_reads_are_consistent_reads_of_one_item() {
    let (store, script) = store(vec![reply(200, "{}"), reply(200, "{}")]);
    let place = Place::new();
    assert_eq!(run(store.read_state(&place.partition, "orders", Consistency::Strong)).unwrap(), StateRead::default());
    assert_eq!(run(store.read_record(place.key())).unwrap(), None);
    let key = |sort_key: &str| json!({ "pk": { "S": "order#1" }, "sk": { "S": sort_key } });
    for (seen, sort_key) in script.seen().iter().zip(["state#orders", "outbox#orders#m"]) {
        assert_eq!(seen.header("x-amz-target"), Some("DynamoDB_20120810.GetItem"));
        assert_eq!(seen.json(), json!({ "TableName": "orders", "ConsistentRead": true, "Key": key(sort_key) }));
    }
}

#[test]
fn commit_is_one_transaction_with_a_condition_for_each_write() {
    let (store, script) = store(vec![reply(200, "{}")]);
    let items = [
        item("a", ItemAction::Put(Item::default()), Condition::Any),
        item("b", ItemAction::Delete, Condition::Exists),
        item("c", ItemAction::Check, Condition::Absent),
        item("d", ItemAction::Check, Condition::Any),
    ];
    assert_eq!(commit(&store, 4, &items).unwrap(), Committed::Applied(Placement::Separate));
    let key = |sort_key: &str| json!({ "pk": { "S": "order#1" }, "sk": { "S": sort_key } });
    let seen = script.seen();
    let [seen] = &*seen else { panic!("{} requests", seen.len()) };
    let mut json = seen.json();
    let record = json["TransactItems"][1]["Put"]["Item"]["cloakroom_record"]["S"].take();
    assert_eq!(Record::decode(record.as_str().unwrap()), Ok(Record::default()));
    let state = json!({ "pk": { "S": "order#1" }, "sk": { "S": "state#orders" }, "cloakroom_version": { "N": "5" },
                        "total": { "N": "7" } });
    let record = json!({ "pk": { "S": "order#1" }, "sk": { "S": "outbox#orders#m" }, "cloakroom_claimed": { "BOOL": true },
                         "cloakroom_record": { "S": null } });
    let absent = "attribute_not_exists(pk)";
    let mine = "(attribute_not_exists(cloakroom_owner) OR cloakroom_owner IN (:owner0))";
    let mine_exists = format!("attribute_exists(pk) AND {mine}");
    let owner = json!({ ":owner0": { "S": "orders" } });
    let mut a = key("a");
    a["cloakroom_owner"] = json!({ "S": "orders" });
    assert_eq!(
        json,
        json!({ "ClientRequestToken": "token-1", "TransactItems": [
            { "Put": { "TableName": "orders", "Item": state, "ConditionExpression": "cloakroom_version = :version",
                       "ExpressionAttributeValues": { ":version": { "N": "4" } } } },
            { "Put": { "TableName": "orders", "Item": record, "ConditionExpression": absent } },
            { "Put": { "TableName": "orders", "Item": a, "ConditionExpression": mine,
                       "ExpressionAttributeValues": owner, "ReturnValuesOnConditionCheckFailure": "ALL_OLD" } },
            { "Delete": { "TableName": "orders", "Key": key("b"), "ConditionExpression": mine_exists,
                          "ExpressionAttributeValues": owner, "ReturnValuesOnConditionCheckFailure": "ALL_OLD" } },
            { "ConditionCheck": { "TableName": "orders", "Key": key("c"), "ConditionExpression": absent,
                                  "ReturnValuesOnConditionCheckFailure": "ALL_OLD" } },
        ] })
    );
}

#[test]
fn first_commit_requires_an_absent_state() {
    let (store, script) = store(vec![reply(200, "{}")]);
    commit(&store, 0, &[]).unwrap();
    let put = &script.seen()[0].json()["TransactItems"][0]["Put"];
    assert_eq!(put["ConditionExpression"], "attribute_not_exists(pk)");
    assert_eq!(put["Item"]["cloakroom_version"], json!({ "N": "1" }));
}

#[test]
fn failed_commit_is_not_retried_by_the_sdk() {
    for (failure, expected) in [
        (refusal(500, "InternalServerError"), OPEN),
        (Reply::Broken, OPEN),
        (refusal(400, "ThrottlingException"), BUSY),
        (cancelled(&["TransactionConflict", "None"]), BUSY),
        (cancelled(&["None", "ThrottlingError"]), BUSY),
        (cancelled(&["None", "NewerThanThisLibrary"]), OPEN),
    ] {
        let (store, script) = store(vec![failure]);
        let error = commit(&store, 1, &[]).unwrap_err();
        assert_eq!((judged(&error), script.seen().len()), (expected, 1), "{error}");
    }
}

#[test]
fn commit_with_invalid_content_is_refused_and_not_an_error() {
    for refusal in [cancelled(&["None", "ValidationError"]), refusal(400, "ValidationException")] {
        let (store, _) = store(vec![refusal]);
        let committed = commit(&store, 1, &[]).unwrap();
        assert!(matches!(&committed, Committed::Refused(reason) if reason.contains("Validation")), "{committed:?}");
    }
}

#[test]
fn earlier_request_with_the_same_token_leaves_the_outcome_unknown() {
    for code in ["IdempotentParameterMismatchException", "TransactionInProgressException"] {
        let (store, _) = store(vec![refusal(400, code)]);
        let error = commit(&store, 1, &[]).unwrap_err();
        assert!(error.may_have_happened(), "{error}");
        assert!(error.to_string().contains(code), "{error}");
    }
}

#[test]
fn failed_conditions_are_conflicts_and_not_errors() {
    let item = item("a", ItemAction::Delete, Condition::Exists);
    // The check without a condition is not sent, so there is one reason less.
    let nothing = self::item("n", ItemAction::Check, Condition::Any);
    for (codes, expected) in [
        (["ConditionalCheckFailed", "None", "None"], Conflict::Overtaken),
        (["None", "ConditionalCheckFailed", "None"], Conflict::Overtaken),
        (["None", "None", "ConditionalCheckFailed"], Conflict::Item("a".to_owned())),
    ] {
        let (store, _) = store(vec![cancelled(&codes)]);
        let committed = commit(&store, 1, &[nothing.clone(), item.clone()]);
        assert_eq!(committed.unwrap(), Committed::Conflict(expected));
    }
}

#[test]
fn item_of_another_endpoint_is_refused_with_its_owner() {
    let found = |owner: Option<&str>| {
        let mut found = json!({ "pk": { "S": "order#1" }, "sk": { "S": "a" } });
        if let Some(owner) = owner {
            found["cloakroom_owner"] = json!({ "S": owner });
        }
        let lost = json!({ "Code": "ConditionalCheckFailed", "Message": "why", "Item": found });
        let none = json!({ "Code": "None" });
        let (store, _) = store(vec![cancelled_for(vec![none.clone(), none, lost])]);
        commit(&store, 1, &[item("a", ItemAction::Delete, Condition::Exists)]).unwrap()
    };
    let Committed::Refused(text) = found(Some("stock")) else { panic!("it is not refused") };
    assert!(text.starts_with("item `a` of partition `order#1` belongs to endpoint `stock`, not to `orders`"), "{text}");
    // The endpoint's own item does not meet the condition.
    for owner in [None, Some("orders")] {
        assert_eq!(found(owner), Committed::Conflict(Conflict::Item("a".to_owned())));
    }
}

#[test]
fn commit_with_an_unsupported_value_is_refused_before_it_is_sent() {
    let (store, script) = store(vec![]);
    let attributes = HashMap::from([("tags".to_owned(), cloakroom::format::AttributeValue::Ss(vec![]))]);
    let empty = item("a", ItemAction::Put(Item::from(attributes)), Condition::Any);
    let Committed::Refused(text) = commit(&store, 1, &[empty]).unwrap() else { panic!("it is not refused") };
    assert!(text.starts_with("item `a` of partition `order#1` has an empty set at `tags`"), "{text}");
    assert!(script.seen().is_empty());
}

#[test]
fn commit_over_a_limit_is_refused_before_it_is_sent() {
    let (store, script) = store(vec![]);
    let store = store.with_limits(Limits { transaction_items_max: 2, ..Limits::default() });
    let item = item("a", ItemAction::Delete, Condition::Any);
    let Committed::TooLarge(error) = commit(&store, 1, &[item]).unwrap() else { panic!("it was sent") };
    assert_eq!((error.size, error.size_max, error.unit), (3, 2, "items"));
    assert!(script.seen().is_empty());
}

fn record_without_claims() -> Record {
    let envelope = cloakroom::format::Envelope::new("out".into(), "orders", "Reserve", "sku#1".into());
    let queue = "stock".to_owned();
    let extensions = Default::default();
    let message = Outgoing { queue, envelope, delay_s: 0, body: Some("{}".to_owned()), group: None, extensions };
    Record { messages: vec![message], ..Record::default() }
}

fn condition_failed(record: Option<&Record>) -> Reply {
    let kind = "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException";
    let item = record.map(|record| {
        json!({ "pk": { "S": "order#1" }, "sk": { "S": "outbox#orders#m" }, "cloakroom_record": { "S": record.encode() } })
    });
    reply(400, json!({ "__type": kind, "message": "The conditional request failed", "Item": item }))
}

#[test]
fn second_store_of_claims_does_not_replace_the_first() {
    let claimed = record_without_claims().with_claims(["first".into()]);
    let ours = record_without_claims().with_claims(["second".into()]);
    let (store, script) = store(vec![reply(200, "{}"), condition_failed(Some(&claimed)), condition_failed(None)]);
    let place = Place::new();
    let stored = || run(store.store_claims(place.key(), &ours)).unwrap();
    assert_eq!(stored(), ClaimsStored::Stored);
    assert_eq!(stored(), ClaimsStored::AlreadyThere(claimed));
    assert_eq!(stored(), ClaimsStored::Gone);
    let json = script.seen()[0].json();
    assert_eq!(json["ConditionExpression"], "attribute_exists(pk) AND cloakroom_claimed = :no");
    assert_eq!(json["ExpressionAttributeValues"], json!({ ":no": { "BOOL": false } }));
    assert_eq!(json["ReturnValuesOnConditionCheckFailure"], "ALL_OLD");
    assert_eq!(json["Item"]["cloakroom_claimed"], json!({ "BOOL": true }));
}

#[test]
fn damaged_record_without_claims_is_an_error_of_store_claims() {
    let (store, _) = store(vec![condition_failed(Some(&record_without_claims()))]);
    let ours = record_without_claims().with_claims(["ours".into()]);
    let error = run(store.store_claims(Place::new().key(), &ours)).unwrap_err();
    assert_eq!(judged(&error), REFUSED);
    assert!(error.to_string().contains("cloakroom_claimed"), "{error}");
}

#[test]
fn failed_clear_is_retried_and_its_outcome_is_unknown() {
    let (store, script) = store(vec![
        refusal(500, "InternalServerError"),
        refusal(400, "ThrottlingException"),
        refusal(400, "ThrottlingException"),
    ]);
    let error = run(store.clear(Place::new().key())).unwrap_err();
    assert_eq!((judged(&error), script.seen().len()), (OPEN, 3), "{error}");
}

#[test]
fn missing_table_is_an_error_that_names_it() {
    let (store, _) = store(vec![refusal(400, "ResourceNotFoundException")]);
    let error = run(store.read_state(&"p".into(), "orders", Consistency::Strong)).unwrap_err();
    assert_eq!(judged(&error), REFUSED);
    assert!(error.to_string().contains("table `orders` does not exist here"), "{error}");
}

#[test]
fn commit_with_an_embedded_record_is_one_put_conditional_on_the_version() {
    let (store, script) = store(vec![reply(200, "{}")]);
    assert_eq!(commit_embedding(&store, 4, &[], 4_096).unwrap(), Committed::Applied(Placement::Embedded));
    let seen = script.seen();
    let [seen] = &*seen else { panic!("{} requests", seen.len()) };
    assert_eq!(seen.header("x-amz-target"), Some("DynamoDB_20120810.PutItem"));
    let sent = seen.json();
    assert_eq!(sent["ConditionExpression"], "cloakroom_version = :version");
    assert_eq!(sent["ExpressionAttributeValues"], json!({ ":version": { "N": "4" } }));
    assert_eq!(sent["Item"]["cloakroom_version"], json!({ "N": "5" }));
    assert!(sent["Item"]["cloakroom_records"]["M"]["m"]["S"].is_string());
}

#[test]
fn failed_put_has_the_same_result_as_a_failed_transaction() {
    let answer = |status, kind: &str| {
        let kind = format!("com.amazonaws.dynamodb.v20120810#{kind}");
        let (store, script) = store(vec![reply(status, json!({ "__type": kind, "message": "why" })), reply(200, "{}")]);
        let answer = commit_embedding(&store, 4, &[], 4_096);
        assert_eq!(script.seen().len(), 1, "{kind}: it is sent once");
        answer
    };
    let lost = answer(400, "ConditionalCheckFailedException").unwrap();
    assert_eq!(lost, Committed::Conflict(Conflict::Overtaken));
    assert!(matches!(answer(400, "ValidationException"), Ok(Committed::Refused(_))));
    for kind in ["TransactionConflictException", "ThrottlingException", "ProvisionedThroughputExceededException"] {
        let error = answer(400, kind).unwrap_err();
        assert!(error.may_be_repeated() && !error.may_have_happened(), "{kind}: {error}");
    }
    assert!(answer(500, "InternalServerError").unwrap_err().may_have_happened());
}
