//! The same requests, made directly with the SDK: receive a message, change a state and send
//! another message, in as many requests as the protocol makes. There are no decisions, no own
//! retries and no spans. An error ends the run.

use std::borrow::Cow;

use aws_sdk_dynamodb::types::{AttributeValue, Put, TransactWriteItem};
use aws_sdk_sqs::types::{
    DeleteMessageBatchRequestEntry, Message, MessageSystemAttributeName, SendMessageBatchRequestEntry,
};
use cloakroom::ports::{Clock as _, Placement, Random as _, SystemRandom};
use cloakroom_aws::TokioClock;
use futures::future::try_join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::{
    Failure, IN_FLIGHT_MAX,
    services::Services,
    workload::{BUCKET, DONES, Entity, STATE, TABLE, WORKS, Work},
};

const BATCH: usize = 10;
const ABSENT: &str = "attribute_not_exists(pk)";
const AS_READ: &str = "cloakroom_version = :version";

type Item = std::collections::HashMap<String, AttributeValue>;

/// The fields that are read from an incoming envelope.
#[derive(Deserialize)]
struct Incoming<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
    #[serde(borrow)]
    partitionkey: Cow<'a, str>,
    #[serde(borrow)]
    dataref: Cow<'a, str>,
    #[serde(borrow)]
    correlationid: Cow<'a, str>,
}

/// The fields that are written to an outgoing envelope.
#[derive(Serialize)]
struct Envelope<'a> {
    specversion: &'a str,
    cloakroomformat: u32,
    id: &'a str,
    source: &'a str,
    r#type: &'a str,
    time: &'a str,
    datacontenttype: &'a str,
    partitionkey: &'a str,
    dataref: &'a str,
    sequence: &'a str,
    correlationid: &'a str,
    causationid: &'a str,
    replyto: &'a str,
}

#[derive(Serialize)]
struct Record<'a> {
    format: u32,
    messages: [Outgoing<'a>; 1],
    settles_payload: &'a str,
    committed_ms: u64,
}

#[derive(Serialize)]
struct Outgoing<'a> {
    queue: &'a str,
    envelope: &'a Envelope<'a>,
    group: &'a str,
}

/// A committed message.
struct Committed {
    /// The body of the outgoing message.
    body: String,
    /// The key of the payload to delete.
    payload: String,
    partition: String,
    record: String,
}

/// The contestant without the library.
pub(crate) struct Raw<'s> {
    services: &'s Services,
    placement: Placement,
}

impl<'s> Raw<'s> {
    pub(crate) fn new(services: &'s Services, placement: Placement) -> Self {
        Self { services, placement }
    }

    /// Processes this many messages completely. Messages of one receive stay in one batch, so that
    /// batches are full.
    pub(crate) async fn work_on(&self, messages: usize) -> Result<(), Failure> {
        let left = Mutex::new(messages);
        try_join_all((0..IN_FLIGHT_MAX / BATCH).map(|_| self.work_on_batches(&left))).await?;
        Ok(())
    }

    /// Receives and processes batches until no message is left. Only one of the concurrent tasks
    /// receives at a time.
    async fn work_on_batches(&self, left: &Mutex<usize>) -> Result<(), Failure> {
        loop {
            let messages = {
                let mut left = left.lock().await;
                if *left == 0 {
                    return Ok(());
                }
                let messages = self.receive().await?;
                *left = left.checked_sub(messages.len()).ok_or("more messages were received than sent")?;
                messages
            };
            self.process(&messages).await?;
        }
    }

    async fn receive(&self) -> Result<Vec<Message>, Failure> {
        let receive = self.services.sqs.receive_message().queue_url(&self.services.works).wait_time_seconds(20);
        let receive = receive
            .max_number_of_messages(10)
            .visibility_timeout(30)
            .message_system_attribute_names(MessageSystemAttributeName::ApproximateReceiveCount)
            .message_system_attribute_names(MessageSystemAttributeName::MessageGroupId)
            .message_attribute_names("All");
        Ok(receive.send().await?.messages.unwrap_or_default())
    }

