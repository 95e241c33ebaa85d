//! A fresh world: backend, ports, processes, and what can be observed of it.

use std::{collections::BTreeSet, fmt, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use cloakroom::{
    Delivery, Endpoint, EndpointSettings, MessageId, Outcome, Partition, PortError, Ports,
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

use super::{
    CrashKit, REPLIES, SOURCE,
    clock::StandingClock,
    gate::{Gate, Guard, Hall, lock},
    picture::Picture,
    report::FindingKind,
    worker::{Is, Worker},
};
use crate::{residue::live_records, wire::by_way_of};

/// A message that was given to the kit.
#[derive(Clone, Debug)]
pub(super) struct DeadLetter {
    pub(super) kind: &'static str,
    pub(super) partition: Partition,
    /// Or why it cannot be written.
    pub(super) body: Result<Value, String>,
    pub(super) expected: Expected,
}

/// What the handler of a message shall do with it, if nothing disturbs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    Accepted,
    Refused,
    Deferred,
}

/// What is tried with each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Variant {
    pub(super) check_in: CheckIn,
    /// Messages are identified by their claim, not by their id alone.
    pub(super) is_claimed: bool,
    /// Where records lie.
    pub(super) placement: Placement,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = match self.check_in {
            CheckIn::BeforeCommit => "before",
            CheckIn::AfterCommit => "after",
        };
        let by = if self.is_claimed { "claim" } else { "id alone" };
        let lies = match self.placement {
            Placement::Separate => "beside the state",
            Placement::Embedded => "embedded in it",
        };
        write!(f, "identified by its {by}, payloads checked in {when} the commit, records {lies}")
    }
}

/// Why a run came to nothing.
#[derive(Debug)]
pub(super) struct Trouble {
    pub(super) kind: FindingKind,
    pub(super) text: String,
    /// Whose it is, if it is not that of the messages under test.
    pub(super) about: Option<String>,
}

impl Trouble {
    pub(super) fn new(kind: FindingKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), about: None }
    }
}

/// Makes each queue that is asked for: the kit tests handlers, and does not know where they send to.
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

/// One world. Nothing in it is shared with another one, but for what handlers share behind the kit's back.
pub(super) struct World<'a> {
    kit: &'a CrashKit,
    variant: Variant,
    memory: Memory,
    /// Nothing stands before them.
    ports: Ports,
    pub(super) hall: Arc<Hall>,
    guard: Arc<Guard>,
}

impl<'a> World<'a> {
    /// The seed decides about nothing but claims, which are no part of any picture.
    pub(super) fn new(kit: &'a CrashKit, variant: Variant, seed: u64, is_traced: bool) -> Self {
        let memory = Memory::seeded(seed);
        let ports = (kit.backend)(&memory);
        let queues = Arc::new(EveryQueue { made: Arc::clone(&memory.queues), queues: ports.queues });
        let ports = Ports { clock: Arc::new(StandingClock::default()), queues, ..ports };
        Self { kit, variant, memory, ports, hall: Arc::new(Hall::new(is_traced)), guard: Arc::default() }
    }

    /// Sees to it that the handlers that ran just now, those of these messages, have called no port themselves.
    pub(super) fn nothing_strange(&self, letters: &[&DeadLetter]) -> Result<(), Trouble> {
        let calls = self.guard.take();
        let (kind, port, call) = match (calls.iter().find(|call| !call.operation.is_read()), calls.first()) {
            (Some(call), _) => (FindingKind::WritesElsewhere, "a port that writes", call),
            (None, Some(call)) => (FindingKind::ReadsElsewhere, "a port", call),
            (None, None) => return Ok(()),
        };
        Err(Trouble::new(kind, format!("the handler of {} itself calls {port}: {call}", kinds(letters))))
    }

    fn settings(&self) -> EndpointSettings {
        // A batch that waits for company would only make runs longer.
        let Variant { check_in, placement, .. } = self.variant;
        let when_missing = WhenMissing::Acknowledge;
        EndpointSettings { check_in, placement, when_missing, linger_ms: 0, ..self.kit.settings.clone() }
    }

    /// A process of its own.
    pub(super) fn endpoint(&self, is_open: bool) -> Result<(Endpoint, Arc<Gate>), Trouble> {
        let gate = Gate::new(&self.hall, is_open);
        let handed = by_way_of(&self.guard, &self.ports);
        let built = (self.kit.build)(&handed, by_way_of(&gate, &self.ports), Some(self.settings()));
        let endpoint = built.map_err(|error| Trouble::new(FindingKind::NotBuilt, error.to_string()))?;
        Ok((endpoint, gate))
    }

    pub(super) fn delivery(&self, letter: &DeadLetter, id: String) -> Result<Delivery, Trouble> {
        let body = letter.body.as_ref().map_err(|error| {
            let text = format!("`{}` cannot be written as JSON: {error}", letter.kind);
            Trouble::new(FindingKind::NotWritable, text)
        })?;
        let mut envelope = Envelope::new(id.into(), SOURCE, letter.kind, letter.partition.clone());
        envelope.replyto = Some(REPLIES.to_owned());
        if self.variant.is_claimed {
            let claim = Claim::new(format!("{}.{}", envelope.id, self.ports.payloads.name()));
            let written = self.ports.payloads.check_in(&claim, Bytes::from(body.to_string())).now_or_never();
            written.and_then(Result::ok).ok_or_else(|| {
                Trouble::new(FindingKind::NeverFinished, "the payload store does not take a payload undisturbed")
            })?;
            envelope.dataref = Some(claim);
        } else {
            envelope.data = Some(body.clone());
        }
        Ok(Delivery { body: envelope.encode(), ..Delivery::default() })
    }

