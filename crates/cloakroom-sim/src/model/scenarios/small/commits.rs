//! Scenarios about commits and their outcomes.

use crate::model::{
    scenario::{Handler, MessageSpec, Scenario},
    scenarios::parts::{A, AFTER, B, C, EITHER, ID, PLAIN, delivered},
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "before-commit",
        shows: "a message and the message that it sends, with claims stored in the commit",
        messages: &[delivered(A, 3), B],
        states: 268_798,
        ..PLAIN
    },
    Scenario {
        name: "after-commit",
        shows: "a message and the message that it sends, with claims stored after the commit",
        messages: &[A, B],
        timings: AFTER,
        states: 12_512,
        ..PLAIN
    },
    Scenario {
        name: "id-before-commit",
        shows: "a message that carries only its id and leaves a dedupe entry",
        messages: &[delivered(ID, 3), delivered(B, 1)],
        states: 28_144,
        ..PLAIN
    },
    Scenario {
        name: "id-after-commit",
        shows: "the same, with claims stored after the commit",
        messages: &[delivered(ID, 3), delivered(B, 1)],
        timings: AFTER,
        states: 30_195,
        ..PLAIN
    },
    Scenario {
        name: "deployment",
        shows: "workers of both timings process one message",
        messages: &[delivered(A, 2), B],
        timings: EITHER,
        states: 148_478,
        ..PLAIN
    },
    Scenario {
        name: "two-on-one",
        shows: "two messages that change the same entity",
        messages: &[A, delivered(B, 0), C],
        states: 110_271,
        reaches: &["resumed", "conflict", "duplicate", "orphan"],
        ..PLAIN
    },
    Scenario {
        name: "fan-out",
        shows: "a message to two subscribers, each with a claim of its own",
        messages: &[MessageSpec { sends: &[1, 2], ..A }, B, MessageSpec { name: "C", entity: 2, deliveries: 1, ..B }],
        states: 120_471,
        ..PLAIN
    },
    Scenario {
        name: "deletion",
        shows: "an entity that is created, deleted, and created again by a late worker",
        messages: &[
            delivered(A, 2),
            delivered(B, 0),
            MessageSpec { name: "C", handler: Handler::Deletes, sends: &[], ..A },
        ],
        states: 111_628,
        reaches: &["resumed", "conflict", "duplicate", "orphan"],
        ..PLAIN
    },
    Scenario {
        name: "unknown-outcomes",
        shows: "commits that apply late or never, and successful commits that look like a conflict",
        messages: &[A, delivered(B, 1)],
        faults: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan"],
        states: 25_605,
        ..PLAIN
    },
    Scenario {
        name: "unknown-outcomes-after-commit",
        shows: "the same, with claims stored after the commit",
        messages: &[A, delivered(B, 1)],
        timings: AFTER,
        faults: 2,
        states: 10_689,
        ..PLAIN
    },
    Scenario {
        name: "stale-states",
        shows: "states read with eventual consistency, which is safe: the commit is conditional on the version",
        messages: &[A, delivered(B, 0), MessageSpec { name: "C", sends: &[], deliveries: 1, ..A }],
        stale_reads: 2,
        states: 16_177,
        ..PLAIN
    },
    Scenario {
        name: "lost-and-unknown",
        shows: "two messages of one entity, and commits that are late or only look lost",
        messages: &[A, delivered(B, 0), MessageSpec { name: "C", sends: &[], deliveries: 1, ..A }],
        faults: 2,
        states: 183_690,
        ..PLAIN
    },
];