    async fn process(&self, messages: &[Message]) -> Result<(), Failure> {
        let mut committed = try_join_all(messages.iter().map(|message| self.commit_one(message))).await?;
        self.send(&mut committed).await?;
        try_join_all(committed.into_iter().map(|one| self.settle(one))).await?;
        self.acknowledge(messages).await
    }

    async fn commit_one(&self, message: &Message) -> Result<Committed, Failure> {
        let incoming: Incoming<'_> = serde_json::from_str(message.body().ok_or("a message without a body")?)?;
        let record = format!("outbox#{WORKS}#{}", incoming.id);
        let item = self.get(&incoming.partitionkey, STATE).await?.ok_or("no state")?;
        if self.placement == Placement::Separate && self.get(&incoming.partitionkey, &record).await?.is_some() {
            return Err("there is a record already".into());
        }
        let (version, mut entity) = read(item)?;
        let get = self.services.s3.get_object().bucket(BUCKET).key(&*incoming.dataref);
        let payload = get.send().await?.body.collect().await?.into_bytes();
        let done = entity.work(serde_json::from_slice::<Work>(&payload)?);
        let claim = format!("{:032x}.{BUCKET}", SystemRandom.bits());
        let put = self.services.s3.put_object().bucket(BUCKET).key(&claim).content_type("application/json");
        put.body(serde_json::to_vec(&done)?.into()).send().await?;
        let (id, now) = (format!("{:032x}0000", SystemRandom.bits()), TokioClock.now());
        let envelope = Envelope {
            specversion: "1.0",
            cloakroomformat: 1,
            id: &id,
            source: WORKS,
            r#type: "done",
            time: &now.to_string(),
            datacontenttype: "application/json",
            partitionkey: &done.entity,
            dataref: &claim,
            sequence: &format!("{:020}", version + 1),
            correlationid: &incoming.correlationid,
            causationid: &incoming.id,
            replyto: WORKS,
        };
        let messages = [Outgoing { queue: DONES, envelope: &envelope, group: &incoming.partitionkey }];
        let text = Record { format: 1, messages, settles_payload: &incoming.dataref, committed_ms: now.as_millis() };
        let text = serde_json::to_string(&text)?;
        let state = state(&incoming.partitionkey, version + 1, entity);
        match self.placement {
            Placement::Separate => {
                self.transact(version, state, item_of(&incoming.partitionkey, &record, text)).await?
            }
            Placement::Embedded => self.put(version, state, &incoming.id, text).await?,
        }
        let body = serde_json::to_string(&envelope)?;
        Ok(Committed {
            body,
            payload: incoming.dataref.into_owned(),
            partition: incoming.partitionkey.into_owned(),
            record,
        })
    }

    async fn get(&self, partition: &str, sort_key: &str) -> Result<Option<Item>, Failure> {
        let get = self.services.dynamodb.get_item().table_name(TABLE).consistent_read(true);
        Ok(get.key("pk", text(partition)).key("sk", text(sort_key)).send().await?.item)
    }

    async fn transact(&self, version: u64, state: Item, record: Item) -> Result<(), Failure> {
        let state = Put::builder().table_name(TABLE).set_item(Some(state)).condition_expression(AS_READ);
        let state = state.expression_attribute_values(":version", AttributeValue::N(version.to_string())).build()?;
        let record = Put::builder().table_name(TABLE).set_item(Some(record)).condition_expression(ABSENT).build()?;
        let item = |put| TransactWriteItem::builder().put(put).build();
        let transact = self.services.dynamodb.transact_write_items().transact_items(item(state));
        let token = format!("{:032x}", SystemRandom.bits());
        transact.transact_items(item(record)).client_request_token(token).send().await?;
        Ok(())
    }

