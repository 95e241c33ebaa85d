//! Items and their owners, in DynamoDB.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use cloakroom::{Condition, Delivery, Endpoint, Handled, Message, Outcome, Partition, Ports, Tx, format::Envelope};

use crate::embedded::Embedded;

#[derive(serde::Serialize, serde::Deserialize)]
struct Write;

impl Message for Write {
    const TYPE: &'static str = "write";
    fn partition(&self) -> Partition {
        "p".into()
    }
}

async fn write(_: &mut BTreeMap<String, u64>, _: Write, tx: &mut Tx) -> Handled {
    let by = tx.incoming().source.clone();
    tx.put("line#1", &BTreeMap::from([("by", by)]), Condition::Exists);
    Ok(())
}

async fn outcome(name: &str, ports: Ports) -> Outcome {
    let endpoint = Endpoint::builder(name).on(write).build(ports).unwrap();
    let mut envelope = Envelope::new("1".into(), name, Write::TYPE, "p".into());
    envelope.data = Some(serde_json::Value::Null);
    let delivery = Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() };
    endpoint.process(&delivery).await.unwrap()
}

#[tokio::test]
async fn item_without_an_owner_belongs_to_the_endpoint_that_writes_it_next() {
    let world = Embedded::start(&["bank", "till"]).await;
    let text = |text: &str| AttributeValue::S(text.to_owned());
    let put = world.dynamodb.put_item().table_name("things").item("pk", text("p")).item("sk", text("line#1"));
    put.send().await.unwrap();
    assert_eq!(outcome("bank", world.aws.ports()).await, Outcome::Processed);
    assert_eq!(outcome("till", world.aws.ports()).await, Outcome::Parked);
    let get = world.dynamodb.get_item().table_name("things").key("pk", text("p")).key("sk", text("line#1"));
    let item = get.send().await.unwrap().item.unwrap();
    assert_eq!((&item["by"], &item["cloakroom_owner"]), (&text("bank"), &text("bank")));
}
