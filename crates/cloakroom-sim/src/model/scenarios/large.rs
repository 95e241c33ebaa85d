//! The scenarios that are explored from time to time.

use crate::model::scenario::{MessageSpec, Scenario};
use crate::model::scenarios::parts::{A, AFTER, B, BOTH, C, EITHER, EMBEDDED, ONE_ID, PLAIN, delivered};

/// Scenarios that take minutes and gigabytes. [`proof`](cloakroom::docs::proof) has the results.
pub const LARGE: &[Scenario] = &[
    Scenario {
        name: "large-before-commit",
        shows: "four workers on a message and two on the message that it sends, with claims stored in the commit",
        messages: &[delivered(A, 4), B],
        states: 4_548_682,
        ..PLAIN
    },
    Scenario {
        name: "large-after-commit",
        shows: "the same, with claims stored after the commit",
        messages: &[delivered(A, 4), B],
        timings: AFTER,
        states: 4_585_110,
        ..PLAIN
    },
    Scenario {
        name: "large-lost-and-unknown",
        shows: "two messages of one entity, and commits with unknown outcomes",
        messages: &[A, delivered(B, 1), MessageSpec { name: "C", sends: &[], ..A }],
        faults: 1,
        reaches: &["resumed", "conflict", "duplicate", "orphan"],
        states: 6_348_107,
        ..PLAIN
    },
    Scenario {
        name: "large-unknown-outcomes",
        shows: "workers of both timings, and commits that apply late or only look lost",
        messages: &[delivered(A, 3), delivered(B, 1)],
        timings: EITHER,
        faults: 2,
        states: 7_659_702,
        ..PLAIN
    },
    Scenario {
        name: "large-dead-letter",
        shows: "a dead-letter message that is moved back and finished while workers of both timings race, and a late commit",
        messages: &[A, delivered(B, 1)],
        timings: EITHER,
        faults: 1,
        dead_letters: 1,
        redrives: 1,
        finishes: 1,
        reaches: &["resumed", "duplicate", "orphan", "stranded", "left"],
        states: 13_482_744,
        ..PLAIN
    },
    Scenario {
        name: "large-sent-again",
        shows: "workers of both timings that give up messages in the middle of their work and send them again",
        messages: &[delivered(A, 3), delivered(B, 1)],
        timings: EITHER,
        given_up: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "deferred"],
        states: 8_391_823,
        ..PLAIN
    },
    Scenario {
        name: "large-embedded",
        shows: "four workers on a message and two on the message that it sends, with embedded records",
        messages: &[delivered(A, 4), B],
        placements: EMBEDDED,
        states: 1_839_670,
        ..PLAIN
    },
    Scenario {
        name: "large-placements",
        shows: "two messages of one entity, in both placements and with both timings, and the message that one of them sends",
        messages: &[A, delivered(B, 1), delivered(C, 1)],
        timings: EITHER,
        placements: BOTH,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "carried on", "dropped", "mixed"],
        states: 2_218_429,
        ..PLAIN
    },
    Scenario {
        name: "large-fold",
        shows: "two messages that send, alone or together, in both placements, and untrue responses to commits",
        messages: &[
            A,
            delivered(B, 0),
            MessageSpec { sends: &[3], ..delivered(C, 1) },
            MessageSpec { name: "D", ..delivered(B, 0) },
        ],
        placements: BOTH,
        fold_max: 2,
        faults: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "mixed", "folded"],
        states: 2_479_052,
        ..PLAIN
    },
    Scenario {
        name: "large-fold-of-three",
        shows: "three messages of one entity in folds of up to three, two of them delivered twice",
        messages: &[MessageSpec { sends: &[], ..A }, C, MessageSpec { name: "D", ..delivered(C, 1) }],
        placements: EMBEDDED,
        fold_max: 3,
        reaches: &["resumed", "conflict", "duplicate", "carried on", "dropped", "folded"],
        states: 1_653_732,
        ..PLAIN
    },
    Scenario {
        name: "large-two-on-one",
        shows: "two messages that change the same entity, and the messages that both send",
        messages: &[
            A,
            delivered(B, 0),
            MessageSpec { name: "C", sends: &[3], ..A },
            MessageSpec { name: "D", deliveries: 0, ..B },
        ],
        states: 489_080,
        reaches: &["resumed", "conflict", "duplicate", "orphan"],
        ..PLAIN
    },
    Scenario {
        name: "large-one-id-dead-letter",
        shows: "two messages with one id and different claims in both placements; one is in the dead-letter queue and is moved back or finished",
        messages: ONE_ID,
        placements: BOTH,
        dead_letters: 1,
        redrives: 1,
        finishes: 1,
        reaches: &["resumed", "conflict", "duplicate", "stranded", "left"],
        states: 593_598,
        ..PLAIN
    },
    Scenario {
        name: "large-sweep",
        shows: "a committed message that is purged, and sweeps that finish its record while workers of both timings race",
        messages: &[A, delivered(B, 0)],
        timings: EITHER,
        purges: 1,
        sweeps: 2,
        reaches: &["resumed", "duplicate", "orphan", "purged", "swept", "left"],
        states: 486_406,
        ..PLAIN
    },
    Scenario {
        name: "large-late-reads",
        shows: "states and their embedded records, read with eventual consistency, and untrue responses to commits",
        messages: &[A, delivered(B, 0), delivered(C, 1)],
        placements: BOTH,
        stale_reads: 1,
        faults: 1,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "carried on", "dropped", "mixed"],
        states: 474_323,
        ..PLAIN
    },
];
