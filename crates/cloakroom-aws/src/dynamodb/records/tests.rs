use serde_json::json;

use crate::scripted::{BUSY, REFUSED, Script, dynamodb, judged, refusal, reply, run};

use super::*;

fn records(replies: impl IntoIterator<Item = crate::scripted::Reply>) -> (DynamoRecords, Script) {
    let script = Script::new(replies);
    (DynamoRecords::new(dynamodb(&script), "orders"), script)
}

const SECOND: Segment = Segment { number: 1, of: 4 };

#[test]
fn record_page_is_a_consistent_scan_that_continues_after_the_previous_page() {
    let key = json!({ "pk": { "S": "order#1 ä" }, "sk": { "S": "outbox#orders#m#1" } });
    let mut item = key.clone();
    item["cloakroom_record"] = json!({ "S": r#"{"format":1,"messages":[],"settles_entry":"coats","committed_ms":7}"# });
    let page = json!({
        "Items": [item], "Count": 1, "ScannedCount": 900, "LastEvaluatedKey": key,
        "ConsumedCapacity": { "TableName": "orders", "CapacityUnits": 256.0 },
    });
    let (records, script) = records([reply(200, page), reply(200, r#"{ "Count": 0, "ScannedCount": 0 }"#)]);
    let first = run(records.page(SECOND, None)).unwrap();
    assert_eq!((first.items, first.units), (900, 256.0));
    let found = &first.records[0];
    assert_eq!((found.partition.as_str(), &*found.endpoint, found.message.as_str()), ("order#1 ä", "orders", "m#1"));
    assert_eq!(found.record.as_ref().unwrap().committed_ms, Some(7));
    let second = run(records.page(SECOND, first.next.as_deref())).unwrap();
    assert_eq!((second.records.len(), second.next), (0, None));

    let mut request = json!({
        "TableName": "orders", "ConsistentRead": true, "Segment": 1, "TotalSegments": 4,
        "FilterExpression": "begins_with(sk, :record) OR attribute_exists(cloakroom_records)",
        "ExpressionAttributeValues": { ":record": { "S": "outbox#" } },
        "ProjectionExpression": "pk, sk, cloakroom_record, cloakroom_records",
        "ReturnConsumedCapacity": "TOTAL",
    });
    assert_eq!(script.seen()[0].json(), request);
    request["ExclusiveStartKey"] = key;
    assert_eq!(script.seen()[1].json(), request);
}

#[test]
fn damaged_record_is_reported_and_does_not_stop_the_page() {
    let item = json!({ "pk": { "S": "p" }, "sk": { "S": "outbox#orders#m" } });
    let (records, _) = records([reply(200, json!({ "Items": [item], "Count": 1, "ScannedCount": 1 }))]);
    let page = run(records.page(SECOND, None)).unwrap();
    assert!(page.records[0].record.as_ref().unwrap_err().contains("cloakroom_record"), "{page:?}");
}

#[test]
fn failed_record_page_names_the_missing_permission() {
    let (records, _) = records([refusal(400, "AccessDeniedException")]);
    let error = run(records.page(SECOND, None)).unwrap_err();
    assert_eq!(judged(&error), REFUSED);
    assert!(error.to_string().contains("dynamodb:Scan on table `orders`"), "{error}");
    let throttled = || refusal(400, "ProvisionedThroughputExceededException");
    let (records, _) = self::records([throttled(), throttled(), throttled()]);
    assert_eq!(judged(&run(records.page(SECOND, None)).unwrap_err()), BUSY);
    let (records, script) = self::records([]);
    assert_eq!(judged(&run(records.page(SECOND, Some("no place"))).unwrap_err()), REFUSED);
    assert!(script.seen().is_empty(), "nothing is asked for");
}
