use std::collections::BTreeMap;

use super::*;

fn message(group: &str) -> QueueMessage {
    QueueMessage {
        body: "{}".to_owned(),
        group: Some(group.to_owned()),
        deduplication: Some("d".to_owned()),
        delay_s: 7,
        ..QueueMessage::default()
    }
}

#[test]
fn each_flavour_sends_only_the_fields_that_its_queue_accepts() {
    let sent = |flavour| {
        let entry = outgoing(3, message("g"), flavour).unwrap().entry;
        (entry.message_group_id, entry.message_deduplication_id, entry.delay_seconds)
    };
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(sent(Flavour::Standard), (None, None, Some(7)));
    assert_eq!(sent(Flavour::Fair), (text("g"), None, Some(7)));
    assert_eq!(sent(Flavour::Fifo), (text("g"), text("d"), None));
}

#[test]
fn queue_name_decides_the_flavour() {
    assert_eq!(Flavour::of("a.fifo", true), Flavour::Fifo);
    assert_eq!(Flavour::of("a.fifo", false), Flavour::Fifo);
    assert_eq!(Flavour::of("a", true), Flavour::Fair);
    assert_eq!(Flavour::of("fifo", false), Flavour::Standard);
}

#[test]
fn group_that_sqs_refuses_is_replaced_by_a_derived_id() {
    let group = |group: &str| outgoing(0, message(group), Flavour::Fifo).unwrap().entry.message_group_id.unwrap();
    assert_eq!(group("order#1/2"), "order#1/2");
    let long = "x".repeat(129);
    let replaced = [group("order 1"), group("order ü"), group(&long), group("")];
    for (number, id) in replaced.iter().enumerate() {
        assert!(id.len() <= 128 && id.bytes().all(|byte| byte.is_ascii_graphic()), "{id}");
        assert!(!replaced[..number].contains(id), "{id} stands for two groups");
    }
    assert_eq!(replaced[0], group("order 1"), "the same group has the same id");
}

#[test]
fn message_that_sqs_would_refuse_is_not_sent() {
    let refused = |message, flavour| outgoing(0, message, flavour).err();
    assert!(refused(QueueMessage { body: String::new(), ..message("g") }, Flavour::Standard).is_some());
    assert!(refused(QueueMessage { delay_s: 901, ..message("g") }, Flavour::Standard).is_some());
    assert!(refused(QueueMessage { group: None, ..message("g") }, Flavour::Fifo).is_some());
    let attributes = BTreeMap::from([("a".to_owned(), "\0Binary\0not base64!".to_owned())]);
    assert!(refused(QueueMessage { attributes, ..message("g") }, Flavour::Standard).is_some());
    assert_eq!(refused(QueueMessage { delay_s: 900, group: None, ..message("g") }, Flavour::Standard), None);
}

fn attribute(data_type: &str, text: Option<&str>, bytes: Option<&[u8]>) -> MessageAttributeValue {
    let value = MessageAttributeValue::builder().data_type(data_type);
    value.set_string_value(text.map(str::to_owned)).set_binary_value(bytes.map(Blob::new)).build().unwrap()
}

#[test]
fn attributes_of_every_type_survive_being_sent_again() {
    let attributes = HashMap::from([
        ("text".to_owned(), attribute("String", Some("grün"), None)),
        ("custom".to_owned(), attribute("String.json", Some("{}"), None)),
        ("number".to_owned(), attribute("Number", Some("1e3"), None)),
        ("bytes".to_owned(), attribute("Binary", None, Some(&[0, 255]))),
        ("image".to_owned(), attribute("Binary.png", None, Some(b"png"))),
    ]);
    let received = Message::builder().body("{}").receipt_handle("r").set_message_attributes(Some(attributes.clone()));
    let delivery = incoming(received.build()).unwrap();
    assert_eq!(delivery.attributes["text"], "grün");
    let again = QueueMessage { body: delivery.body, attributes: delivery.attributes, ..QueueMessage::default() };
    let entry = outgoing(0, again, Flavour::Standard).unwrap();
    assert_eq!(entry.entry.message_attributes, Some(attributes));
}

#[test]
fn message_size_counts_body_and_attributes_like_sqs() {
    let attributes = BTreeMap::from([
        ("ab".to_owned(), "cü".to_owned()),
        ("n".to_owned(), "\0Number\x0012".to_owned()),
        ("b".to_owned(), format!("\0Binary\0{}", base64::encode([7; 30]))),
    ]);
    let entry = outgoing(0, QueueMessage { attributes, ..message("g") }, Flavour::Standard).unwrap();
    assert_eq!(entry.bytes, 2 + (2 + 6 + 3) + (1 + 6 + 2) + (1 + 6 + 30));
}

#[test]
fn delivery_has_the_fields_of_the_sqs_message() {
    let message = Message::builder()
        .message_id("id")
        .body("body")
        .receipt_handle("receipt")
        .attributes(MessageSystemAttributeName::ApproximateReceiveCount, "3")
        .attributes(MessageSystemAttributeName::MessageGroupId, "g");
    let expected = Delivery {
        id: "id".to_owned(),
        body: "body".to_owned(),
        attributes: BTreeMap::new(),
        receipt: "receipt".to_owned(),
        receive_count: 3,
        group: Some("g".to_owned()),
    };
    assert_eq!(incoming(message.build()), Some(expected));
    assert_eq!(incoming(Message::builder().body("no receipt").build()), None);
}

#[test]
fn noncharacters_that_sqs_refuses_are_escaped() {
    let body = serde_json::json!({ "a\u{ffff}": "\u{fffe}ü" }).to_string();
    let entry = outgoing(0, QueueMessage { body: body.clone(), ..message("g") }, Flavour::Standard).unwrap();
    assert_eq!(entry.entry.message_body, r#"{"a\uffff":"\ufffeü"}"#);
    let decoded = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
    assert_eq!(decoded(&entry.entry.message_body), decoded(&body));
    assert_eq!(entry.bytes, entry.entry.message_body.len());
}
