//! Scenarios about embedded and retained records.

use cloakroom::protocol::WhenMissing;

use crate::model::{
    scenario::{Handler, MessageSpec, Scenario},
    scenarios::parts::{A, B, BOTH, C, EITHER, EMBEDDED, ID, PLAIN, RETAINED, delivered},
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "embedded",
        shows: "records embedded in the state's item",
        messages: &[delivered(A, 3), B],
        placements: EMBEDDED,
        states: 166_103,
        ..PLAIN
    },
    Scenario {
        name: "id-embedded",
        shows: "the same for a message that carries only its id",
        messages: &[delivered(ID, 3), delivered(B, 1)],
        placements: EMBEDDED,
        states: 20_683,
        ..PLAIN
    },
    Scenario {
        name: "retained",
        shows: "retained records of workers of both timings",
        messages: &[RETAINED, B],
        timings: EITHER,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "retained"],
        states: 171_400,
        ..PLAIN
    },
    Scenario {
        name: "embedded-two-on-one",
        shows: "two messages whose records share an item: a commit carries over the other record, or drops it if it is settled",
        messages: &[
            A,
            delivered(B, 0),
            MessageSpec { sends: &[3], ..C },
            MessageSpec { name: "D", deliveries: 0, ..B },
        ],
        placements: EMBEDDED,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "carried on", "dropped"],
        states: 532_613,
        ..PLAIN
    },
    Scenario {
        name: "embedded-deletion",
        shows: "a state that is deleted while records are embedded in its item",
        messages: &[A, delivered(B, 0), MessageSpec { handler: Handler::Deletes, ..C }],
        placements: EMBEDDED,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "carried on", "dropped"],
        states: 126_762,
        ..PLAIN
    },
    Scenario {
        name: "placements",
        shows: "separate and embedded records, of one message and of two, and of both timings",
        messages: &[A, delivered(B, 0), delivered(C, 1)],
        timings: EITHER,
        placements: BOTH,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "carried on", "dropped", "mixed"],
        states: 114_257,
        ..PLAIN
    },
    Scenario {
        name: "embedded-late-reads",
        shows: "states and their embedded records, read with eventual consistency",
        messages: &[A, delivered(B, 0), delivered(C, 1)],
        placements: BOTH,
        stale_reads: 1,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "carried on", "dropped", "mixed"],
        states: 53_226,
        ..PLAIN
    },
    Scenario {
        name: "embedded-lost-and-unknown",
        shows: "commits of embedded records that are late or only look lost",
        messages: &[A, delivered(B, 0), delivered(C, 1)],
        placements: EMBEDDED,
        faults: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "carried on", "dropped"],
        states: 190_956,
        ..PLAIN
    },
    Scenario {
        name: "id-again",
        shows: "an id that is used again after its entry expired, while its embedded record is still there or another message drops it",
        messages: &[MessageSpec { sends: &[], ..ID }, MessageSpec { deliveries: 2, ..C }],
        placements: BOTH,
        renewals: 1,
        reaches: &["resumed", "conflict", "duplicate", "renewed", "carried on", "dropped"],
        states: 321_579,
        ..PLAIN
    },
    Scenario {
        name: "id-again-swept",
        shows: "a sweep that finds the embedded record of an id after its entry expired and before the id is used again",
        messages: &[MessageSpec { sends: &[], ..ID }],
        placements: EMBEDDED,
        renewals: 1,
        sweeps: 1,
        reaches: &["resumed", "duplicate", "renewed", "swept"],
        states: 890,
        ..PLAIN
    },
    Scenario {
        name: "vanished-tombstone",
        shows: "a separate record of a state that was deleted and whose tombstone has expired",
        messages: &[
            MessageSpec { sends: &[], deliveries: 3, ..A },
            MessageSpec { handler: Handler::Deletes, ..delivered(C, 1) },
        ],
        placements: BOTH,
        expired_tombstones: 1,
        reaches: &["resumed", "conflict", "duplicate", "vanished"],
        states: 98_947,
        ..PLAIN
    },
    Scenario {
        name: "embedded-dead-letter",
        shows: "a dead-letter message with an embedded record, moved back or finished while workers race; some of them park it if its payload seems lost",
        messages: &[A, delivered(B, 0)],
        placements: BOTH,
        when_missing: &[WhenMissing::Park, WhenMissing::Acknowledge],
        dead_letters: 1,
        redrives: 1,
        finishes: 1,
        reaches: &["resumed", "duplicate", "orphan", "stranded", "left", "parked"],
        states: 76_267,
        ..PLAIN
    },
    Scenario {
        name: "forgotten",
        shows: "a committed message that is purged, and a sweep that drops its embedded record when no copy can be delivered any more",
        messages: &[MessageSpec { sends: &[], ..A }, delivered(C, 1)],
        placements: EMBEDDED,
        faults: 1,
        purges: 1,
        drops: 1,
        reaches: &["resumed", "conflict", "duplicate", "purged", "forgotten"],
        states: 24_255,
        ..PLAIN
    },
    Scenario {
        name: "embedded-sweep",
        shows: "a committed message that is purged, and sweeps that finish its record wherever it is",
        messages: &[A, delivered(B, 0)],
        placements: BOTH,
        faults: 1,
        purges: 1,
        sweeps: 2,
        reaches: &["resumed", "duplicate", "orphan", "purged", "swept", "left"],
        states: 199_699,
        ..PLAIN
    },
];
