//! Messages of foreign producers are turned into envelopes, deduplicated, and parked with the
//! identity that they had when they were received.

use bytes::Bytes;
use cloakroom::{
    Delivery, Endpoint, ErrorKind, Handled, HandlerError, Message, Outcome, Partition, Ports, Tx, Worker,
    endpoint::EndpointBuilder,
    engine::{Recovered, intake, parking},
    format::{Claim, Envelope},
    memory::Memory,
    ports::{Limits, PayloadStore as _, Queue as _, QueueMessage},
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeMap, time::Duration};

#[derive(Debug, Default, Serialize, Deserialize)]
struct Folder {
    files: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct Upload {
    folder: String,
    file: String,
}

impl Message for Upload {
    const TYPE: &'static str = "upload";
    fn partition(&self) -> Partition {
        assert_ne!(self.folder, "panic");
        Partition::new(&*self.folder)
    }
}

#[derive(Serialize, Deserialize)]
struct Wipe {
    folder: String,
}

impl Message for Wipe {
    const TYPE: &'static str = "wipe";
    fn partition(&self) -> Partition {
        Partition::new(&*self.folder)
    }
}

async fn upload(folder: &mut Folder, upload: Upload, _: &mut Tx) -> Handled {
    if upload.file == "virus" {
        return Err(HandlerError::reject("no viruses"));
    }
    if upload.file == "later" {
        return Err(HandlerError::retry("not now"));
    }
    folder.files.push(upload.file);
    Ok(())
}

async fn wipe(folder: &mut Folder, _: Wipe, _: &mut Tx) -> Handled {
    folder.files.clear();
    Ok(())
}

fn builder() -> EndpointBuilder<Folder> {
    Endpoint::builder::<Folder>("files").on(upload).on(wipe)
}

struct World {
    memory: Memory,
    endpoint: Endpoint,
}

impl World {
    fn new() -> Self {
        Self::with(builder().plain::<Upload>(), Limits::default())
    }

    fn with(builder: EndpointBuilder<Folder>, limits: Limits) -> Self {
        let memory = Memory::with_queues(["files"]);
        let endpoint = builder.build(Ports { limits, ..memory.ports() }).expect("an endpoint");
        Self { memory, endpoint }
    }

    #[track_caller]
    fn outcome(&self, delivery: &Delivery) -> Outcome {
        self.memory.run(self.endpoint.process(delivery)).unwrap_or_else(|error| panic!("{error}"))
    }

    fn files(&self, folder: &str) -> Vec<String> {
        let mut items = self.memory.store.partition(&folder.into());
        items.remove("state#files").map_or(Vec::new(), |item| {
            let state: Folder = serde_dynamo::from_item(item).expect("a folder");
            state.files
        })
    }

    fn dead(&self) -> Vec<QueueMessage> {
        self.memory.queues.get("files-dead").messages()
    }

    /// Asserts that the message is parked with an unchanged body, and that the reason contains this
    /// text.
    #[track_caller]
    fn assert_parked_unchanged(&self, delivery: &Delivery, reason: &str) {
        assert_eq!(self.outcome(delivery), Outcome::Parked);
        let parked = self.dead().pop().expect("a parked message");
        assert_eq!(parked.body, delivery.body);
        assert!(parked.attributes[parking::REASON].contains(reason), "{}", parked.attributes[parking::REASON]);
    }

