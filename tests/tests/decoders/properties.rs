//! Properties of the decoders, for any input. The tests in this folder and the fuzz targets in
//! `tests/fuzz` check them.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cloakroom::{
    Delivery, Endpoint, EndpointSettings, Error, Handled, Message, Outcome, Partition, Timestamp, Tx, Worker,
    WorkerSettings,
    engine::Recovered,
    format::{
        Claim, Envelope, Item, Record,
        schema::{Key, attribute},
    },
    memory::Memory,
    observe::Counters,
    ports::{
        Backoff, Clock as _, Commit, Embedded, ItemAction, Limits, Placement, Queue as _, QueueMessage, StateRead,
        StateWrite, placement,
    },
    protocol::Claims,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// A decoded envelope is the same after it was encoded and decoded again. Returns whether the text
/// was decoded.
pub(crate) fn envelope(text: &str) -> bool {
    let Ok(envelope) = Envelope::decode(text) else { return false };
    let encoded = envelope.encode();
    assert_eq!(Envelope::decode(&encoded), Ok(envelope.clone()), "{encoded}");
    assert!(!encoded.contains(['\u{fffe}', '\u{ffff}']), "SQS refuses {encoded}");
    assert!(!envelope.identity().as_str().is_empty());
    true
}

/// A decoded record is the same after it was encoded and decoded again, and accepts a claim for
/// each body. Returns whether the text was decoded.
pub(crate) fn record(text: &str) -> bool {
    let Ok(record) = Record::decode(text) else { return false };
    assert_eq!(Record::decode(&record.encode()), Ok(record.clone()));
    let item = placement::record_item(&record);
    assert_eq!(placement::read_record_item("reading", &item).ok(), Some(record.clone()));

    let (bodies, messages) = (record.unclaimed().count(), record.messages.len());
    assert_eq!(record.claims() == Claims::Stored, bodies == 0);
    let claimed = record.with_claims((0..bodies).map(|n| Claim::from_random(n as u128, "memory")));
    assert_eq!((claimed.claims(), claimed.messages.len()), (Claims::Stored, messages));
    true
}

/// A commit that does not change a state keeps it the same, with the next version. The state
/// contains no attributes of Cloakroom.
pub(crate) fn state_item(item: Item) {
    let Ok(StateRead { version, state, embedded }) = placement::read_state_item("reading", Some(item)) else { return };
    if let Some(state) = &state {
        assert!(attribute::RESERVED.iter().all(|name| !state.contains_key(*name)), "{state:?}");
    }
    // A commit on the last version but one writes the largest version, which cannot be read because
    // it has no successor.
    if version.number() >= u64::MAX / 2 - 1 {
        return;
    }
    let tombstone = StateWrite::Tombstone { expires: Timestamp::from_millis(1) };
    let write = state.clone().map_or(tombstone, StateWrite::Put);
    let (partition, message, record) = ("p".into(), "m".into(), Record::default());
    for embedded_bytes_max in [0, usize::MAX] {
        let commit = Commit {
            partition: &partition,
            endpoint: "ledger",
            expected: version,
            state: &write,
            records: &[(&message, &record)],
            kept: &embedded,
            embedded_bytes_max,
            items: &[],
            token: "t",
        };
        let (placement, mut writes) = placement::writes(&commit);
        let ItemAction::Put(written) = writes.swap_remove(0).action else { panic!("a state is put") };
        let again = placement::read_state_item("reading", Some(written)).expect("the written item can be read");
        assert_eq!((again.version, &again.state), (version.next(), &state));
        // The commit keeps every embedded record, and the new record is at the place that `writes`
        // returned.
        let mut records = embedded.records.clone();
        if placement == Placement::Embedded {
            records.insert(message.clone(), record.encode());
        }
        let is_complete = embedded.is_complete && placement == Placement::Embedded;
        assert_eq!(again.embedded, Embedded { records, is_complete, ..Embedded::default() });
    }
}

/// Decoded settings are the same after they were encoded and decoded again. With settings that are
/// accepted, a message is processed.
pub(crate) fn settings(text: &str) {
    if let Some(settings) = read_twice::<EndpointSettings>(text) {
        let memory = Memory::with_queues(["ledger", "copies", "answers"]);
        if let Ok(endpoint) = ledger().settings(settings).build(memory.ports()) {
            let outcome = memory.run(endpoint.process(&note()));
            assert_eq!(outcome.ok(), Some(Outcome::Processed), "{text}");
        }
    }
    if let Some(settings) = read_twice::<WorkerSettings>(text) {
        let World { memory, endpoint, .. } = World::new();
        let worker = Worker::new(endpoint, "ledger").settings(settings);
        // The worker either runs until its shutdown, which is immediate, or returns an error that
        // names the setting.
        if let Err(error) = memory.run(worker.run(std::future::ready(()))) {
            assert!(error.to_string().starts_with("setting `"), "{error}");
        }
    }
    if let Some(limits) = read_twice::<Limits>(text) {
        // With any valid limits, a note is processed or parked.
        let memory = Memory::with_queues(["ledger", "copies", "answers"]);
        let ports = cloakroom::Ports { limits, ..memory.ports() };
        if let Ok(endpoint) = ledger().build(ports) {
            let outcome = memory.run(endpoint.process(&note())).ok();
            assert!(matches!(outcome, Some(Outcome::Processed | Outcome::Parked)), "{text}: {outcome:?}");
        }
    }
    if let Some(backoff) = read_twice::<Backoff>(text) {
        for attempt in [0, 1, 63, 64, 65, u32::MAX] {
            let pause = backoff.pause(attempt, u128::MAX);
            assert!(pause <= Duration::from_millis(backoff.max_ms), "{backoff:?}: {pause:?} after {attempt}");
        }
    }
}

