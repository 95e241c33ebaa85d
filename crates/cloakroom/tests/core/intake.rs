//! Messages of foreign producers: turned into envelopes, recognised, and parked so that they stay who they are.

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

    /// Demands that this is parked as it came, for a reason that says this.
    #[track_caller]
    fn must_be_left_as_it_came(&self, delivery: &Delivery, reason: &str) {
        assert_eq!(self.outcome(delivery), Outcome::Parked);
        let parked = self.dead().pop().expect("a parked message");
        assert_eq!(parked.body, delivery.body);
        assert!(parked.attributes[parking::REASON].contains(reason), "{}", parked.attributes[parking::REASON]);
    }

    /// Sends a message to a queue, and receives it there.
    fn on_queue(&self, queue: &str, message: QueueMessage) -> Delivery {
        let queue = self.memory.queues.get(queue);
        self.memory.run(async {
            queue.send(vec![message]).await;
            let received = queue.receive(1, Duration::ZERO, Duration::from_secs(60)).await;
            received.expect("memory does not fail").pop().expect("a message")
        })
    }
}

/// A plain message.
fn plain(id: &str, folder: &str, file: &str) -> Delivery {
    let body = format!(r#"{{"folder":"{folder}","file":"{file}"}}"#);
    Delivery { id: id.to_owned(), body, receive_count: 1, ..Delivery::default() }
}

/// An event: its data in these words.
fn event(data: &str) -> Delivery {
    let body = format!(r#"{{"specversion":"1.0","id":"1","source":"depot","type":"upload",{data}}}"#);
    Delivery { body, receive_count: 1, ..Delivery::default() }
}

fn with(delivery: Delivery, attributes: &[(&str, &str)]) -> Delivery {
    let attributes = attributes.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    Delivery { attributes, ..delivery }
}

const UPLOAD: &str = r#""data":{"folder":"a","file":"one"}"#;
/// The same in Base64.
const UPLOAD_BASE64: &str = r#""data_base64":"eyJmb2xkZXIiOiJhIiwiZmlsZSI6Im9uZSJ9""#;

#[test]
fn an_event_without_a_partition_is_handled_where_its_message_says() {
    for data in [UPLOAD, UPLOAD_BASE64] {
        let world = World::new();
        assert_eq!(world.outcome(&event(data)), Outcome::Processed, "{data}");
        assert_eq!(world.outcome(&event(data)), Outcome::Duplicate, "{data}");
        assert_eq!(world.files("a"), ["one"]);
        let told = event(&format!(r#""partitionkey":"a",{data}"#));
        assert_eq!(world.outcome(&told), Outcome::Duplicate, "whether it is said or derived");
    }
}

#[test]
fn binary_data_of_an_event_is_read_if_it_is_json() {
    let typed = |media_type: &str| event(&format!(r#""datacontenttype":"{media_type}",{UPLOAD_BASE64}"#));
    for media_type in ["application/json", "text/json; charset=utf-8", "Application/Upload+JSON"] {
        assert_eq!(World::new().outcome(&typed(media_type)), Outcome::Processed, "{media_type}");
    }
    let world = World::new();
    world.must_be_left_as_it_came(&typed("application/xml"), "holds `application/xml`");
    world.must_be_left_as_it_came(&event(r#""data_base64":"%%""#), "is no Base64");
    world.must_be_left_as_it_came(&event(r#""data_base64":7"#), "is no Base64");
    world.must_be_left_as_it_came(&event(r#""partitionkey":"a","data_base64":"eyI=""#), "holds no JSON");
    assert_eq!(world.files("a"), Vec::<String>::new());
}

#[test]
fn an_event_that_lacks_more_than_its_partition_is_parked_as_it_came() {
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
        world.must_be_left_as_it_came(&event(data), reason);
    }
    let unknown = event(UPLOAD);
    let unknown = Delivery { body: unknown.body.replace("upload", "download"), ..unknown };
    world.must_be_left_as_it_came(&unknown, "no handler for `download`");
    let later = event(UPLOAD);
    let later = Delivery { body: later.body.replace("1.0", "2.0"), ..later };
    world.must_be_left_as_it_came(&later, "CloudEvents version `2.0` is not known");
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
    world.must_be_left_as_it_came(&from("attic"), reason);
    world.must_be_left_as_it_came(&with(plain("2", "a", "three"), &[(intake::SOURCE, "attic")]), reason);
    let envelope = event(&format!(r#""partitionkey":"a",{UPLOAD}"#));
    let envelope = Delivery { body: envelope.body.replace("depot", "attic"), ..envelope };
    world.must_be_left_as_it_came(&envelope, reason);
    let posing = Delivery { body: envelope.body.replacen('{', "{\"cloakroomformat\":1,", 1), ..envelope };
    assert_eq!(world.outcome(&posing), Outcome::Parked, "a format version is no proof of an endpoint");
    assert_eq!(world.files("a"), ["one", "two"]);
}

#[test]
fn message_with_a_claim_is_accepted_from_any_source() {
    let world = World::with(builder().accept_source("depot"), Limits::default());
    let claim = Claim::from_random(1, "memory");
    let payload = Bytes::from_static(br#"{"folder":"a","file":"one"}"#);
    world.memory.run(world.memory.payloads.check_in(&claim, payload)).expect("memory takes it");
    let mut envelope = Envelope::new("m-1".into(), "another endpoint", "upload", "a".into());
    envelope.dataref = Some(claim);
    let delivery = Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() };
    assert_eq!(world.outcome(&delivery), Outcome::Processed);
}

#[test]
fn a_plain_message_is_known_by_the_id_of_its_queue() {
    let world = World::new();
    for (id, outcome) in [("1", Outcome::Processed), ("2", Outcome::Processed), ("1", Outcome::Duplicate)] {
        assert_eq!(world.outcome(&plain(id, "a", id)), outcome);
    }
    assert_eq!(world.files("a"), ["1", "2"]);
    let nameless = plain("", "a", "three");
    world.must_be_left_as_it_came(&nameless, "nor has it an identity");
}

#[test]
fn a_plain_message_may_say_who_it_is() {
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
fn a_plain_message_may_say_its_type() {
    let wipe = || with(plain("2", "a", "-"), &[(intake::TYPE, "wipe")]);
    let world = World::new();
    world.outcome(&plain("1", "a", "one"));
    assert_eq!(world.outcome(&wipe()), Outcome::Processed);
    assert_eq!(world.files("a"), Vec::<String>::new());
    // Also where nothing is taken for granted.
    let world = World::with(builder(), Limits::default());
    assert_eq!(world.outcome(&wipe()), Outcome::Processed);
    world.must_be_left_as_it_came(&with(wipe(), &[(intake::TYPE, "burn")]), "no handler for `burn`");
}

#[test]
fn a_plain_message_that_nobody_expects_is_parked_with_advice() {
    let world = World::with(builder(), Limits::default());
    world.must_be_left_as_it_came(&plain("1", "a", "one"), "(`plain`), or in their attribute `cloakroom-type`");
    for (body, reason) in [("no JSON", "not an envelope"), ("[1]", "(`plain`)"), ("{}", "missing field `specversion`")]
    {
        world.must_be_left_as_it_came(&Delivery { body: body.to_owned(), ..plain("1", "a", "one") }, reason);
    }
    let world = World::new();
    world.must_be_left_as_it_came(&Delivery { body: "[1]".to_owned(), ..plain("1", "", "") }, "is no `upload`");
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
    let delivery = world.on_queue("files", message);
    assert_eq!(world.outcome(&delivery), Outcome::Parked);
    let parked = world.dead().pop().expect("a parked message");
    assert!(Envelope::decode(&parked.body).is_ok(), "as an envelope");
    // Another version of the service accepts it, and then somebody puts back what was parked.
    async fn anything(folder: &mut Folder, upload: Upload, _: &mut Tx) -> Handled {
        folder.files.push(upload.file);
        Ok(())
    }
    let newer = Endpoint::builder::<Folder>("files").on(anything).plain::<Upload>();
    let world = World { endpoint: newer.build(world.memory.ports()).expect("an endpoint"), ..world };
    assert_eq!(world.outcome(&delivery), Outcome::Processed);
    let again = world.on_queue("files", parked);
    assert_ne!(again.id, delivery.id, "to the queue it is another message");
    assert_eq!(world.outcome(&again), Outcome::Duplicate);
    assert_eq!(world.files("a"), ["virus"]);
}

#[test]
fn a_plain_message_that_is_given_up_is_parked_as_its_envelope() {
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
fn what_only_a_newer_version_takes_keeps_its_identity_when_an_older_one_parks_it() {
    let world = World::new();
    let delivery = plain("m-1", "a", "one");
    assert_eq!(world.outcome(&delivery), Outcome::Processed);
    let older = builder().build(world.memory.ports()).expect("an endpoint");
    assert_eq!(world.memory.run(older.process(&delivery)).ok(), Some(Outcome::Parked));
    let parked = world.dead().pop().expect("a parked message");
    assert_eq!(parked.body, delivery.body);
    assert_eq!(world.outcome(&world.on_queue("files", parked)), Outcome::Duplicate);
}

#[test]
fn a_dead_letter_that_is_put_back_is_the_same_message() {
    for delivery in [plain("m-1", "a", "one"), with(plain("m-1", "a", "one"), &[(intake::ID, "x")]), event(UPLOAD)] {
        let world = World::new();
        // As the queue itself has moved it: nothing is changed but the place.
        let finished = world.memory.run(world.endpoint.finish(&delivery));
        assert_eq!(finished.expect("nothing fails"), Recovered::NotCommitted);
        assert_eq!(world.outcome(&delivery), Outcome::Processed);
        let again = world.on_queue("files", parking::put_back(&delivery));
        assert_eq!(world.outcome(&again), Outcome::Duplicate, "{again:?}");
        assert_eq!(world.files("a"), ["one"]);
    }
}

#[test]
fn what_is_put_back_is_told_no_reason_any_more() {
    let world = World::new();
    let attributes = [("color", "red"), (parking::REASON, "why"), (parking::ENDPOINT, "files")];
    let put_back = parking::put_back(&with(event(UPLOAD), &attributes));
    assert_eq!(put_back.attributes, BTreeMap::from([("color".to_owned(), "red".to_owned())]));
    assert_eq!(world.outcome(&world.on_queue("files", put_back)), Outcome::Processed);
}

#[test]
fn a_plain_message_whose_envelope_cannot_be_parked_is_not_begun() {
    let limits = Limits { message_bytes_max: 400, ..Limits::default() };
    let world = World::with(builder().plain::<Upload>(), limits);
    assert_eq!(world.outcome(&plain("1", "a", &"x".repeat(200))), Outcome::Processed);
    let delivery = plain("2", "a", &"y".repeat(350));
    assert_eq!(world.outcome(&delivery), Outcome::Parked);
    assert_eq!(world.dead()[0].body, delivery.body, "as it came");
    assert_eq!(world.files("a").len(), 1);
}

#[test]
fn a_worker_takes_plain_messages() {
    let world = World::new();
    let queue = world.memory.queues.get("files");
    let send = |file: &str| QueueMessage { body: plain("", "a", file).body, ..QueueMessage::default() };
    world.memory.run(async {
        queue.send(["one", "virus", "two"].map(send).into()).await;
        let shutdown = cloakroom::ports::Clock::sleep(&*world.memory.clock, Duration::from_secs(60));
        Worker::new(world.endpoint.clone(), "files").run(shutdown).await.expect("it works");
    });
    assert_eq!(world.files("a").len(), 2);
    assert_eq!((queue.len(), world.dead().len()), (0, 1), "one is poison, and does no harm to the others");
}
