//! A new world: backend, ports, processes, and what can be observed.

use std::{collections::BTreeSet, fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use cloakroom::{
    Delivery, Endpoint, EndpointSettings, MessageId, Outcome, PortError, Ports,
    format::{
        Claim, Envelope,
        schema::{Kept, Key, attribute},
    },
    memory::{Memory, MemoryQueue, MemoryQueues},
    ports::{Placement, Queue, Queues},
    protocol::{CheckIn, WhenMissing},
};
use futures::FutureExt as _;
use serde_json::Value;

use crate::{
    crash_kit::{
        clock::StandingClock,
        gate::{Gate, PortCallRecorder, SharedRun, lock},
        kit_message::KitMessage,
        report::FindingKind,
        setup::{REPLIES, SOURCE, Setup},
        snapshot::Snapshot,
        worker::{CrashWorker, WorkerState},
    },
    leftover_records::unsettled_records,
    wire::through_wire,
};

/// A combination in which each message is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Variant {
    pub(super) check_in: CheckIn,
    /// Messages are identified by their claim, not by their id alone.
    pub(super) is_claimed: bool,
    /// Where records are written.
    pub(super) placement: Placement,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = match self.check_in {
            CheckIn::BeforeCommit => "before",
            CheckIn::AfterCommit => "after",
        };
        let by = if self.is_claimed { "claim" } else { "id alone" };
        let place = match self.placement {
            Placement::Separate => "in items of their own",
            Placement::Embedded => "embedded in it",
        };
        write!(f, "identified by its {by}, payloads checked in {when} the commit, records {place}")
    }
}

/// Why a run failed.
#[derive(Debug)]
pub(super) struct RunFailure {
    pub(super) kind: FindingKind,
    pub(super) text: String,
    /// The message that caused it, if it is not a message under test.
    pub(super) about: Option<String>,
}

impl RunFailure {
    pub(super) fn new(kind: FindingKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), about: None }
    }
}

/// Creates each queue that is opened: the kit does not know where handlers send.
#[derive(Debug)]
struct EveryQueue {
    made: Arc<MemoryQueues>,
    queues: Arc<dyn Queues>,
}

#[async_trait]
impl Queues for EveryQueue {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        self.made.create(name);
        self.queues.open(name).await
    }
}

/// One world. It shares nothing with another one, except what handlers share without the kit's
/// knowledge.
pub(super) struct CrashWorld<'a> {
    setup: &'a Setup,
    variant: Variant,
    memory: Memory,
    /// The ports without a gate.
    ports: Ports,
    pub(super) shared: Arc<SharedRun>,
    recorder: Arc<PortCallRecorder>,
}

impl<'a> CrashWorld<'a> {
    /// Creates a world. The seed decides only claims, which are in no snapshot.
    pub(super) fn new(setup: &'a Setup, variant: Variant, seed: u64, is_traced: bool) -> Self {
        let memory = Memory::seeded(seed);
        let ports = (setup.backend)(&memory);
        let queues = Arc::new(EveryQueue { made: Arc::clone(&memory.queues), queues: ports.queues });
        let ports = Ports { clock: Arc::new(StandingClock::default()), queues, ..ports };
        Self { setup, variant, memory, ports, shared: Arc::new(SharedRun::new(is_traced)), recorder: Arc::default() }
    }

    /// Checks that the handlers of these messages called no port themselves since the last check.
    pub(super) fn check_port_calls(&self, kit_messages: &[&KitMessage]) -> Result<(), RunFailure> {
        let calls = self.recorder.take();
        let (kind, port, call) = match (calls.iter().find(|call| !call.operation.is_read()), calls.first()) {
            (Some(call), _) => (FindingKind::WritesElsewhere, "a port that writes", call),
            (None, Some(call)) => (FindingKind::ReadsElsewhere, "a port", call),
            (None, None) => return Ok(()),
        };
        Err(RunFailure::new(kind, format!("the handler of {} itself calls {port}: {call}", kinds(kit_messages))))
    }

    fn settings(&self) -> EndpointSettings {
        // If a batch waited for more messages, runs would only take longer.
        let Variant { check_in, placement, .. } = self.variant;
        let when_missing = WhenMissing::Acknowledge;
        EndpointSettings { check_in, placement, when_missing, linger_ms: 0, ..self.setup.settings.clone() }
    }

    /// Builds the endpoint of a new process.
    pub(super) fn endpoint(&self, is_open: bool) -> Result<(Endpoint, Arc<Gate>), RunFailure> {
        let gate = Gate::new(&self.shared, is_open);
        let handler_ports = through_wire(&self.recorder, &self.ports);
        let built = (self.setup.build)(&handler_ports, through_wire(&gate, &self.ports), Some(self.settings()));
        let endpoint = built.map_err(|error| RunFailure::new(FindingKind::NotBuilt, error.to_string()))?;
        Ok((endpoint, gate))
    }

    pub(super) fn delivery(&self, kit_message: &KitMessage, id: String) -> Result<Delivery, RunFailure> {
        let body = kit_message.body.as_ref().map_err(|error| {
            let text = format!("`{}` cannot be written as JSON: {error}", kit_message.kind);
            RunFailure::new(FindingKind::NotWritable, text)
        })?;
        let mut envelope = Envelope::new(id.into(), SOURCE, kit_message.kind, kit_message.partition.clone());
        envelope.replyto = Some(REPLIES.to_owned());
        if self.variant.is_claimed {
            let claim = Claim::new(format!("{}.{}", envelope.id, self.ports.payloads.name()));
            let written = self.ports.payloads.check_in(&claim, Bytes::from(body.to_string())).now_or_never();
            written.and_then(Result::ok).ok_or_else(|| {
                RunFailure::new(
                    FindingKind::NeverFinished,
                    "the payload store refuses a payload although nothing disturbs it",
                )
            })?;
            envelope.dataref = Some(claim);
        } else {
            envelope.data = Some(body.clone());
        }
        Ok(Delivery { body: envelope.encode(), ..Delivery::default() })
    }

