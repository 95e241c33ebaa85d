//! A value that DynamoDB does not store is refused before anything is written. The error names its
//! path.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

use std::collections::BTreeSet;

use cloakroom::{
    Condition, Delivery, Endpoint, EndpointSettings, Handled, Message, Outcome, Partition, Tx,
    engine::parking,
    format::{AttributeValue, Envelope},
    memory::Memory,
    ports::Placement,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
struct Line {
    #[serde(with = "serde_dynamo::string_set", default)]
    tags: BTreeSet<String>,
}

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Cart {
    lines: Vec<Line>,
    any: Value,
    wide: u128,
    negative: i128,
}

/// Replaces parts of the state, and writes an item.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Fill {
    lines: Vec<Line>,
    any: Value,
    wide: Option<String>,
    item: Option<Value>,
}

impl Message for Fill {
    const TYPE: &'static str = "fill";
    fn partition(&self) -> Partition {
        partition()
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Filled;

impl Message for Filled {
    const TYPE: &'static str = "filled";
    fn partition(&self) -> Partition {
        "else".into()
    }
}

fn partition() -> Partition {
    "cart#1".into()
}

async fn fill(cart: &mut Cart, fill: Fill, tx: &mut Tx) -> Handled {
    cart.lines = fill.lines;
    cart.any = fill.any;
    if let Some(digits) = fill.wide {
        cart.wide = cart.wide.max(digits.parse()?);
        cart.negative = -i128::try_from(cart.wide)?;
    }
    if let Some(item) = fill.item {
        tx.put("line#1", &item, Condition::Any);
    }
    tx.send(Filled);
    Ok(())
}

fn carts(memory: &Memory, placement: Placement) -> Endpoint {
    let settings = EndpointSettings { placement, ..EndpointSettings::default() };
    let builder = Endpoint::builder::<Cart>("carts").on(fill).route::<Filled>("filled").settings(settings);
    builder.build(memory.ports()).unwrap()
}

fn delivery(id: &str, fill: &Fill) -> Delivery {
    let mut envelope = Envelope::new(id.into(), "test", Fill::TYPE, partition());
    envelope.data = Some(serde_json::to_value(fill).unwrap());
    Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() }
}

fn deep(levels: usize) -> Value {
    (1..levels).fold(Value::Bool(true), |inner, _| serde_json::json!({ "n": inner }))
}

#[test]
fn value_that_dynamodb_refuses_parks_its_message_before_any_write() {
    let tagged = |tags: &[&str]| Line { tags: tags.iter().map(|tag| (*tag).to_owned()).collect() };
    let any = |any| Fill { any, ..Fill::default() };
    let item = |item| Fill { item: Some(item), ..Fill::default() };
    for (fill, expected) in [
        (
            Fill { lines: vec![tagged(&["a"]), tagged(&[])], ..Fill::default() },
            "the state has an empty set at `lines[1].tags`",
        ),
        (any(serde_json::json!({ "": 1 })), "the state has an attribute without a name at `any.\"\"`"),
        (any(serde_json::json!([1e126])), "the state has a number 1e126 at `any[0]`"),
        (any(serde_json::json!(-1e-131)), "the state has a number -1e-131 at `any`"),
        (any(deep(33)), "the state has more than 32 levels of lists and maps at `any.n"),
        (item(serde_json::json!({ "": 1 })), "item `line#1` has an attribute without a name at `\"\"`"),
        (item(serde_json::json!({ "n": 1e300 })), "item `line#1` has a number 1e300 at `n`"),
        (item(serde_json::json!({ "a": deep(33) })), "item `line#1` has more than 32 levels of lists and maps at `a.n"),
    ] {
        for placement in [Placement::Separate, Placement::Embedded] {
            let memory = Memory::with_queues(["carts", "filled"]);
            let outcome = memory.run(carts(&memory, placement).process(&delivery("1", &fill))).unwrap();
            assert_eq!(outcome, Outcome::Parked, "{expected}");
            let parked = memory.queues.get("carts-dead").messages();
            let reason = &parked[0].attributes[parking::REASON];
            assert!(reason.starts_with(expected), "`{reason}` does not begin with `{expected}`");
            assert!(memory.store.partition(&partition()).is_empty(), "nothing is committed");
            assert!(memory.payloads.claims().is_empty(), "nothing is checked in");
        }
    }
}

#[test]
fn value_at_the_limits_is_processed() {
    let memory = Memory::with_queues(["carts", "filled"]);
    let line = Line { tags: [String::new()].into() };
    let any = serde_json::json!([9.9e125, -1e-130, "", [], {}, null, { "a": deep(29) }]);
    let fill = Fill { lines: vec![line], any, item: Some(serde_json::json!({ "a": deep(32) })), ..Fill::default() };
    assert_eq!(
        memory.run(carts(&memory, Placement::Separate).process(&delivery("1", &fill))).unwrap(),
        Outcome::Processed
    );
}

#[test]
fn integer_of_128_bits_in_a_state_keeps_all_its_digits() {
    let memory = Memory::with_queues(["carts", "filled"]);
    let carts = carts(&memory, Placement::Separate);
    let digits = "9".repeat(38);
    let line = Line { tags: ["a".to_owned()].into() };
    for (id, wide) in [("1", digits.clone()), ("2", "1".to_owned())] {
        let fill = Fill { lines: vec![line.clone()], wide: Some(wide), ..Fill::default() };
        assert_eq!(memory.run(carts.process(&delivery(id, &fill))).unwrap(), Outcome::Processed);
        let state = memory.store.partition(&partition()).remove("state#carts").unwrap();
        assert_eq!(
            state["wide"],
            AttributeValue::N(digits.clone()),
            "the second message reads what the first has written"
        );
        assert_eq!(state["negative"], AttributeValue::N(format!("-{digits}")));
    }
    let fill = Fill { lines: vec![line], wide: Some(u128::MAX.to_string()), ..Fill::default() };
    let error = memory.run(carts.process(&delivery("3", &fill))).unwrap_err();
    assert!(error.to_string().contains("out of range"), "{error}");
}

#[test]
fn misspelt_route_fails_as_on_aws() {
    let memory = Memory::with_queues(["carts", "filed"]);
    let carts = carts(&memory, Placement::Separate);
    let line = Line { tags: ["a".to_owned()].into() };
    let error = memory.run(carts.process(&delivery("1", &Fill { lines: vec![line], ..Fill::default() }))).unwrap_err();
    let expected =
        "opening queue `filled` failed: it does not exist here; make it with `Memory::with_queues([\"filled\"])`";
    assert_eq!(error.to_string(), expected);
    assert!(memory.store.partition(&partition()).is_empty(), "nothing is committed");
}

#[test]
#[should_panic(expected = "opening queue `filed` failed: it does not exist here")]
fn get_of_a_missing_memory_queue_panics() {
    Memory::with_queues(["filled"]).queues.get("filed");
}

#[test]
fn memory_creates_a_dead_letter_queue_for_each_queue() {
    let memory = Memory::with_queues(["orders", "steps.fifo"]);
    for queue in ["orders", "orders-dead", "steps.fifo", "steps-dead.fifo"] {
        assert!(memory.queues.get(queue).is_empty());
    }
}
