//! A fresh world: backend, ports, processes, and what can be observed of it.

use std::{collections::BTreeSet, fmt, sync::Arc};

use bytes::Bytes;
use cloakroom::{
    Claim, Delivery, Endpoint, EndpointSettings, Envelope, Outcome, Partition, Ports,
    memory::Memory,
    protocol::{CheckIn, WhenMissing},
};
use futures::FutureExt as _;
use serde_json::Value;

use super::{
    CrashKit,
    clock::StandingClock,
    gate::{Gate, Guard, Hall, lock},
    picture::Picture,
    report::FindingKind,
    worker::{Is, Worker},
};
use crate::wire::by_way_of;

/// A message that was given to the kit.
#[derive(Clone, Debug)]
pub(super) struct Letter {
    pub(super) kind: &'static str,
    pub(super) partition: Partition,
    /// Or why it cannot be written.
    pub(super) body: Result<Value, String>,
    /// Its handler shall not accept it.
    pub(super) is_refused: bool,
}

/// What is tried with each message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Variant {
    pub(super) check_in: CheckIn,
    /// Messages are identified by their claim, not by their id alone.
    pub(super) is_claimed: bool,
}

impl fmt::Display for Variant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let when = match self.check_in {
            CheckIn::BeforeCommit => "before",
            CheckIn::AfterCommit => "after",
        };
        let by = if self.is_claimed { "claim" } else { "id alone" };
        write!(f, "identified by its {by}, payloads checked in {when} the commit")
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
        let ports = Ports { clock: Arc::new(StandingClock::default()), ..(kit.backend)(&memory) };
        Self { kit, variant, memory, ports, hall: Arc::new(Hall::new(is_traced)), guard: Arc::default() }
    }

    /// Sees to it that the handler that ran just now, that of this message, has called no port itself.
    pub(super) fn nothing_strange(&self, letter: &Letter) -> Result<(), Trouble> {
        let calls = self.guard.take();
        let (kind, port, call) = match (calls.iter().find(|call| !call.operation.is_read()), calls.first()) {
            (Some(call), _) => (FindingKind::WritesElsewhere, "a port that writes", call),
            (None, Some(call)) => (FindingKind::ReadsElsewhere, "a port", call),
            (None, None) => return Ok(()),
        };
        Err(Trouble::new(kind, format!("the handler of `{}` itself calls {port}: {call}", letter.kind)))
    }

    fn settings(&self) -> EndpointSettings {
        // A batch that waits for company would only make runs longer.
        let (check_in, when_missing) = (self.variant.check_in, WhenMissing::Acknowledge);
        EndpointSettings { check_in, when_missing, linger_ms: 0, ..self.kit.settings.clone() }
    }

    /// A process of its own.
    pub(super) fn endpoint(&self, is_open: bool) -> Result<(Endpoint, Arc<Gate>), Trouble> {
        let gate = Gate::new(&self.hall, is_open);
        let handed = by_way_of(&self.guard, &self.ports);
        let built = (self.kit.build)(&handed, by_way_of(&gate, &self.ports), Some(self.settings()));
        let endpoint = built.map_err(|error| Trouble::new(FindingKind::NotBuilt, error.to_string()))?;
        Ok((endpoint, gate))
    }

    pub(super) fn delivery(&self, letter: &Letter, id: String) -> Result<Delivery, Trouble> {
        let body = letter.body.as_ref().map_err(|error| {
            let text = format!("`{}` cannot be written as JSON: {error}", letter.kind);
            Trouble::new(FindingKind::NotWritable, text)
        })?;
        let mut envelope = Envelope::new(id.into(), "crash-kit", letter.kind, letter.partition.clone());
        envelope.replyto = Some("replies".to_owned());
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

    fn process_one(&self, letter: &Letter, id: String, endpoint: &Endpoint, gate: &Arc<Gate>) -> Result<(), Trouble> {
        let delivery = Delivery { receive_count: 1, ..self.delivery(letter, id)? };
        let is = Worker::new(0, endpoint.clone(), Arc::clone(gate), delivery).go_on();
        self.nothing_strange(letter)?;
        let how = match is {
            Is::Ended(Ok(Outcome::Processed)) => return Ok(()),
            Is::Ended(Ok(Outcome::Parked)) => self.reason_of_parking(),
            Is::Ended(Ok(other)) => format!("it ended as {other:?}"),
            Is::Ended(Err(error)) => error.to_string(),
            Is::AtGate | Is::Stuck => return Err(waits(letter)),
        };
        let text = format!("the earlier message `{}` was not processed: {how}", letter.kind);
        Err(Trouble::new(FindingKind::Unexpected, text))
    }

    /// Why a message was parked.
    pub(super) fn reason_of_parking(&self) -> String {
        let queues = lock(&self.hall.queues);
        let parked = queues.iter().flat_map(|queue| self.memory.queues.get(queue).messages());
        let mut reasons = parked.filter_map(|message| message.attributes.get(cloakroom::parking::REASON).cloned());
        reasons.next().unwrap_or_else(|| "parked without a reason".to_owned())
    }

    /// What there is of these messages, their partitions and all that was sent.
    pub(super) fn picture(&self, messages: &[(&Letter, &Delivery)]) -> Picture {
        let mut picture = Picture::default();
        let read = |claim: &Claim| self.ports.payloads.read(claim).now_or_never()?.ok().flatten();
        let json = |claim: &Claim| {
            let body = read(claim)?;
            Some(serde_json::from_slice(&body).unwrap_or_else(|_| Value::String(format!("{body:?}"))))
        };
        for partition in messages.iter().map(|(letter, _)| &letter.partition).collect::<BTreeSet<_>>() {
            for (sort_key, item) in self.memory.store.partition(partition) {
                match sort_key.starts_with("outbox#") {
                    true => picture.add(format!("outbox record `{sort_key}` of `{partition}`"), "left behind"),
                    false => picture.add_item(&format!("item `{sort_key}` of `{partition}`"), &item),
                }
            }
        }
        for queue in lock(&self.hall.queues).iter() {
            picture.add_queue(queue, &self.memory.queues.get(queue).messages(), json);
        }
        for (letter, delivery) in messages {
            let Ok(Envelope { id, dataref: Some(claim), .. }) = Envelope::decode(&delivery.body) else { continue };
            let what = if read(&claim).is_some() { "kept" } else { "collected" };
            picture.add(format!("payload of the incoming `{}` {id}", letter.kind), what);
        }
        picture
    }
}

pub(super) fn waits(letter: &Letter) -> Trouble {
    let text = format!(
        "the handler of `{}` waits for something that can never happen here: time, a socket or a task of a real runtime",
        letter.kind
    );
    Trouble::new(FindingKind::Waits, text)
}
