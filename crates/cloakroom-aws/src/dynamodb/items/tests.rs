use crate::dynamodb::items::{
    reads::Reads,
    writes::{ONCE, REPEATEDLY, Write, Writes},
};
use std::sync::Arc;

use async_trait::async_trait;
use cloakroom::{Timestamp, ports::Clock, protocol::Consistency};
use futures::future::{join, join_all};
use serde_json::{Value, json};

use crate::scripted::{BUSY, OPEN, REFUSED, Reply, Script, dynamodb, judged, refusal, reply, run};

use super::*;

/// A clock whose sleeps never end. The test sets its time.
#[derive(Debug, Default)]
struct Still(Mutex<Duration>);

#[async_trait]
impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(0)
    }

    fn monotonic(&self) -> Duration {
        *self.0.lock().unwrap()
    }

    async fn sleep(&self, _: Duration) {
        std::future::pending().await
    }
}

fn reads(replies: Vec<Reply>) -> (Reads, Script) {
    reads_on(Arc::new(Still::default()), replies)
}

fn reads_on(clock: Arc<dyn Clock>, replies: Vec<Reply>) -> (Reads, Script) {
    let script = Script::new(replies);
    (Reads::new(dynamodb(&script), "orders", 10, &clock), script)
}

fn writes(sent: writes::Operations, replies: Vec<Reply>) -> (Writes, Script) {
    let (script, clock) = (Script::new(replies), Arc::new(Still::default()) as Arc<dyn Clock>);
    let client = crate::client::unretried::dynamodb(&dynamodb(&script));
    (Writes::new(client, "orders", sent, 10, &clock), script)
}

fn state(partition: &str) -> ItemKey {
    ItemKey::Sorted { partition: partition.into(), sort: "state#orders".to_owned() }
}

fn item(partition: &str) -> Value {
    json!({ "pk": { "S": partition }, "sk": { "S": "state#orders" }, "owner": { "S": format!("of {partition}") } })
}

fn owner(item: Option<Attributes>) -> Option<String> {
    item.map(|item| item["owner"].as_s().unwrap().clone())
}

fn targets(script: &Script) -> Vec<String> {
    let target = |seen: &crate::scripted::Seen| seen.header("x-amz-target").unwrap().replace("DynamoDB_20120810.", "");
    script.seen().iter().map(target).collect()
}

#[test]
fn concurrent_reads_share_a_request_and_each_gets_its_own_item() {
    let found = json!({ "Responses": { "orders": [item("c"), item("a")] } });
    let (reads, script) = reads(vec![reply(200, found)]);
    let asked = ["a", "b", "c", "a"].map(|partition| reads.read(state(partition), Consistency::Strong));
    let owners: Vec<_> = run(join_all(asked)).into_iter().map(|read| owner(read.unwrap())).collect();
    let of = |partition: &str| Some(format!("of {partition}"));
    assert_eq!(owners, [of("a"), None, of("c"), of("a")]);
    let request = script.seen()[0].json()["RequestItems"]["orders"].clone();
    assert_eq!(request["ConsistentRead"], true);
    assert_eq!(request["Keys"].as_array().map(Vec::len), Some(3), "DynamoDB refuses a key twice");
}

#[test]
fn strong_and_eventual_reads_do_not_share_a_request() {
    let none = || reply(200, "{}");
    let (reads, script) = reads(vec![none(), none()]);
    let strong = reads.read(state("a"), Consistency::Strong);
    run(join(strong, reads.read(state("b"), Consistency::Any))).0.unwrap();
    let consistent: Vec<_> = script.seen().iter().map(|seen| seen.json()["ConsistentRead"].clone()).collect();
    assert_eq!(consistent, [true, false]);
    assert_eq!(targets(&script), ["GetItem", "GetItem"]);
}

#[test]
fn unprocessed_key_does_not_count_as_missing() {
    let keys = json!([{ "pk": { "S": "b" }, "sk": { "S": "state#orders" } }]);
    // The response names the table by its ARN.
    let answer = json!({
        "Responses": { "arn:orders": [item("a")] },
        "UnprocessedKeys": { "arn:orders": { "Keys": keys, "ConsistentRead": true } },
    });
    for (alone, expected) in [
        (vec![reply(200, json!({ "Item": item("b") }))], Ok(Some("of b".to_owned()))),
        (vec![reply(200, "{}")], Ok(None)),
        // The SDK retries this request. It does not retry the unprocessed part of a batch.
        (vec![refusal(400, "ThrottlingException"); 3], Err(BUSY)),
    ] {
        let (reads, script) = reads([vec![reply(200, &answer)], alone.clone()].concat());
        let asked = ["a", "b", "c"].map(|partition| reads.read(state(partition), Consistency::Strong));
        let mut answers = run(join_all(asked)).into_iter();
        let mut next = || answers.next().unwrap().map(owner).map_err(|error| judged(&error));
        assert_eq!(next(), Ok(Some("of a".to_owned())));
        assert_eq!(next(), expected, "it is read alone");
        assert_eq!(next(), Ok(None), "it was read, and is missing");
        assert_eq!(targets(&script), [vec!["BatchGetItem"], vec!["GetItem"; alone.len()]].concat());
    }
}

