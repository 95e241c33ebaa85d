//! The calls of an observer other than events: durations, retries, sends and consumption.

use crate::fixture;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cloakroom::{
    Endpoint, ErrorKind, Outcome,
    error::Retry,
    memory::Memory,
    observe::{Consumed, Consumption, Counters, Event, Observer, Service, Timed, Used},
    ports::Clock as _,
};
use cloakroom_sim::wire::Operation;
use fixture::{Act, World, stage::Fault};

/// An observer that records every call as text, except for events.
#[derive(Debug, Default)]
struct Notes(Mutex<Vec<String>>);

impl Notes {
    fn note(&self, text: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    }

    fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Observer for Notes {
    fn observe(&self, _: Event) {}

    fn took(&self, part: Timed, duration: Duration, error: Option<ErrorKind>) {
        let error = error.map_or_else(String::new, |kind| format!(" {}", kind.name()));
        self.note(format!("{part:?} took {duration:?}{error}"));
    }

    fn retried(&self, reason: Retry) {
        self.note(format!("retry: {}", reason.name()));
    }

    fn sent(&self, queue: &str, messages: usize) {
        self.note(format!("{messages} to {queue}"));
    }
}

fn noted(world: &World) -> (Arc<Notes>, Endpoint) {
    let notes = Arc::new(Notes::default());
    let ports = fixture::stage::staged(&world.stage, &world.memory);
    (notes.clone(), fixture::builder().observer(notes).build(ports).expect("a valid endpoint"))
}

#[test]
fn parts_of_the_work_are_measured() {
    let world = World::new();
    let (notes, endpoint) = noted(&world);
    let delivery = world.claimed("m", &[Act::Note(1), Act::Note(2), Act::Alert]);
    assert_eq!(world.memory.run(endpoint.process(&delivery)).ok(), Some(Outcome::Processed));
    // Only the wait for a fuller batch takes virtual time.
    let expected = [
        "Handle took 0ns",
        "Commit took 0ns",
        "1 to mails",
        "2 to notes",
        "1 to pagers",
        "Dispatch took 10ms",
        "Process took 10ms",
    ];
    let mut noted = notes.take();
    noted[2..5].sort_by_key(|line| line.split(' ').next_back().map(str::to_owned));
    assert_eq!(noted, expected);
}

#[test]
fn failed_part_is_reported_with_its_kind_of_error() {
    let world = World::new();
    let (notes, endpoint) = noted(&world);
    assert!(world.memory.run(endpoint.process(&world.claimed("m", &[Act::Retry]))).is_err());
    assert_eq!(notes.take(), ["Handle took 0ns retry_message", "Process took 0ns retry_message"]);
}

#[test]
fn every_retry_is_reported_with_its_reason() {
    let world = World::new();
    let (notes, endpoint) = noted(&world);
    let faults = [
        (Operation::ReadState, Fault::Refused),
        (Operation::Commit, Fault::Vanished),
        (Operation::Send, Fault::Unanswered),
    ];
    let mut left = faults.to_vec();
    world.stage.plan(move |_, operation| {
        let index = left.iter().position(|(of, _)| *of == operation)?;
        Some(left.remove(index).1)
    });
    assert!(world.memory.run(endpoint.process(&world.claimed("m", &[Act::Note(1)]))).is_ok());
    let retried: Vec<String> = notes.take().into_iter().filter(|line| !line.contains("took")).collect();
    let expected = ["retry: failure", "retry: unknown_outcome", "0 to notes", "retry: unknown_outcome", "1 to notes"];
    assert_eq!(retried, expected);
}

#[test]
fn a_clock_measures_in_its_own_time() {
    let memory = Memory::new();
    let began = memory.clock.monotonic();
    memory.run(memory.clock.sleep(Duration::from_millis(7)));
    assert_eq!(memory.clock.monotonic() - began, Duration::from_millis(7));
}

#[test]
fn pair_of_observers_forwards_every_call_to_both() {
    let pair = Arc::new((Arc::new(Counters::default()), Notes::default()));
    let observer: Arc<dyn Observer> = pair.clone();
    observer.observe(Event::Parked);
    observer.took(Timed::Commit, Duration::ZERO, None);
    observer.retried(Retry::Throttled);
    observer.sent("notes", 1);
    let used = Used { requests: 2, write_units: 4.5, ..Used::default() };
    observer.consumed(Consumed { service: Service::DynamoDb, operation: "PutItem", used });
    assert_eq!(pair.0.counts().parked, 1);
    assert_eq!(pair.0.consumption().of(Service::DynamoDb, "PutItem"), used);
    assert_eq!(pair.1.take(), ["Commit took 0ns", "retry: throttled", "1 to notes"]);
}

#[test]
fn consumption_is_summed_up_and_survives_json() {
    let mut consumption = Consumption::default();
    let used = |requests, read_units| Used { requests, read_units, ..Used::default() };
    for (operation, used) in [("GetItem", used(1, 0.5)), ("GetItem", used(1, 1.0)), ("Query", used(3, 2.0))] {
        consumption.add(Consumed { service: Service::DynamoDb, operation, used });
    }
    consumption.add(Consumed { service: Service::S3, operation: "GetObject", used: used(1, 0.0) });
    assert_eq!(consumption.of(Service::DynamoDb, "GetItem"), used(2, 1.5));
    assert_eq!(consumption.total(Service::DynamoDb), used(5, 3.5));
    assert_eq!(consumption.total(Service::Sqs), Used::default());
    let json = serde_json::to_string(&consumption).expect("plain data");
    assert_eq!(serde_json::from_str::<Consumption>(&json).expect("its own output"), consumption);
}

#[test]
fn consumption_of_an_earlier_version_can_be_decoded() {
    let written = r#"{"sqs":{"ReceiveMessage":{"requests":3,"read_units":0.0,"write_units":0.0,"bytes":9}}}"#;
    let consumption: Consumption = serde_json::from_str(written).expect("the format of an earlier version");
    assert_eq!(consumption.of(Service::Sqs, "ReceiveMessage"), Used { requests: 3, bytes: 9, ..Used::default() });
    assert_eq!((consumption.fill("ReceiveMessage"), consumption.fill("GetObject")), (Some(0.0), None));
}

#[test]
fn services_are_serialised_by_their_names() {
    for service in [Service::DynamoDb, Service::S3, Service::S3Express, Service::Sqs, Service::SqsFifo] {
        assert_eq!(serde_json::json!(service), service.name());
    }
}
