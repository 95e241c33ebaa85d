//! What a worker checks before its first receive, which failures it waits for, and what it logs.

use crate::capture;
use crate::fixture;

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use capture::Capture;
use cloakroom::{
    Dedupe, EndpointSettings, Error, ErrorKind, PortError, Worker,
    memory::Memory,
    ports::{Clock as _, Queue as _, QueueMessage},
};
use cloakroom_sim::wire::{Call, Operation, Wire, through_wire};
use fixture::{Act, World, builder};
use tracing_subscriber::filter::LevelFilter;

/// A wire on which calls of one kind fail.
#[derive(Debug)]
struct Broken {
    operation: Operation,
    /// Part of the subject of the calls that fail.
    subject: &'static str,
    /// How many more calls fail.
    left: AtomicUsize,
    is_permanent: bool,
}

impl Wire for Broken {
    async fn carry<T: std::fmt::Debug + Send + 'static>(
        self: Arc<Self>,
        call: Call,
        effect: impl Future<Output = Result<T, PortError>> + Send + 'static,
    ) -> Result<T, PortError> {
        let matches = call.operation == self.operation && call.subject.contains(self.subject);
        if !matches || self.left.load(Ordering::Relaxed) == 0 {
            return effect.await;
        }
        self.left.fetch_sub(1, Ordering::Relaxed);
        let error = PortError::new(call.to_string(), "as planned").without_effect().public();
        Err(if self.is_permanent { error.permanent() } else { error })
    }
}

const FOREVER: usize = usize::MAX;

/// Runs a worker on one message for an hour, over a wire on which calls fail. Returns how the
/// worker ended, how long it ran, and how many messages are left.
fn work(
    (operation, subject): (Operation, &'static str),
    left: usize,
    is_permanent: bool,
    settings: EndpointSettings,
) -> (Result<(), Error>, Duration, usize) {
    let world = World::new();
    let memory: &Memory = &world.memory;
    let wire = Arc::new(Broken { operation, subject, left: AtomicUsize::new(left), is_permanent });
    let endpoint = builder().settings(settings).build(through_wire(&wire, &memory.ports())).expect("a valid endpoint");
    let body = world.claimed("m-1", &[Act::Add(1)]).body;
    let queue = memory.queues.get("accounts");
    let began = memory.clock.now();
    let result = memory.run(async {
        queue.send(vec![QueueMessage { body, ..QueueMessage::default() }]).await;
        Worker::new(endpoint, "accounts").run(memory.clock.sleep(Duration::from_secs(3_600))).await
    });
    (result, memory.clock.now().since(began), queue.len())
}

/// Every call that a worker makes before its first receive.
const CHECKED: [(Operation, &str); 5] = [
    (Operation::OpenQueue, "accounts"),
    (Operation::OpenQueue, "accounts-dead"),
    (Operation::OpenQueue, "pagers"),
    (Operation::ReadState, "cloakroom-check"),
    (Operation::HasEntry, "cloakroom-check"),
];

#[test]
fn worker_with_a_wrong_configuration_ends_at_its_start_with_an_error_that_names_it() {
    for checked in CHECKED {
        let (result, worked, left) = work(checked, FOREVER, true, EndpointSettings::default());
        let error = result.expect_err("the worker cannot start");
        assert_eq!((error.kind(), worked, left), (ErrorKind::FixConfiguration, Duration::ZERO, 1), "{checked:?}");
        for text in [error.to_string(), error.loggable().to_owned()] {
            assert!(text.contains(checked.1) && text.contains("as planned"), "{text}");
        }
    }
}

#[test]
fn worker_waits_for_temporary_failures_before_its_first_receive() {
    for checked in CHECKED {
        let (result, _, left) = work(checked, 30, false, EndpointSettings::default());
        assert_eq!((result.is_ok(), left), (true, 0), "{checked:?}");
    }
}

#[test]
fn worker_that_waits_for_its_services_ends_at_shutdown() {
    let (result, worked, left) = work(CHECKED[0], FOREVER, false, EndpointSettings::default());
    assert_eq!((result.is_ok(), worked, left), (true, Duration::from_secs(3_600), 1));
}

#[test]
fn worker_with_retained_records_starts_without_a_payload_store() {
    let dedupe = Dedupe::Retained { ttl_ms: 45 * 24 * 3_600 * 1_000 };
    let settings = EndpointSettings { dedupe, ..EndpointSettings::default() };
    let (result, _, left) = work((Operation::HasEntry, ""), FOREVER, true, settings);
    assert_eq!((result.is_ok(), left), (true, 0));
}

#[test]
fn worker_logs_its_endpoint_and_settings_at_level_info() {
    let world = World::new();
    let captured = Capture::up_to(LevelFilter::INFO, || {
        let shutdown = world.memory.clock.sleep(Duration::from_secs(1));
        world.memory.run(Worker::new(world.endpoint.clone(), "accounts").run(shutdown)).expect("a queue");
    });
    let events = captured.events();
    for (line, parts) in [
        (
            "endpoint is ready",
            &[
                "endpoint=bank",
                "account.play",
                "account.double",
                "\"notes\"",
                "accounts-dead",
                "memory",
                "attempts_max=8",
            ][..],
        ),
        ("worker started", &["endpoint=bank", "queue=accounts", "in_flight_max=64", "visibility_ms=30000"]),
    ] {
        let event =
            events.iter().find(|event| event.contains(line)).unwrap_or_else(|| panic!("no `{line}`: {events:?}"));
        assert!(event.starts_with("INFO"), "{event}");
        for part in parts {
            assert!(event.contains(part), "`{event}` does not contain `{part}`");
        }
    }
}