/// Decodes settings. Asserts that they are the same after they were encoded and decoded again.
pub(crate) fn read_twice<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(text: &str) -> Option<T> {
    let settings: T = serde_json::from_str(text).ok()?;
    let written = serde_json::to_string(&settings).expect("plain data");
    assert_eq!(serde_json::from_str::<T>(&written).ok(), Some(settings), "{written}");
    serde_json::from_str(text).ok()
}

/// A delivery is processed, parked unchanged, or given back with an error. It is never dropped
/// silently. Returns its outcome, or `None` if it was given back.
pub(crate) fn delivery(delivery: &Delivery) -> Option<Outcome> {
    let world = World::new();
    let result = world.process(delivery);
    world.assert_allowed(delivery, &result);
    if let Ok(Outcome::Processed) = result {
        assert_eq!(world.process(delivery).ok(), Some(Outcome::Duplicate), "{delivery:?}");
        assert_eq!(world.state(delivery).version.number(), 1, "{delivery:?}");
    }
    let finished = world.memory.run(world.endpoint.finish(delivery));
    assert!(
        !matches!(finished, Ok(Recovered::Finished(Outcome::Processed))),
        "finishing committed a message: {delivery:?}"
    );
    result.ok()
}

/// The same with a worker. A message that is deleted from its queue was processed or parked, or its
/// missing payload was reported.
pub(crate) fn received(body: &str) {
    let world = World::new();
    let queue = world.memory.queues.get("ledger");
    let worker = Worker::new(world.endpoint.clone(), "ledger");
    world.memory.run(async {
        queue.send(vec![QueueMessage { body: body.to_owned(), ..QueueMessage::default() }]).await;
        worker.run(world.memory.clock.sleep(Duration::from_secs(1))).await.expect("the worker runs until its shutdown");
    });
    let counts = world.counters.counts();
    let reported = counts.processed + counts.parked + counts.payload_missing;
    let redispatched = Envelope::decode(body).is_ok_and(|envelope| envelope.redispatch);
    assert!(!queue.is_empty() || reported > 0 || redispatched, "dropped silently: {body}");
    assert_eq!(world.parked().len() as u64, counts.parked, "{body}");
}

/// With any stored items, a valid message is finished, parked, or given back without a change of
/// the items. Returns its outcome, or `None` if it was given back.
pub(crate) fn stored(state: Option<Item>, record: Option<Item>) -> Option<Outcome> {
    // The message sends nothing. A panic while a handler sends would be caught and reported as an
    // error.
    let mut envelope = note_envelope();
    envelope.data = Some(serde_json::json!({ "text": "still", "copy": false, "answer": false }));
    let (world, delivery) = (World::new(), delivery_of(&envelope));
    let (partition, identity) = (&envelope.partition, envelope.identity());
    let state_key = Key::State { endpoint: "ledger" }.text();
    let record_key = Key::Record { endpoint: "ledger", message: &identity }.text();
    for (key, item) in [(&state_key, &state), (&record_key, &record)] {
        if let Some(item) = item {
            world.memory.store.put_item(partition, key, item.clone());
        }
    }
    if let Some(Ok(record)) = record.as_ref().map(|item| placement::read_record_item("reading", item)) {
        by_queue(&record).into_keys().for_each(|queue| world.memory.queues.create(queue));
    }
    let before = world.memory.store.partition(partition);
    let result = world.process(&delivery);
    match &result {
        Ok(Outcome::Resumed) => {
            let record = placement::read_record_item("reading", &record.expect("a record was found"))
                .expect("the record was decoded");
            for (queue, messages) in by_queue(&record) {
                assert!(
                    world.memory.queues.get(queue).len() >= messages,
                    "messages of the record were not sent to `{queue}`: {record:?}"
                );
            }
            assert!(!world.memory.store.partition(partition).contains_key(&record_key), "the record was not cleared");
        }
        Ok(Outcome::Processed) => {
            let before = placement::read_state_item("reading", state).expect("it was read").version;
            assert!(record.is_none(), "the message was processed although it has a record");
            // As in `state_item`, a state that was written on the last version but one cannot be
            // read.
            if before.number() < u64::MAX - 1 {
                assert_eq!(world.state(&delivery).version, before.next());
            }
        }
        Ok(Outcome::Parked) => assert_eq!(world.parked(), [delivery.body]),
        Ok(outcome @ (Outcome::Duplicate | Outcome::Deferred)) => {
            panic!("acknowledged as {outcome:?}, but never processed: {before:?}")
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            let mut after = world.memory.store.partition(partition);
            // Failures are counted in items that are not part of the protocol.
            after.retain(|sort_key, _| !sort_key.starts_with("failed#"));
            assert_eq!(after, before, "{error}");
        }
    }
    result.ok()
}

