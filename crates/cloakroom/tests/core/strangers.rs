//! Messages of foreign producers, payloads in other stores, and services of different versions.

use crate::fixture;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use cloakroom::{
    Endpoint, EndpointSettings, ErrorKind, MessageId, Outcome, PortError, Ports, engine::parking, format::Claim,
    memory::Memory, ports::PayloadStore, protocol::WhenMissing,
};
use cloakroom_sim::wire::Operation;
use fixture::{Account, Act, Note, World, double, envelope, play, stage::Fault};

/// Returns a message of a foreign producer.
fn foreign(world: &World, source: &str, partition: &str) -> cloakroom::Delivery {
    let mut envelope = envelope("1", "account.play");
    envelope.source = source.to_owned();
    envelope.partition = partition.into();
    envelope.data = Some(serde_json::json!({ "acts": [{ "Add": 1 }] }));
    world.delivery(&envelope)
}

#[test]
fn equal_ids_of_different_foreign_sources_are_different_messages() {
    let world = World::new();
    for (source, partition) in [("shop", "a"), ("shop", "b"), ("depot", "a")] {
        assert_eq!(world.outcome(&foreign(&world, source, partition)), Outcome::Processed, "{source} {partition}");
    }
    assert_eq!(world.outcome(&foreign(&world, "depot", "a")), Outcome::Duplicate);
}

#[test]
fn a_foreign_duplicate_is_never_parked() {
    let world = World::with(EndpointSettings { when_missing: WhenMissing::Park, ..EndpointSettings::default() });
    let delivery = foreign(&world, "shop", "a");
    assert_eq!([world.outcome(&delivery), world.outcome(&delivery)], [Outcome::Processed, Outcome::Duplicate]);
}

#[test]
fn message_with_a_payload_in_an_unknown_store_is_not_mistaken_for_a_duplicate() {
    let world = World::new();
    let mut envelope = envelope("1", "account.play");
    envelope.dataref = Some(Claim::from_random(1, "elsewhere"));
    let error = world.process(&world.delivery(&envelope)).expect_err("the endpoint does not have this store");
    assert_eq!(error.kind(), ErrorKind::RetryMessage);
    assert!(error.to_string().contains("in store `elsewhere`, and this endpoint has only `memory`"), "{error}");
}

/// The payload store of a memory under another name.
#[derive(Debug)]
struct Elsewhere(Arc<dyn PayloadStore>);

#[async_trait]
impl PayloadStore for Elsewhere {
    fn name(&self) -> &str {
        "elsewhere"
    }

    async fn check_in(&self, claim: &Claim, payload: Bytes) -> Result<(), PortError> {
        self.0.check_in(claim, payload).await
    }

    async fn read(&self, claim: &Claim) -> Result<Option<Bytes>, PortError> {
        self.0.read(claim).await
    }

    async fn delete(&self, claim: &Claim) -> Result<(), PortError> {
        self.0.delete(claim).await
    }

    async fn has_entry(&self, endpoint: &str, message: &MessageId) -> Result<bool, PortError> {
        self.0.has_entry(endpoint, message).await
    }

    async fn put_entry(&self, endpoint: &str, message: &MessageId) -> Result<(), PortError> {
        self.0.put_entry(endpoint, message).await
    }
}

#[test]
fn worker_without_the_payload_store_neither_settles_nor_clears() {
    let world = World::new();
    let delivery = world.claimed("m", &[Act::Add(1), Act::Note(1)]);
    world.stage.plan(|_, call| (call == Operation::Send).then_some(Fault::Refused));
    world.process(&delivery).expect_err("the message is committed, and every send fails");
    world.fail(&[]);
    let ports = world.memory.ports();
    let ports = Ports { payloads: Arc::new(Elsewhere(ports.payloads)), ..ports };
    let other = Endpoint::builder::<Account>("bank").on(play).route::<Note>("notes").build(ports).expect("an endpoint");
    let errors =
        world.memory.run(async { [other.process(&delivery).await.err(), other.finish(&delivery).await.err()] });
    for error in errors {
        assert_eq!(error.expect("the endpoint does not have this store").kind(), ErrorKind::RetryMessage);
    }
    assert_eq!(world.outcome(&delivery), Outcome::Resumed, "its record was not cleared");
    assert_eq!((world.outcome(&delivery), world.total()), (Outcome::Duplicate, 1));
}

#[test]
fn older_version_without_the_handler_finishes_a_commit_of_a_newer_one() {
    let world = World::new();
    let delivery = world.claimed("m", &[Act::Add(1), Act::Note(1)]);
    world.stage.plan(|_, call| (call == Operation::Send).then_some(Fault::Refused));
    world.process(&delivery).expect_err("every send fails");
    assert!(world.sent("notes").is_empty(), "the commit is durable, and nothing was sent");
    let older = Endpoint::builder::<Account>("bank").on(double).build(world.memory.ports()).expect("an endpoint");
    assert_eq!(world.memory.run(older.process(&delivery)).expect("finished"), Outcome::Resumed);
    assert_eq!(world.sent("notes").len(), 1);
}

#[test]
fn rejection_with_an_empty_reason_parks_its_message() {
    let memory = Memory::with_queues(["bank", "notes"]);
    async fn reject(_: &mut Account, _: Note, _: &mut cloakroom::Tx) -> cloakroom::Handled {
        Err(cloakroom::HandlerError::reject(""))
    }
    let endpoint = Endpoint::builder::<Account>("bank").on(reject).build(memory.ports()).expect("an endpoint");
    let mut envelope = envelope("1", "note");
    envelope.data = Some(serde_json::json!({ "number": 1, "text": "" }));
    let delivery = cloakroom::Delivery { body: envelope.encode(), receive_count: 1, ..Default::default() };
    assert_eq!(memory.run(endpoint.process(&delivery)).expect("parked"), Outcome::Parked);
    let parked = memory.queues.get("bank-dead").messages();
    assert_eq!(parked[0].attributes[parking::REASON], "no reason was given");
}

#[test]
fn reply_to_a_missing_queue_is_refused_before_the_commit() {
    let memory = Memory::with_queues(["bank", "notes"]);
    let builder = Endpoint::builder::<Account>("bank").on(play).route::<Note>("notes");
    let builder = builder.allow_replies_to("nowhere");
    let endpoint = builder.build(memory.ports()).expect("an endpoint");
    let mut envelope = envelope("1", "account.play");
    envelope.replyto = Some("nowhere".to_owned());
    envelope.data = Some(serde_json::json!({ "acts": [{ "Add": 1 }, { "Note": 1 }, "Answer"] }));
    for receive_count in 1..=8 {
        let delivery = cloakroom::Delivery { body: envelope.encode(), receive_count, ..Default::default() };
        let result = memory.run(endpoint.process(&delivery));
        match receive_count {
            8 => assert_eq!(result.expect("parked"), Outcome::Parked),
            _ => assert_eq!(result.expect_err("no queue").kind(), ErrorKind::RetryMessage),
        }
    }
    assert!(memory.store.partition(&"account#a".into()).is_empty(), "nothing was committed");
    let parked = memory.queues.get("bank-dead").messages();
    assert!(parked[0].attributes[parking::REASON].contains("queue `nowhere`"));
}
