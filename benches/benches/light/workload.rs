//! The workload: messages with a claim, for entities that have a state.

use aws_sdk_dynamodb::types::{AttributeValue, PutRequest, WriteRequest};
use aws_sdk_sqs::types::SendMessageBatchRequestEntry;
use cloakroom::{
    Message, Partition,
    format::{Claim, Envelope},
    ports::{Clock as _, Placement, Random as _, SystemRandom},
    protocol::Version,
};
use cloakroom_aws::TokioClock;
use futures::{StreamExt as _, TryStreamExt as _, future::try_join_all, stream};
use serde::{Deserialize, Serialize};

use crate::{Failure, services::Services};

pub(crate) const TABLE: &str = "light";
pub(crate) const BUCKET: &str = "light-payloads";
/// The incoming queue and the endpoint that processes it.
pub(crate) const WORKS: &str = "works";
pub(crate) const DONES: &str = "dones";
/// The sort key of the state.
pub(crate) const STATE: &str = "state#works";

/// The size of the text in a payload. The whole payload has 1 KB.
const TEXT_BYTES: usize = 980;
/// The maximum number of messages in one SQS request.
const BATCH: usize = 10;

/// The incoming message.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Work {
    pub(crate) entity: String,
    pub(crate) text: String,
}

/// The outgoing message. It is as large as the incoming one.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Done {
    pub(crate) entity: String,
    pub(crate) text: String,
}

/// The state of an entity.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Entity {
    pub(crate) name: String,
    pub(crate) works: u64,
    pub(crate) letters: u64,
}

impl Message for Work {
    const TYPE: &'static str = "work";
    fn partition(&self) -> Partition {
        Partition::new(&*self.entity)
    }
}

impl Message for Done {
    const TYPE: &'static str = "done";
    fn partition(&self) -> Partition {
        Partition::new(&*self.entity)
    }
}

impl Entity {
    /// The handler of both contestants.
    pub(crate) fn work(&mut self, work: Work) -> Done {
        self.works += 1;
        self.letters += work.text.len() as u64;
        Done { entity: work.entity, text: work.text }
    }
}

/// The messages of one run, each for an entity of its own.
#[derive(Clone, Copy)]
pub(crate) struct Workload {
    pub(crate) run: usize,
    pub(crate) messages: usize,
}

impl Workload {
    /// Writes payloads and states, and sends the messages.
    pub(crate) async fn supply(self, services: &Services, placement: Placement) -> Result<(), Failure> {
        let numbers: Vec<usize> = (0..self.messages).collect();
        let batches = numbers.chunks(BATCH).map(|batch| self.supply_batch(services, placement, batch));
        stream::iter(batches).buffer_unordered(4).try_collect().await
    }

    async fn supply_batch(self, services: &Services, placement: Placement, numbers: &[usize]) -> Result<(), Failure> {
        let claims: Vec<Claim> = numbers.iter().map(|_| Claim::from_random(SystemRandom.bits(), BUCKET)).collect();
        let put = async |number: usize, claim: &Claim| {
            let text = "Please do this. ".repeat(TEXT_BYTES.div_ceil(16));
            let work = Work { entity: self.entity(number), text: text[..TEXT_BYTES].to_owned() };
            let object = services.s3.put_object().bucket(BUCKET).key(claim.as_str());
            object.body(serde_json::to_vec(&work)?.into()).send().await?;
            Ok::<_, Failure>(())
        };
        try_join_all(numbers.iter().zip(&claims).map(|(number, claim)| put(*number, claim))).await?;
        let states = numbers.iter().map(|number| self.state(*number, placement)).collect::<Result<Vec<_>, _>>()?;
        services.dynamodb.batch_write_item().request_items(TABLE, states).send().await?;
        let entries = numbers.iter().zip(claims).map(|(number, claim)| self.entry(*number, claim));
        let entries = entries.collect::<Result<Vec<_>, _>>()?;
        services.sqs.send_message_batch().queue_url(&services.works).set_entries(Some(entries)).send().await?;
        Ok(())
    }

    fn entity(self, number: usize) -> String {
        format!("entity#{}-{number}", self.run)
    }

    /// Returns a state as a commit in this placement writes it.
    fn state(self, number: usize, placement: Placement) -> Result<WriteRequest, Failure> {
        let put = PutRequest::builder()
            .item("pk", AttributeValue::S(self.entity(number)))
            .item("sk", AttributeValue::S(STATE.to_owned()))
            .item("cloakroom_version", AttributeValue::N("1".to_owned()))
            .item("name", AttributeValue::S(format!("entity number {number}")))
            .item("works", AttributeValue::N("0".to_owned()))
            .item("letters", AttributeValue::N("0".to_owned()));
        let put = match placement {
            Placement::Separate => put,
            Placement::Embedded => put.item("cloakroom_complete", AttributeValue::Bool(true)),
        };
        Ok(WriteRequest::builder().put_request(put.build()?).build())
    }

    /// Returns a message as an endpoint sends it.
    fn entry(self, number: usize, claim: Claim) -> Result<SendMessageBatchRequestEntry, Failure> {
        let id = format!("{:032x}", SystemRandom.bits());
        let mut envelope = Envelope::new(id.into(), "bosses", Work::TYPE, Partition::new(self.entity(number)));
        envelope.time = Some(TokioClock.now().to_string());
        envelope.datacontenttype = Some("application/json".to_owned());
        envelope.dataref = Some(claim);
        envelope.correlationid = Some(format!("{:032x}", SystemRandom.bits()));
        envelope.replyto = Some("bosses".to_owned());
        envelope.set_sequence(Version::new(7));
        let entry = SendMessageBatchRequestEntry::builder().id(number.to_string());
        Ok(entry.message_body(envelope.encode()).build()?)
    }

    /// Asserts for ten of the entities that their message was processed once.
    /// [`Run::check`](crate::Run::check) checks how many messages were sent and deleted.
    pub(crate) async fn check(self, services: &Services) -> Result<(), Failure> {
        for number in (0..self.messages).step_by(self.messages.div_ceil(10)) {
            let entity = self.entity(number);
            let get = services.dynamodb.get_item().table_name(TABLE).consistent_read(true);
            let get = get.key("pk", AttributeValue::S(entity.clone())).key("sk", AttributeValue::S(STATE.to_owned()));
            let item = get.send().await?.item.unwrap_or_default();
            let number = |name: &str| item.get(name).and_then(|value| value.as_n().ok()).map(String::as_str);
            if number("works") != Some("1") || number("cloakroom_version") != Some("2") {
                return Err(format!("the message of `{entity}` was not processed exactly once: {item:?}").into());
            }
        }
        Ok(())
    }
}