    /// Has the earlier messages processed, one after the other, undisturbed.
    pub(super) fn process_given(&self) -> Result<(), Trouble> {
        if self.kit.given.is_empty() {
            return Ok(());
        }
        let (endpoint, gate) = self.endpoint(true)?;
        for (letter, number) in self.kit.given.iter().zip(1..) {
            let about = format!("`{}`, the earlier message number {number}", letter.kind);
            let processed = self.process_one(letter, format!("given-{number}"), &endpoint, &gate);
            processed.map_err(|trouble| Trouble { about: Some(about), ..trouble })?;
        }
        Ok(())
    }

    fn process_one(
        &self,
        letter: &DeadLetter,
        id: String,
        endpoint: &Endpoint,
        gate: &Arc<Gate>,
    ) -> Result<(), Trouble> {
        let delivery = Delivery { receive_count: 1, ..self.delivery(letter, id)? };
        let is = Worker::new(vec![0], endpoint.clone(), Arc::clone(gate), vec![delivery]).go_on();
        self.nothing_strange(&[letter])?;
        let Is::Ended(results) = is else { return Err(waits(&[letter])) };
        let how = match results.first() {
            Some(Ok(Outcome::Processed)) => return Ok(()),
            Some(Ok(Outcome::Parked)) => self.reason_of_parking(),
            Some(Ok(other)) => format!("it ended as {other:?}"),
            Some(Err(error)) => error.to_string(),
            None => "it has no answer".to_owned(),
        };
        let text = format!("the earlier message `{}` was not processed: {how}", letter.kind);
        Err(Trouble::new(FindingKind::Unexpected, text))
    }

    /// Why a message was parked.
    pub(super) fn reason_of_parking(&self) -> String {
        let queues = lock(&self.hall.queues);
        let parked = queues.iter().flat_map(|queue| self.queue(queue).messages());
        let mut reasons =
            parked.filter_map(|message| message.attributes.get(cloakroom::engine::parking::REASON).cloned());
        reasons.next().unwrap_or_else(|| "parked without a reason".to_owned())
    }

    /// A queue that was asked for, also if the answer was lost before there was one.
    fn queue(&self, name: &str) -> Arc<MemoryQueue> {
        self.memory.queues.create(name);
        self.memory.queues.get(name)
    }

    /// What there is of these messages, their partitions and all that was sent.
    pub(super) fn picture(&self, messages: &[(&DeadLetter, &Delivery)]) -> Picture {
        let mut picture = Picture::default();
        let read = |claim: &Claim| self.ports.payloads.read(claim).now_or_never()?.ok().flatten();
        let json = |claim: &Claim| {
            let body = read(claim)?;
            Some(serde_json::from_slice(&body).unwrap_or_else(|_| Value::String(format!("{body:?}"))))
        };
        for partition in messages.iter().map(|(letter, _)| &letter.partition).collect::<BTreeSet<_>>() {
            let items = self.memory.store.partition(partition);
            for record in live_records(&items, &*self.ports.payloads) {
                picture.add(format!("outbox record `{record}` of `{partition}`"), "left behind");
            }
            let is_compared =
                |sort_key: &str| !matches!(Key::kept(sort_key), Some(Kept::Record { .. } | Kept::Failures { .. }));
            for (sort_key, mut item) in items.into_iter().filter(|(sort_key, _)| is_compared(sort_key)) {
                // Which settled records the item still holds, and which messages it remembers, a stop more or less changes.
                for name in [attribute::RECORDS, attribute::COMPLETE, attribute::RECENT] {
                    item.remove(name);
                }
                picture.add_item(&format!("item `{sort_key}` of `{partition}`"), &item);
            }
        }
        let under_test: BTreeSet<_> = messages.iter().filter_map(|(_, delivery)| id_of(&delivery.body)).collect();
        for queue in lock(&self.hall.queues).iter() {
            let mut lying = self.queue(queue).messages();
            // A copy of a deferred message stands for the message itself, which the run delivers again.
            lying.retain(|message| {
                let is_parked = message.attributes.contains_key(cloakroom::engine::parking::REASON);
                is_parked || id_of(&message.body).is_none_or(|id| !under_test.contains(&id))
            });
            picture.add_queue(queue, &lying, json);
        }
        for (letter, delivery) in messages {
            let Ok(Envelope { id, dataref: Some(claim), .. }) = Envelope::decode(&delivery.body) else { continue };
            let what = if read(&claim).is_some() { "kept" } else { "collected" };
            picture.add(format!("payload of the incoming `{}` {id}", letter.kind), what);
        }
        picture
    }
}

fn id_of(body: &str) -> Option<MessageId> {
    Envelope::decode(body).ok().map(|envelope| envelope.id)
}

/// The messages, one of which is meant.
fn kinds(letters: &[&DeadLetter]) -> String {
    let kinds: Vec<_> = letters.iter().map(|letter| format!("`{}`", letter.kind)).collect();
    kinds.join(" or ")
}

pub(super) fn waits(letters: &[&DeadLetter]) -> Trouble {
    let text = format!(
        "the handler of {} waits for something that can never happen here: time, a socket or a task of a real runtime",
        kinds(letters)
    );
    Trouble::new(FindingKind::Waits, text)
}
