//! What is explored: the messages there are, what their handlers do, and how much trouble there may be.

use cloakroom::protocol::{CheckIn, WhenMissing};

/// How a message is identified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Identity {
    /// By the claim of its payload.
    Claim,
    /// By its id alone, as a message of a stranger is: a dedupe entry tells that it was processed.
    Id,
}

/// What the handler of a message does. What it depends on is the state that its worker has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handler {
    /// Changes the state and sends.
    Sends,
    /// Sends only if that message was applied to the state before; otherwise it has no effect.
    SendsAfter(usize),
    /// Rejects, unless that message was applied to the state before.
    RejectsUnlessAfter(usize),
    /// Deletes the state.
    Deletes,
    /// Changes the state and sends, or fails for good, for no reason that the model knows.
    MayReject,
}

/// A logical message: it keeps its identity however often it is sent.
#[derive(Clone, Copy, Debug)]
pub struct Message {
    /// What it is called in timelines.
    pub name: &'static str,
    /// The number of the entity, that is partition, that processes it.
    pub entity: u8,
    /// How it is identified.
    pub identity: Identity,
    /// What its handler does.
    pub handler: Handler,
    /// The numbers of the messages that its handler sends; up to two.
    pub sends: &'static [usize],
    /// Whether it lies on its queue at the beginning; all others are sent by handlers.
    pub is_first: bool,
    /// How often it is delivered at most: each delivery is a worker, and any worker may stop, or wait, anywhere.
    pub deliveries: u8,
}

/// A model to explore.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    /// What it is called.
    pub name: &'static str,
    /// What it shows, in a sentence.
    pub shows: &'static str,
    /// The messages.
    pub messages: &'static [Message],
    /// When payloads are checked in. Several: each worker may do it in another way, as during a deployment.
    pub timings: &'static [CheckIn],
    /// What a delivery does about a missing payload. Several: each of them.
    pub when_missing: &'static [WhenMissing],
    /// How many times a state is read as it was before anything had happened: with eventual consistency.
    pub stale_reads: u8,
    /// How many commits get an answer other than the true one.
    pub faults: u8,
    /// How often a message is moved to the dead-letter queue by the queue itself.
    pub dead_letters: u8,
    /// How often a message is put back from the dead-letter queue.
    pub redrives: u8,
    /// How often somebody tries to finish a message from the dead-letter queue.
    pub finishes: u8,
    /// How often a message that was committed is deleted from its queue by a hand.
    pub purges: u8,
    /// How often somebody finds a record, and finishes it without having its message. If at all, somebody comes again and again.
    pub sweeps: u8,
    /// What has to come up at some time, or the scenario does not show what it is meant to.
    pub reaches: &'static [&'static str],
    /// The number of states there are: a change of it is a change of the protocol, or of the model.
    pub states: usize,
}

const A: Message = Message {
    name: "A",
    entity: 0,
    identity: Identity::Claim,
    handler: Handler::Sends,
    sends: &[1],
    is_first: true,
    deliveries: 2,
};

/// What A sends, to another entity.
const B: Message = Message { name: "B", entity: 1, sends: &[], is_first: false, ..A };

const BEFORE: &[CheckIn] = &[CheckIn::BeforeCommit];
const AFTER: &[CheckIn] = &[CheckIn::AfterCommit];
const EITHER: &[CheckIn] = &[CheckIn::BeforeCommit, CheckIn::AfterCommit];

const PLAIN: Scenario = Scenario {
    name: "",
    shows: "",
    messages: &[A, B],
    timings: BEFORE,
    when_missing: &[WhenMissing::Acknowledge],
    stale_reads: 0,
    faults: 0,
    dead_letters: 0,
    redrives: 0,
    finishes: 0,
    purges: 0,
    sweeps: 0,
    reaches: &["resumed", "conflict", "duplicate", "orphan"],
    states: 0,
};

const fn delivered(message: Message, deliveries: u8) -> Message {
    Message { deliveries, ..message }
}

const ID: Message = Message { identity: Identity::Id, ..A };