    /// Sends a message to a queue, and receives it from there.
    fn send_and_receive(&self, queue: &str, message: QueueMessage) -> Delivery {
        let queue = self.memory.queues.get(queue);
        self.memory.run(async {
            queue.send(vec![message]).await;
            let received = queue.receive(1, Duration::ZERO, Duration::from_secs(60)).await;
            received.expect("memory does not fail").pop().expect("a message")
        })
    }
}

/// A plain message, with this id of its queue.
fn plain(id: &str, folder: &str, file: &str) -> Delivery {
    let body = format!(r#"{{"folder":"{folder}","file":"{file}"}}"#);
    Delivery { id: id.to_owned(), body, receive_count: 1, ..Delivery::default() }
}

/// A CloudEvents event with `id`, `source`, `type` and these further fields.
fn event(data: &str) -> Delivery {
    let body = format!(r#"{{"specversion":"1.0","id":"1","source":"depot","type":"upload",{data}}}"#);
    Delivery { body, receive_count: 1, ..Delivery::default() }
}

fn with(delivery: Delivery, attributes: &[(&str, &str)]) -> Delivery {
    let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Delivery { attributes, ..delivery }
}

const UPLOAD: &str = r#""data":{"folder":"a","file":"one"}"#;
/// The data of [`UPLOAD`] in Base64.
const UPLOAD_BASE64: &str = r#""data_base64":"eyJmb2xkZXIiOiJhIiwiZmlsZSI6Im9uZSJ9""#;

#[test]
fn event_without_a_partition_gets_the_partition_of_its_message() {
    for data in [UPLOAD, UPLOAD_BASE64] {
        let world = World::new();
        assert_eq!(world.outcome(&event(data)), Outcome::Processed, "{data}");
        assert_eq!(world.outcome(&event(data)), Outcome::Duplicate, "{data}");
        assert_eq!(world.files("a"), ["one"]);
        let explicit = event(&format!(r#""partitionkey":"a",{data}"#));
        assert_eq!(world.outcome(&explicit), Outcome::Duplicate, "an explicit partition makes no other message");
    }
}

#[test]
fn binary_data_of_an_event_is_read_if_it_is_json() {
    let typed = |media_type: &str| event(&format!(r#""datacontenttype":"{media_type}",{UPLOAD_BASE64}"#));
    for media_type in ["application/json", "text/json; charset=utf-8", "Application/Upload+JSON"] {
        assert_eq!(World::new().outcome(&typed(media_type)), Outcome::Processed, "{media_type}");
    }
    let world = World::new();
    world.assert_parked_unchanged(&typed("application/xml"), "holds `application/xml`");
    world.assert_parked_unchanged(&event(r#""data_base64":"%%""#), "is no Base64");
    world.assert_parked_unchanged(&event(r#""data_base64":7"#), "is no Base64");
    world.assert_parked_unchanged(&event(r#""partitionkey":"a","data_base64":"eyI=""#), "holds no JSON");
    assert_eq!(world.files("a"), Vec::<String>::new());
}

#[test]
fn event_that_lacks_more_than_its_partition_is_parked_unchanged() {
    let world = World::new();
    for (data, reason) in [
        (r#""data":{"folder":"a"}"#, "the payload is no `upload`: missing field `file`"),
        (r#""other":1"#, "the payload is no `upload`"),
        (r#""data":{"folder":"","file":"one"}"#, "a `upload` has an empty partition"),
        (r#""data":{"folder":"panic","file":"one"}"#, "`partition` panicked"),
        (r#""dataref":"https://elsewhere""#, "`dataref` of a foreign producer"),
        (r#""cloakroomformat":1"#, "missing field `partitionkey`"),
        (r#""partitionkey":7"#, "not an envelope"),
    ] {
        world.assert_parked_unchanged(&event(data), reason);
    }
    let unknown = event(UPLOAD);
    let unknown = Delivery { body: unknown.body.replace("upload", "download"), ..unknown };
    world.assert_parked_unchanged(&unknown, "no handler for `download`");
    let later = event(UPLOAD);
    let later = Delivery { body: later.body.replace("1.0", "2.0"), ..later };
    world.assert_parked_unchanged(&later, "CloudEvents version `2.0` is not supported");
}

#[test]
fn foreign_message_of_a_source_that_is_not_accepted_is_parked_with_the_reason() {
    let world =
        World::with(builder().plain::<Upload>().accept_source("depot").accept_source("plain"), Limits::default());
    let from = |source: &str| {
        let event = event(UPLOAD);
        Delivery { body: event.body.replace("depot", source), ..event }
    };
    assert_eq!(world.outcome(&from("depot")), Outcome::Processed);
    assert_eq!(world.outcome(&plain("1", "a", "two")), Outcome::Processed, "a plain message without a source");
    let reason = "comes from source `attic`; the endpoint accepts {\"depot\", \"plain\"}";
    world.assert_parked_unchanged(&from("attic"), reason);
    world.assert_parked_unchanged(&with(plain("2", "a", "three"), &[(intake::SOURCE, "attic")]), reason);
    let envelope = event(&format!(r#""partitionkey":"a",{UPLOAD}"#));
    let envelope = Delivery { body: envelope.body.replace("depot", "attic"), ..envelope };
    world.assert_parked_unchanged(&envelope, reason);
    let posing = Delivery { body: envelope.body.replacen('{', "{\"cloakroomformat\":1,", 1), ..envelope };
    assert_eq!(world.outcome(&posing), Outcome::Parked, "a format version is no proof of an endpoint");
    assert_eq!(world.files("a"), ["one", "two"]);
}

#[test]
fn message_with_a_claim_is_accepted_from_any_source() {
    let world = World::with(builder().accept_source("depot"), Limits::default());
    let claim = Claim::from_random(1, "memory");
    let payload = Bytes::from_static(br#"{"folder":"a","file":"one"}"#);
    world.memory.run(world.memory.payloads.check_in(&claim, payload)).expect("memory does not fail");
    let mut envelope = Envelope::new("m-1".into(), "another endpoint", "upload", "a".into());
    envelope.dataref = Some(claim);
    let delivery = Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() };
    assert_eq!(world.outcome(&delivery), Outcome::Processed);
}

#[test]
fn plain_message_is_deduplicated_by_its_message_id() {
    let world = World::new();
    for (id, outcome) in [("1", Outcome::Processed), ("2", Outcome::Processed), ("1", Outcome::Duplicate)] {
        assert_eq!(world.outcome(&plain(id, "a", id)), outcome);
    }
    assert_eq!(world.files("a"), ["1", "2"]);
    let without_id = plain("", "a", "three");
    world.assert_parked_unchanged(&without_id, "nor has it an identity");
}

#[test]
fn plain_message_can_state_its_identity() {
    let world = World::new();
    let one = |id: &str, attributes: &[(&str, &str)]| with(plain(id, "a", "one"), attributes);
    for (delivery, outcome) in [
        (one("1", &[(intake::ID, "x")]), Outcome::Processed),
        (one("2", &[(intake::ID, "x")]), Outcome::Duplicate),
        (one("3", &[(intake::ID, "x"), (intake::SOURCE, "depot")]), Outcome::Processed),
        (one("4", &[(intake::ID, "x"), (intake::SOURCE, "depot")]), Outcome::Duplicate),
        (one("5", &[(intake::ID, "")]), Outcome::Processed),
    ] {
        assert_eq!(world.outcome(&delivery), outcome, "{delivery:?}");
    }
}

#[test]
fn plain_message_can_state_its_type() {
    let wipe = || with(plain("2", "a", "-"), &[(intake::TYPE, "wipe")]);
    let world = World::new();
    world.outcome(&plain("1", "a", "one"));
    assert_eq!(world.outcome(&wipe()), Outcome::Processed);
    assert_eq!(world.files("a"), Vec::<String>::new());
    // Also if the endpoint has no default type for plain messages.
    let world = World::with(builder(), Limits::default());
    assert_eq!(world.outcome(&wipe()), Outcome::Processed);
    world.assert_parked_unchanged(&with(wipe(), &[(intake::TYPE, "burn")]), "no handler for `burn`");
}

#[test]
fn unexpected_plain_message_is_parked_with_advice() {
    let world = World::with(builder(), Limits::default());
    world.assert_parked_unchanged(&plain("1", "a", "one"), "(`plain`), or in their attribute `cloakroom-type`");
    for (body, reason) in [("no JSON", "not an envelope"), ("[1]", "(`plain`)"), ("{}", "missing field `specversion`")]
    {
        world.assert_parked_unchanged(&Delivery { body: body.to_owned(), ..plain("1", "a", "one") }, reason);
    }
    let world = World::new();
    world.assert_parked_unchanged(&Delivery { body: "[1]".to_owned(), ..plain("1", "", "") }, "is no `upload`");
}

#[test]
fn plain_messages_need_a_handler() {
    let error = Endpoint::builder::<Folder>("files").on(wipe).plain::<Upload>().build(Memory::new().ports());
    let error = error.expect_err("no handler");
    assert_eq!(error.kind(), ErrorKind::FixConfiguration);
    assert!(error.to_string().contains("plain messages for `upload`"), "{error}");
}

#[test]
fn a_plain_message_keeps_its_identity_when_parked() {
    let world = World::new();
    let message = QueueMessage { body: plain("", "a", "virus").body, ..QueueMessage::default() };
    let delivery = world.send_and_receive("files", message);
    assert_eq!(world.outcome(&delivery), Outcome::Parked);
    let parked = world.dead().pop().expect("a parked message");
    assert!(Envelope::decode(&parked.body).is_ok(), "it is parked as an envelope");
    // (1) A newer version of the service processes the message. (2) An operator redrives the parked
    // copy.
    async fn anything(folder: &mut Folder, upload: Upload, _: &mut Tx) -> Handled {
        folder.files.push(upload.file);
        Ok(())
    }
    let newer = Endpoint::builder::<Folder>("files").on(anything).plain::<Upload>();
    let world = World { endpoint: newer.build(world.memory.ports()).expect("an endpoint"), ..world };
    assert_eq!(world.outcome(&delivery), Outcome::Processed);
    let again = world.send_and_receive("files", parked);
    assert_ne!(again.id, delivery.id, "the queue gives the redriven copy another id");
    assert_eq!(world.outcome(&again), Outcome::Duplicate);
    assert_eq!(world.files("a"), ["virus"]);
}

#[test]
fn plain_message_that_is_given_up_is_parked_as_an_envelope() {
    let world = World::new();
    let delivery = plain("m-1", "a", "later");
    for _ in 1..8 {
        world.memory.run(world.endpoint.process(&delivery)).expect_err("the handler fails");
    }
    assert_eq!(world.outcome(&delivery), Outcome::Parked);
    let parked = Envelope::decode(&world.dead()[0].body).expect("an envelope");
    assert_eq!((parked.id.as_str(), &*parked.source, parked.partition.as_str()), ("m-1", "plain", "a"));
}

#[test]
fn plain_message_parked_by_an_older_version_keeps_its_identity() {
    let world = World::new();
    let delivery = plain("m-1", "a", "one");
    assert_eq!(world.outcome(&delivery), Outcome::Processed);
    let older = builder().build(world.memory.ports()).expect("an endpoint");
    assert_eq!(world.memory.run(older.process(&delivery)).ok(), Some(Outcome::Parked));
    let parked = world.dead().pop().expect("a parked message");
    assert_eq!(parked.body, delivery.body);
    assert_eq!(world.outcome(&world.send_and_receive("files", parked)), Outcome::Duplicate);
}

#[test]
fn redriven_dead_letter_is_the_same_message() {
    for delivery in [plain("m-1", "a", "one"), with(plain("m-1", "a", "one"), &[(intake::ID, "x")]), event(UPLOAD)] {
        let world = World::new();
        // SQS moved the message to the dead-letter queue and changed nothing in it.
        let finished = world.memory.run(world.endpoint.finish(&delivery));
        assert_eq!(finished.expect("nothing fails"), Recovered::NotCommitted);
        assert_eq!(world.outcome(&delivery), Outcome::Processed);
        let again = world.send_and_receive("files", parking::put_back(&delivery));
        assert_eq!(world.outcome(&again), Outcome::Duplicate, "{again:?}");
        assert_eq!(world.files("a"), ["one"]);
    }
}

#[test]
fn redriven_message_loses_its_parking_attributes() {
    let world = World::new();
    let attributes = [("color", "red"), (parking::REASON, "why"), (parking::ENDPOINT, "files")];
    let put_back = parking::put_back(&with(event(UPLOAD), &attributes));
    assert_eq!(put_back.attributes, BTreeMap::from([("color".to_owned(), "red".to_owned())]));
    assert_eq!(world.outcome(&world.send_and_receive("files", put_back)), Outcome::Processed);
}

#[test]
fn plain_message_whose_envelope_is_too_large_to_park_is_not_handled() {
    let limits = Limits { message_bytes_max: 400, ..Limits::default() };
    let world = World::with(builder().plain::<Upload>(), limits);
    assert_eq!(world.outcome(&plain("1", "a", &"x".repeat(200))), Outcome::Processed);
    let delivery = plain("2", "a", &"y".repeat(350));
    assert_eq!(world.outcome(&delivery), Outcome::Parked);
    assert_eq!(world.dead()[0].body, delivery.body, "the body is unchanged");
    assert_eq!(world.files("a").len(), 1);
}

#[test]
fn worker_processes_plain_messages() {
    let world = World::new();
    let queue = world.memory.queues.get("files");
    let send = |file: &str| QueueMessage { body: plain("", "a", file).body, ..QueueMessage::default() };
    world.memory.run(async {
        queue.send(["one", "virus", "two"].map(send).into()).await;
        let shutdown = cloakroom::ports::Clock::sleep(&*world.memory.clock, Duration::from_secs(60));
        Worker::new(world.endpoint.clone(), "files").run(shutdown).await.expect("the worker starts");
    });
    assert_eq!(world.files("a").len(), 2);
    assert_eq!(
        (queue.len(), world.dead().len()),
        (0, 1),
        "the rejected message is parked, and the other two are processed"
    );
}
