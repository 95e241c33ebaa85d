use cloakroom::Timestamp;
use serde_json::json;

use crate::scripted::{BUSY, OPEN, REFUSED, Reply, Script, dynamodb, judged, refusal, reply, run};

use super::*;

fn payloads(replies: Vec<Reply>) -> (DynamoPayloads, Script) {
    let script = Script::new(replies);
    (DynamoPayloads::new(dynamodb(&script), "small"), script)
}

fn claim() -> Claim {
    Claim::from_random(7, "small")
}

/// A clock that always shows noon of 2026-01-01.
#[derive(Debug)]
struct Noon;

#[async_trait]
impl Clock for Noon {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis((20_454 * DAY_S + DAY_S / 2) * 1000)
    }

    async fn sleep(&self, _: Duration) {}
}

#[test]
fn failed_check_in_to_the_payload_table_is_not_retried_by_the_sdk() {
    for (failure, expected) in [
        (refusal(500, "InternalServerError"), OPEN),
        (Reply::Broken, OPEN),
        (refusal(400, "ThrottlingException"), BUSY),
        (refusal(400, "ResourceNotFoundException"), REFUSED),
    ] {
        let (payloads, script) = payloads(vec![failure]);
        let error = run(payloads.check_in(&claim(), Bytes::from_static(b"{}"))).unwrap_err();
        assert_eq!((judged(&error), script.seen().len()), (expected, 1), "{error}");
    }
}

#[test]
fn payload_item_has_the_binary_claim_as_key_and_expires_at_the_end_of_a_day() {
    let (payloads, script) = payloads(vec![reply(200, "{}"), reply(200, "{}")]);
    let payloads = payloads.with_clock(Arc::new(Noon)).with_ttl(Duration::from_secs(2 * DAY_S));
    run(payloads.check_in(&claim(), Bytes::from_static(b"{}"))).unwrap();
    run(payloads.put_entry("stock", &"m".into())).unwrap();
    let item = script.seen()[0].json()["Item"].clone();
    let expires = json!({ "N": (20_457 * DAY_S).to_string() });
    let expected = json!({ "k": { "B": "AAAAAAAAAAAAAAAAAAAABw==" }, "b": { "B": "e30=" }, "x": expires });
    assert_eq!(item, expected);
    assert_eq!(script.seen()[1].json()["Item"]["x"], expires);
}

#[test]
fn missing_payload_table_is_an_error_and_not_a_missing_payload() {
    let absent = || refusal(400, "ResourceNotFoundException");
    let (payloads, _) = payloads(vec![absent(), absent()]);
    for error in [run(payloads.read(&claim())).unwrap_err(), run(payloads.has_entry("stock", &"m".into())).unwrap_err()]
    {
        assert_eq!(judged(&error), REFUSED);
        assert!(error.to_string().contains("table `small` does not exist here"), "{error}");
    }
}

#[test]
fn payload_table_reads_are_strongly_consistent() {
    let (payloads, script) = payloads(vec![reply(200, "{}"), reply(200, "{}")]);
    assert_eq!(run(payloads.read(&claim())).unwrap(), None);
    assert!(!run(payloads.has_entry("stock", &"m".into())).unwrap());
    assert!(script.seen().iter().all(|seen| seen.json()["ConsistentRead"] == true));
}

#[test]
fn claim_of_another_store_is_an_error_and_not_a_missing_payload() {
    let (payloads, script) = payloads(Vec::new());
    let digits = "0123456789abcdef0123456789abcdef";
    for claim in [
        format!("{digits}.large"),
        format!("{digits}.xsmall"),
        format!("{digits}small"),
        digits.to_owned(),
        format!("{digits}0.small"),
        format!("{}.small", &digits[1..]),
        format!("{}.small", digits.to_uppercase()),
        format!("+{}.small", &digits[1..]),
        ".small".to_owned(),
        String::new(),
    ] {
        let claim = Claim::new(claim);
        let outcomes = [
            run(payloads.check_in(&claim, Bytes::new())).unwrap_err(),
            run(payloads.read(&claim)).unwrap_err(),
            run(payloads.delete(&claim)).unwrap_err(),
        ];
        assert!(outcomes.iter().all(|error| judged(error) == REFUSED), "{outcomes:?}");
    }
    assert!(script.seen().is_empty());
}

#[test]
fn item_of_another_program_is_not_read_as_a_payload() {
    let item = json!({ "Item": { "k": { "B": "AAAAAAAAAAAAAAAAAAAABw==" }, "b": { "S": "{}" } } });
    let (payloads, _) = payloads(vec![reply(200, item)]);
    let error = run(payloads.read(&claim())).unwrap_err();
    assert_eq!(judged(&error), REFUSED);
}

#[test]
fn payload_that_exceeds_an_item_is_refused_before_it_is_sent() {
    let (payloads, script) = payloads(vec![reply(200, "{}")]);
    run(payloads.check_in(&claim(), vec![0; DynamoPayloads::BYTES_MAX].into())).unwrap();
    let error = run(payloads.check_in(&claim(), vec![0; DynamoPayloads::BYTES_MAX + 1].into())).unwrap_err();
    assert_eq!(judged(&error), REFUSED);
    assert!(error.to_string().contains("it has 409577 bytes, and an item of DynamoDB holds 409576"), "{error}");
    assert_eq!(script.seen().len(), 1);
}

#[test]
fn largest_cheaper_payload_depends_on_the_prices() {
    let at = |write: f64, put: f64| {
        let prices = json!({
            "region": "here", "dynamodb_write_unit": write, "dynamodb_read_unit": 0.125e-6, "s3_put_class": put,
            "s3_get_class": 0.4e-6, "sqs_request": 0, "sqs_fifo_request": 0,
        });
        DynamoPayloads::cheaper_bytes_max(&Prices::read(&prices.to_string(), "prices", None).unwrap())
    };
    assert_eq!(at(0.625e-6, 5e-6), DynamoPayloads::CHEAPER_BYTES_MAX);
    assert_eq!(at(0.625e-6, 0.0), 0, "never");
    assert_eq!(at(0.0, 5e-6), 172 * 1024 - ITEM_BYTES, "reads alone");
    assert_eq!(at(0.0, 1.0), DynamoPayloads::BYTES_MAX, "always");
}