/// What `cargo test` explores.
pub const SMALL: &[Scenario] = &[
    Scenario {
        name: "before-commit",
        shows: "a message and what it sends, claims stored with the commit",
        messages: &[delivered(A, 3), B],
        states: 569_312,
        ..PLAIN
    },
    Scenario {
        name: "after-commit",
        shows: "a message and what it sends, claims stored after the commit",
        messages: &[A, B],
        timings: AFTER,
        states: 41_838,
        ..PLAIN
    },
    Scenario {
        name: "id-before-commit",
        shows: "a message that carries only its id, and leaves a dedupe entry",
        messages: &[delivered(ID, 3), delivered(B, 1)],
        states: 41_373,
        ..PLAIN
    },
    Scenario {
        name: "id-after-commit",
        shows: "the same, with claims stored after the commit",
        messages: &[delivered(ID, 3), delivered(B, 1)],
        timings: AFTER,
        states: 136_195,
        ..PLAIN
    },
    Scenario {
        name: "deployment",
        shows: "workers of both timings at work on one message",
        messages: &[delivered(A, 2), B],
        timings: EITHER,
        states: 369_303,
        ..PLAIN
    },
    Scenario {
        name: "two-on-one",
        shows: "two messages that change the same entity",
        messages: &[
            A,
            delivered(B, 0),
            Message { name: "C", sends: &[3], ..A },
            Message { name: "D", deliveries: 0, ..B },
        ],
        states: 675_407,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "withdrawn"],
        ..PLAIN
    },
    Scenario {
        name: "fan-out",
        shows: "a message to two subscribers, each with a claim of its own",
        messages: &[Message { sends: &[1, 2], ..A }, B, Message { name: "C", entity: 2, deliveries: 1, ..B }],
        states: 254_082,
        ..PLAIN
    },
    Scenario {
        name: "deletion",
        shows: "an entity that is created, deleted, and created again by whoever is late",
        messages: &[
            delivered(A, 2),
            delivered(B, 0),
            Message { name: "C", handler: Handler::Deletes, sends: &[], ..A },
        ],
        states: 236_141,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "withdrawn"],
        ..PLAIN
    },
    Scenario {
        name: "unknown-outcomes",
        shows: "commits that apply late, or never, and own successes that look like a conflict",
        messages: &[A, delivered(B, 1)],
        faults: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan"],
        states: 61_579,
        ..PLAIN
    },
    Scenario {
        name: "unknown-outcomes-after-commit",
        shows: "the same, with claims stored after the commit",
        messages: &[A, delivered(B, 1)],
        timings: AFTER,
        faults: 2,
        states: 47_757,
        ..PLAIN
    },
    Scenario {
        name: "stale-states",
        shows: "states read with eventual consistency, which is safe: the commit is conditional on the version",
        messages: &[A, delivered(B, 0), Message { name: "C", sends: &[], deliveries: 1, ..A }],
        stale_reads: 2,
        states: 47_956,
        ..PLAIN
    },
    Scenario {
        name: "withdrawal",
        shows: "claims of lost commits, withdrawn while other commits are late or look lost and are not",
        messages: &[A, delivered(B, 0), Message { name: "C", sends: &[], deliveries: 1, ..A }],
        faults: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "withdrawn"],
        states: 591_575,
        ..PLAIN
    },
    Scenario {
        name: "no-effect",
        shows: "a message that has an effect on one state, and none on another",
        messages: &[
            Message { handler: Handler::SendsAfter(2), ..A },
            delivered(B, 0),
            Message { name: "C", sends: &[], ..A },
        ],
        states: 88_923,
        ..PLAIN
    },
    Scenario {
        name: "rejection",
        shows: "a message that comes too early, is parked, and put back",
        messages: &[
            Message { handler: Handler::RejectsUnlessAfter(2), deliveries: 3, ..A },
            delivered(B, 0),
            Message { name: "C", sends: &[], deliveries: 1, ..A },
        ],
        redrives: 2,
        reaches: &["resumed", "conflict", "duplicate", "parked"],
        states: 44_658,
        ..PLAIN
    },
    Scenario {
        name: "dead-letter",
        shows: "a message that is moved to the dead-letter queue at any time, put back or finished while workers race",
        messages: &[A, delivered(B, 0)],
        timings: AFTER,
        dead_letters: 1,
        redrives: 1,
        finishes: 1,
        reaches: &["resumed", "duplicate", "orphan", "stranded", "left"],
        states: 97_186,
        ..PLAIN
    },
    Scenario {
        name: "dead-letter-unknown-outcomes",
        shows: "a dead letter, a commit that applies late, and claims stored with the commit",
        messages: &[A, delivered(B, 0)],
        faults: 1,
        dead_letters: 1,
        redrives: 1,
        finishes: 1,
        reaches: &["resumed", "duplicate", "orphan", "stranded", "left"],
        states: 144_024,
        ..PLAIN
    },
    Scenario {
        name: "given-up",
        shows: "a message that is parked while an earlier commit of it may still apply; put back, or finished",
        messages: &[Message { handler: Handler::MayReject, ..A }, delivered(B, 0)],
        timings: EITHER,
        faults: 1,
        redrives: 1,
        finishes: 1,
        reaches: &["resumed", "duplicate", "orphan", "parked", "stranded", "left"],
        states: 46_965,
        ..PLAIN
    },
    Scenario {
        name: "park-when-missing",
        shows: "deliveries that park what looks like a lost payload",
        messages: &[delivered(A, 3), delivered(B, 1)],
        when_missing: &[WhenMissing::Park, WhenMissing::Acknowledge],
        redrives: 1,
        finishes: 1,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "parked"],
        states: 417_746,
        ..PLAIN
    },
    Scenario {
        name: "sweep",
        shows: "a committed message that is purged, and sweeps that finish its record while workers of both timings race",
        messages: &[A, delivered(B, 0)],
        timings: EITHER,
        purges: 1,
        sweeps: 2,
        reaches: &["resumed", "duplicate", "orphan", "purged", "swept", "left"],
        states: 733_171,
        ..PLAIN
    },
    Scenario {
        name: "id-sweep",
        shows: "the same for a message that carries only its id, with a commit that applies late",
        messages: &[ID, delivered(B, 0)],
        faults: 1,
        purges: 1,
        sweeps: 2,
        reaches: &["resumed", "duplicate", "orphan", "purged", "swept", "left"],
        states: 157_207,
        ..PLAIN
    },
];