#[test]
fn refused_batch_of_reads_is_sent_read_by_read() {
    for code in ["ValidationException", "AccessDeniedException"] {
        let (reads, script) = reads(vec![refusal(400, code), reply(200, "{}"), refusal(400, code)]);
        let asked = ["a", "b"].map(|partition| reads.read(state(partition), Consistency::Strong));
        let answers = run(join_all(asked));
        assert_eq!(targets(&script), ["BatchGetItem", "GetItem", "GetItem"]);
        assert!(answers[0].is_ok(), "it succeeds although the other is refused");
        assert_eq!(answers[1].as_ref().map_err(judged).err(), Some(REFUSED));
    }
}

#[test]
fn denied_batch_is_tried_again_after_a_minute() {
    let (denied, none) = (refusal(400, "AccessDeniedException"), reply(200, "{}"));
    let none = |count| vec![none.clone(); count];
    let clock = Arc::new(Still::default());
    let (reads, script) = reads_on(clock.clone(), [vec![denied], none(5)].concat());
    for (second, requests) in
        [(0, &["BatchGetItem", "GetItem", "GetItem"][..]), (59, &["GetItem", "GetItem"]), (60, &["BatchGetItem"])]
    {
        *clock.0.lock().unwrap() = Duration::from_secs(second);
        let before = script.seen().len();
        let asked = ["a", "b"].map(|partition| reads.read(state(partition), Consistency::Strong));
        assert!(run(join_all(asked)).iter().all(Result::is_ok));
        assert_eq!(targets(&script)[before..], *requests, "second {second}");
    }
}

fn payload(number: u8) -> Write {
    let body = Attributes::from([("b".to_owned(), AttributeValue::B(Blob::new([number])))]);
    Write { key: ItemKey::Payload(vec![number]), item: Some(body) }
}

fn deletion(number: u8) -> Write {
    Write { key: ItemKey::Payload(vec![number]), item: None }
}

#[test]
fn a_batch_of_check_ins_is_sent_once() {
    let put = json!({ "PutRequest": { "Item": { "k": { "B": "Ag==" }, "b": { "B": "Ag==" } } } });
    for (answer, expected) in [
        (reply(200, "{}"), [None, None]),
        (reply(200, json!({ "UnprocessedItems": { "orders": [put] } })), [None, Some(OPEN)]),
        (refusal(400, "ThrottlingException"), [Some(BUSY); 2]),
        (refusal(500, "InternalServerError"), [Some(OPEN); 2]),
        (Reply::Broken, [Some(OPEN); 2]),
    ] {
        let (writes, script) = writes(ONCE, vec![answer]);
        let answers = run(join_all([payload(1), payload(2)].map(|write| writes.write(write))));
        assert_eq!(answers.iter().map(|answer| answer.as_ref().map_err(judged).err()).collect::<Vec<_>>(), expected);
        assert_eq!(targets(&script), ["BatchWriteItem"]);
    }
}

#[test]
fn concurrent_deletes_of_a_payload_are_one_entry_of_a_request() {
    let (writes, script) = writes(REPEATEDLY, vec![reply(200, "{}")]);
    let answers = run(join_all([1, 2, 1].map(|number| writes.write(deletion(number)))));
    assert!(answers.iter().all(Result::is_ok));
    let requests = script.seen()[0].json()["RequestItems"]["orders"].clone();
    let delete = |key: &str| json!({ "DeleteRequest": { "Key": { "k": { "B": key } } } });
    assert_eq!(requests, json!([delete("AQ=="), delete("Ag==")]));
}

#[test]
fn unprocessed_deletion_of_a_batch_is_sent_alone() {
    let delete = json!({ "DeleteRequest": { "Key": { "k": { "B": "Ag==" } } } });
    let answer = json!({ "UnprocessedItems": { "orders": [delete] } });
    let (writes, script) = writes(REPEATEDLY, vec![reply(200, answer), reply(200, "{}")]);
    assert!(run(join_all([1, 2].map(|number| writes.write(deletion(number))))).iter().all(Result::is_ok));
    assert_eq!(targets(&script), ["BatchWriteItem", "DeleteItem"]);
    assert_eq!(script.seen()[1].json()["Key"]["k"]["B"], "Ag==");
}

#[test]
fn refused_batch_of_writes_is_sent_write_by_write() {
    let (writes, script) =
        writes(REPEATEDLY, vec![refusal(400, "AccessDeniedException"), reply(200, "{}"), reply(200, "{}")]);
    let answers = run(join_all([payload(1), deletion(2)].map(|write| writes.write(write))));
    assert!(answers.iter().all(Result::is_ok));
    assert_eq!(targets(&script), ["BatchWriteItem", "PutItem", "DeleteItem"]);
}