    /// Processes the earlier messages undisturbed, one after the other.
    pub(super) fn process_given(&self) -> Result<(), RunFailure> {
        if self.setup.given.is_empty() {
            return Ok(());
        }
        let (endpoint, gate) = self.endpoint(true)?;
        for (kit_message, number) in self.setup.given.iter().zip(1..) {
            let about = format!("`{}`, the earlier message number {number}", kit_message.kind);
            let processed = self.process_one(kit_message, format!("given-{number}"), &endpoint, &gate);
            processed.map_err(|failure| RunFailure { about: Some(about), ..failure })?;
        }
        Ok(())
    }

    fn process_one(
        &self,
        kit_message: &KitMessage,
        id: String,
        endpoint: &Endpoint,
        gate: &Arc<Gate>,
    ) -> Result<(), RunFailure> {
        let delivery = Delivery { receive_count: 1, ..self.delivery(kit_message, id)? };
        let state = CrashWorker::new(vec![0], endpoint.clone(), Arc::clone(gate), vec![delivery]).advance();
        self.check_port_calls(&[kit_message])?;
        let WorkerState::Ended(results) = state else { return Err(waits(&[kit_message])) };
        let how = match results.first() {
            Some(Ok(Outcome::Processed)) => return Ok(()),
            Some(Ok(Outcome::Parked)) => self.reason_of_parking(),
            Some(Ok(other)) => format!("it ended as {other:?}"),
            Some(Err(error)) => error.to_string(),
            None => "it has no result".to_owned(),
        };
        let text = format!("the earlier message `{}` was not processed: {how}", kit_message.kind);
        Err(RunFailure::new(FindingKind::Unexpected, text))
    }

    /// The reason for which a message was parked.
    pub(super) fn reason_of_parking(&self) -> String {
        let queues = lock(&self.shared.queues);
        let parked = queues.iter().flat_map(|queue| self.queue(queue).messages());
        let mut reasons =
            parked.filter_map(|message| message.attributes.get(cloakroom::engine::parking::REASON).cloned());
        reasons.next().unwrap_or_else(|| "parked without a reason".to_owned())
    }

    /// Returns a queue that a worker opened. It is created if the call that opens it did not take
    /// effect.
    fn queue(&self, name: &str) -> Arc<MemoryQueue> {
        self.memory.queues.create(name);
        self.memory.queues.get(name)
    }

    /// Returns a snapshot of these messages, of their partitions and of everything that was sent.
    pub(super) fn snapshot(&self, messages: &[(&KitMessage, &Delivery)]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let read = |claim: &Claim| self.ports.payloads.read(claim).now_or_never()?.ok().flatten();
        let json = |claim: &Claim| {
            let body = read(claim)?;
            Some(serde_json::from_slice(&body).unwrap_or_else(|_| Value::String(format!("{body:?}"))))
        };
        for partition in messages.iter().map(|(kit_message, _)| &kit_message.partition).collect::<BTreeSet<_>>() {
            let items = self.memory.store.partition(partition);
            for record in unsettled_records(&items, &*self.ports.payloads) {
                snapshot.add(format!("outbox record `{record}` of `{partition}`"), "left behind");
            }
            let is_compared =
                |sort_key: &str| !matches!(Key::kept(sort_key), Some(Kept::Record { .. } | Kept::Failures { .. }));
            for (sort_key, mut item) in items.into_iter().filter(|(sort_key, _)| is_compared(sort_key)) {
                // A stop changes which settled records the item still holds, and which messages it
                // remembers.
                for name in [attribute::RECORDS, attribute::COMPLETE, attribute::RECENT] {
                    item.remove(name);
                }
                snapshot.add_item(&format!("item `{sort_key}` of `{partition}`"), &item);
            }
        }
        let under_test: BTreeSet<_> = messages.iter().filter_map(|(_, delivery)| id_of(&delivery.body)).collect();
        for queue in lock(&self.shared.queues).iter() {
            let mut lying = self.queue(queue).messages();
            // A copy of a deferred message stands for the message itself, which the run delivers
            // again.
            lying.retain(|message| {
                let is_parked = message.attributes.contains_key(cloakroom::engine::parking::REASON);
                is_parked || id_of(&message.body).is_none_or(|id| !under_test.contains(&id))
            });
            snapshot.add_queue(queue, &lying, json);
        }
        for (kit_message, delivery) in messages {
            let Ok(Envelope { id, dataref: Some(claim), .. }) = Envelope::decode(&delivery.body) else { continue };
            let what = if read(&claim).is_some() { "kept" } else { "collected" };
            snapshot.add(format!("payload of the incoming `{}` {id}", kit_message.kind), what);
        }
        snapshot
    }
}

fn id_of(body: &str) -> Option<MessageId> {
    Envelope::decode(body).ok().map(|envelope| envelope.id)
}

/// The types of the messages. The text is about one of them.
fn kinds(kit_messages: &[&KitMessage]) -> String {
    let kinds: Vec<_> = kit_messages.iter().map(|kit_message| format!("`{}`", kit_message.kind)).collect();
    kinds.join(" or ")
}

pub(super) fn waits(kit_messages: &[&KitMessage]) -> RunFailure {
    let text = format!(
        "the handler of {} waits for something that can never happen here: time, a socket or a task of a real runtime",
        kinds(kit_messages)
    );
    RunFailure::new(FindingKind::Waits, text)
}