    async fn put(&self, version: u64, mut state: Item, id: &str, record: String) -> Result<(), Failure> {
        state.insert("cloakroom_complete".to_owned(), AttributeValue::Bool(true));
        let records = Item::from([(id.to_owned(), AttributeValue::S(record))]);
        state.insert("cloakroom_records".to_owned(), AttributeValue::M(records));
        let put = self.services.dynamodb.put_item().table_name(TABLE).set_item(Some(state));
        let put = put.condition_expression(AS_READ);
        put.expression_attribute_values(":version", AttributeValue::N(version.to_string())).send().await?;
        Ok(())
    }

    async fn send(&self, committed: &mut [Committed]) -> Result<(), Failure> {
        let entry = |(number, one): (usize, &mut Committed)| {
            let entry = SendMessageBatchRequestEntry::builder().id(number.to_string());
            entry.message_body(std::mem::take(&mut one.body)).build()
        };
        let entries = committed.iter_mut().enumerate().map(entry).collect::<Result<Vec<_>, _>>()?;
        let send = self.services.sqs.send_message_batch().queue_url(&self.services.dones);
        all_done(send.set_entries(Some(entries)).send().await?.failed.len())
    }

    async fn settle(&self, one: Committed) -> Result<(), Failure> {
        self.services.s3.delete_object().bucket(BUCKET).key(one.payload).send().await?;
        if self.placement == Placement::Separate {
            let delete = self.services.dynamodb.delete_item().table_name(TABLE);
            delete.key("pk", text(one.partition)).key("sk", text(one.record)).send().await?;
        }
        Ok(())
    }

    async fn acknowledge(&self, messages: &[Message]) -> Result<(), Failure> {
        let entry = |(number, message): (usize, &Message)| {
            let receipt = message.receipt_handle().unwrap_or_default();
            DeleteMessageBatchRequestEntry::builder().id(number.to_string()).receipt_handle(receipt).build()
        };
        let entries = messages.iter().enumerate().map(entry).collect::<Result<Vec<_>, _>>()?;
        let delete = self.services.sqs.delete_message_batch().queue_url(&self.services.works);
        all_done(delete.set_entries(Some(entries)).send().await?.failed.len())
    }
}

fn all_done(failed: usize) -> Result<(), Failure> {
    if failed == 0 { Ok(()) } else { Err(format!("{failed} entries of a batch failed").into()) }
}

fn text(text: impl Into<String>) -> AttributeValue {
    AttributeValue::S(text.into())
}

/// The version and the state of an item.
fn read(mut item: Item) -> Result<(u64, Entity), Failure> {
    let number = |name: &str| match item.get(name) {
        Some(AttributeValue::N(digits)) => Ok(digits.parse::<u64>()?),
        _ => Err(Failure::from(format!("the state has no `{name}`"))),
    };
    let (version, works, letters) = (number("cloakroom_version")?, number("works")?, number("letters")?);
    let Some(AttributeValue::S(name)) = item.remove("name") else { return Err("the state has no `name`".into()) };
    Ok((version, Entity { name, works, letters }))
}

fn state(partition: &str, version: u64, Entity { name, works, letters }: Entity) -> Item {
    Item::from([
        ("pk".to_owned(), text(partition)),
        ("sk".to_owned(), text(STATE)),
        ("cloakroom_version".to_owned(), AttributeValue::N(version.to_string())),
        ("name".to_owned(), text(name)),
        ("works".to_owned(), AttributeValue::N(works.to_string())),
        ("letters".to_owned(), AttributeValue::N(letters.to_string())),
    ])
}

fn item_of(partition: &str, sort_key: &str, record: String) -> Item {
    Item::from([
        ("pk".to_owned(), text(partition)),
        ("sk".to_owned(), text(sort_key)),
        ("cloakroom_record".to_owned(), text(record)),
        ("cloakroom_claimed".to_owned(), AttributeValue::Bool(true)),
    ])
}