/// What takes minutes and gigabytes; what came of it is in [`proof`](cloakroom::docs::proof).
pub const LARGE: &[Scenario] = &[
    Scenario {
        name: "large-before-commit",
        shows: "four workers on a message, and two on what it sends, claims stored with the commit",
        messages: &[delivered(A, 4), B],
        states: 10_823_276,
        ..PLAIN
    },
    Scenario {
        name: "large-after-commit",
        shows: "the same, with claims stored after the commit",
        messages: &[delivered(A, 4), B],
        timings: AFTER,
        states: 57_370_362,
        ..PLAIN
    },
    Scenario {
        name: "large-withdrawal",
        shows: "two messages on an entity, with claims withdrawn amid unknown outcomes",
        messages: &[A, delivered(B, 1), Message { name: "C", sends: &[], ..A }],
        faults: 1,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "withdrawn"],
        states: 25_749_316,
        ..PLAIN
    },
    Scenario {
        name: "large-unknown-outcomes",
        shows: "workers of both timings, and commits that apply late, or look lost and are not",
        messages: &[delivered(A, 3), delivered(B, 1)],
        timings: EITHER,
        faults: 2,
        states: 40_366_076,
        ..PLAIN
    },
    Scenario {
        name: "large-dead-letter",
        shows: "a dead letter, put back and finished while workers of both timings race, and a late commit",
        messages: &[A, delivered(B, 1)],
        timings: EITHER,
        faults: 1,
        dead_letters: 1,
        redrives: 1,
        finishes: 1,
        reaches: &["resumed", "duplicate", "orphan", "stranded", "left"],
        states: 35_610_756,
        ..PLAIN
    },
];