fn by_queue(record: &Record) -> BTreeMap<&str, usize> {
    let mut queues = BTreeMap::new();
    for message in &record.messages {
        *queues.entry(&*message.queue).or_default() += 1;
    }
    queues
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Ledger {
    notes: u64,
    last: String,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    pub(crate) text: String,
    pub(crate) copy: bool,
    pub(crate) answer: bool,
}

impl Message for Note {
    const TYPE: &'static str = "ledger.note";

    fn partition(&self) -> Partition {
        Partition::new("ledger#1")
    }
}

async fn take(ledger: &mut Ledger, note: Note, tx: &mut Tx) -> Handled {
    *ledger = Ledger { notes: ledger.notes.wrapping_add(1), last: note.text.clone() };
    if note.answer {
        tx.reply(Note { answer: false, ..note.clone() });
    }
    if note.copy {
        tx.send(Note { copy: false, ..note });
    }
    Ok(())
}

fn ledger() -> cloakroom::endpoint::EndpointBuilder<Ledger> {
    Endpoint::builder("ledger").on(take).route::<Note>("copies").allow_replies_to("answers")
}

/// A valid envelope.
pub(crate) fn note_envelope() -> Envelope {
    let mut envelope = Envelope::new("m-1".into(), "test", Note::TYPE, "ledger#1".into());
    envelope.replyto = Some("answers".to_owned());
    envelope.data = Some(serde_json::json!({ "text": "grün", "copy": true, "answer": true }));
    envelope
}

fn note() -> Delivery {
    delivery_of(&note_envelope())
}

fn delivery_of(envelope: &Envelope) -> Delivery {
    Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() }
}

/// Whether two events have the same id, source and type.
fn events_agree(one: &str, other: &str) -> bool {
    let [one, other] = [one, other].map(|text| serde_json::from_str::<serde_json::Value>(text).unwrap_or_default());
    ["id", "source", "type"].into_iter().all(|name| one[name].is_string() && one[name] == other[name])
}

struct World {
    memory: Memory,
    counters: Arc<Counters>,
    endpoint: Endpoint,
}

impl World {
    fn new() -> Self {
        let (memory, counters) = (Memory::with_queues(["ledger", "copies", "answers"]), Arc::new(Counters::default()));
        let endpoint = ledger().observer(counters.clone()).build(memory.ports()).expect("a valid endpoint");
        Self { memory, counters, endpoint }
    }

    fn process(&self, delivery: &Delivery) -> Result<Outcome, Error> {
        self.memory.run(self.endpoint.process(delivery))
    }

    /// The bodies in the dead-letter queue.
    fn parked(&self) -> Vec<String> {
        self.memory.queues.get("ledger-dead").messages().into_iter().map(|message| message.body).collect()
    }

    fn state(&self, delivery: &Delivery) -> StateRead {
        // An event without a partition has the partition of its message.
        let explicit = Envelope::decode(&delivery.body).map(|envelope| envelope.partition);
        let partition = explicit.unwrap_or_else(|_| note_envelope().partition);
        let item = self.memory.store.partition(&partition).remove("state#ledger");
        placement::read_state_item("reading", item).expect("it was written")
    }

    /// Asserts that a first delivery to an empty world may have this result.
    fn assert_allowed(&self, delivery: &Delivery, result: &Result<Outcome, Error>) {
        match result {
            Ok(Outcome::Parked) => {
                let parked = self.parked();
                // An event without a partition may be parked as an envelope with one.
                let adopted = Envelope::decode(&delivery.body).is_err()
                    && parked.iter().all(|body| events_agree(body, &delivery.body));
                assert!(parked.len() == 1 && (adopted || parked[0] == delivery.body), "{delivery:?} as {parked:?}");
            }
            Ok(Outcome::Processed) => assert_eq!(self.state(delivery).version.number(), 1, "{delivery:?}"),
            Ok(Outcome::Duplicate) => {
                // A claim without a payload is taken for a duplicate. At a first receive the
                // missing payload is counted.
                let envelope = Envelope::decode(&delivery.body).expect("it was read");
                let is_first = delivery.receive_count == 1 && !envelope.redispatch;
                let is_counted = self.counters.counts().payload_missing == u64::from(is_first);
                assert!(envelope.dataref.is_some() && is_counted, "dropped silently: {delivery:?}");
            }
            Ok(outcome @ (Outcome::Resumed | Outcome::Deferred)) => {
                panic!("{outcome:?} without stored items: {delivery:?}")
            }
            Err(error) => assert!(!error.to_string().is_empty() && self.parked().is_empty(), "{delivery:?}"),
        }
    }
}
