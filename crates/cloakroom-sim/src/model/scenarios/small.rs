//! What every `cargo test` explores.

use cloakroom::protocol::WhenMissing;

use super::{A, AFTER, B, BOTH, C, EITHER, EMBEDDED, ID, PLAIN, RETAINED, delivered};
use crate::model::{Handler, Identity, Message, Scenario};

/// What `cargo test` explores.
pub const SMALL: &[Scenario] = &[
    Scenario {
        name: "before-commit",
        shows: "a message and what it sends, claims stored with the commit",
        messages: &[delivered(A, 3), B],
        states: 365_780,
        ..PLAIN
    },
    Scenario {
        name: "after-commit",
        shows: "a message and what it sends, claims stored after the commit",
        messages: &[A, B],
        timings: AFTER,
        states: 25_203,
        ..PLAIN
    },
    Scenario {
        name: "id-before-commit",
        shows: "a message that carries only its id, and leaves a dedupe entry",
        messages: &[delivered(ID, 3), delivered(B, 1)],
        states: 29_036,
        ..PLAIN
    },
    Scenario {
        name: "id-after-commit",
        shows: "the same, with claims stored after the commit",
        messages: &[delivered(ID, 3), delivered(B, 1)],
        timings: AFTER,
        states: 67_306,
        ..PLAIN
    },
    Scenario {
        name: "deployment",
        shows: "workers of both timings at work on one message",
        messages: &[delivered(A, 2), B],
        timings: EITHER,
        states: 230_277,
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
        states: 581_294,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "withdrawn"],
        ..PLAIN
    },
    Scenario {
        name: "fan-out",
        shows: "a message to two subscribers, each with a claim of its own",
        messages: &[Message { sends: &[1, 2], ..A }, B, Message { name: "C", entity: 2, deliveries: 1, ..B }],
        states: 158_617,
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
        states: 195_792,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "withdrawn"],
        ..PLAIN
    },
    Scenario {
        name: "unknown-outcomes",
        shows: "commits that apply late, or never, and own successes that look like a conflict",
        messages: &[A, delivered(B, 1)],
        faults: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan"],
        states: 40_013,
        ..PLAIN
    },
    Scenario {
        name: "unknown-outcomes-after-commit",
        shows: "the same, with claims stored after the commit",
        messages: &[A, delivered(B, 1)],
        timings: AFTER,
        faults: 2,
        states: 24_425,
        ..PLAIN
    },
    Scenario {
        name: "stale-states",
        shows: "states read with eventual consistency, which is safe: the commit is conditional on the version",
        messages: &[A, delivered(B, 0), Message { name: "C", sends: &[], deliveries: 1, ..A }],
        stale_reads: 2,
        states: 18_074,
        ..PLAIN
    },
    Scenario {
        name: "withdrawal",
        shows: "claims of lost commits, withdrawn while other commits are late or look lost and are not",
        messages: &[A, delivered(B, 0), Message { name: "C", sends: &[], deliveries: 1, ..A }],
        faults: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "withdrawn"],
        states: 492_950,
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
        states: 70_750,
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
        states: 37_192,
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
        states: 42_945,
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
        states: 78_824,
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
        states: 27_251,
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
        states: 278_140,
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
        states: 572_956,
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
        states: 128_452,
        ..PLAIN
    },
    Scenario {
        name: "embedded",
        shows: "records embedded in the state's item",
        messages: &[delivered(A, 3), B],
        placements: EMBEDDED,
        states: 199_205,
        ..PLAIN
    },
    Scenario {
        name: "id-embedded",
        shows: "the same for a message that carries only its id",
        messages: &[delivered(ID, 3), delivered(B, 1)],
        placements: EMBEDDED,
        states: 19_095,
        ..PLAIN
    },
    Scenario {
        name: "retained",
        shows: "records that are kept as the proof that their messages were processed, of workers of both timings",
        messages: &[RETAINED, B],
        timings: EITHER,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "retained"],
        states: 193_010,
        ..PLAIN
    },
    Scenario {
        name: "embedded-two-on-one",
        shows: "two messages whose records meet in one item: the other's is carried on, or dropped when it is settled",
        messages: &[A, delivered(B, 0), Message { sends: &[3], ..C }, Message { name: "D", deliveries: 0, ..B }],
        placements: EMBEDDED,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "withdrawn", "carried on", "dropped"],
        states: 612_304,
        ..PLAIN
    },
    Scenario {
        name: "embedded-deletion",
        shows: "a state that is deleted while records are embedded in its item",
        messages: &[A, delivered(B, 0), Message { handler: Handler::Deletes, ..C }],
        placements: EMBEDDED,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "withdrawn", "carried on", "dropped"],
        states: 200_395,
        ..PLAIN
    },
    Scenario {
        name: "placements",
        shows: "records beside the state and embedded, of one message as of two, and of both timings",
        messages: &[A, delivered(B, 0), delivered(C, 1)],
        timings: EITHER,
        placements: BOTH,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "carried on", "dropped", "mixed"],
        states: 115_453,
        ..PLAIN
    },
    Scenario {
        name: "embedded-late-reads",
        shows: "states, with the records embedded in them, read with eventual consistency; and commits with untrue answers",
        messages: &[A, delivered(B, 0), delivered(C, 1)],
        placements: BOTH,
        stale_reads: 1,
        faults: 1,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "withdrawn", "carried on", "dropped", "mixed"],
        states: 653_649,
        ..PLAIN
    },
    Scenario {
        name: "embedded-withdrawal",
        shows: "claims of lost commits, withdrawn amid unknown outcomes of embedded records",
        messages: &[A, delivered(B, 0), delivered(C, 1)],
        placements: EMBEDDED,
        faults: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "withdrawn", "carried on", "dropped"],
        states: 467_802,
        ..PLAIN
    },
    Scenario {
        name: "embedded-dead-letter",
        shows: "a dead letter whose record is embedded, put back or finished while workers race, of whom some park what looks like a lost payload",
        messages: &[A, delivered(B, 0)],
        placements: BOTH,
        when_missing: &[WhenMissing::Park, WhenMissing::Acknowledge],
        dead_letters: 1,
        redrives: 1,
        finishes: 1,
        reaches: &["resumed", "duplicate", "orphan", "stranded", "left", "parked"],
        states: 51_140,
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
        states: 218_289,
        ..PLAIN
    },
    Scenario {
        name: "fold",
        shows: "two messages of one entity, committed together or by one",
        messages: &[A, delivered(B, 0), C],
        fold_max: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "withdrawn", "folded"],
        states: 208_902,
        ..PLAIN
    },
    Scenario {
        name: "fold-embedded",
        shows: "the same with embedded records, and a message that carries only its id",
        messages: &[A, delivered(B, 0), Message { identity: Identity::Id, ..C }],
        placements: EMBEDDED,
        fold_max: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "withdrawn", "carried on", "dropped", "folded"],
        states: 209_878,
        ..PLAIN
    },
    Scenario {
        name: "fold-after-commit",
        shows: "the same with claims stored after the commit",
        messages: &[A, delivered(B, 0), C],
        timings: AFTER,
        fold_max: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "folded"],
        states: 196_261,
        ..PLAIN
    },
    Scenario {
        name: "fold-unknown-outcomes",
        shows: "folds whose commits apply late, or never, or look lost and are not; in both placements",
        messages: &[A, delivered(B, 0), delivered(C, 1)],
        placements: BOTH,
        fold_max: 2,
        faults: 1,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "withdrawn", "mixed", "folded"],
        states: 337_655,
        ..PLAIN
    },
    Scenario {
        name: "fold-to-itself",
        shows: "a message to the entity that sends it: the two records meet, and so may the two messages in a fold",
        messages: &[A, Message { entity: 0, ..B }],
        placements: BOTH,
        fold_max: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "carried on", "dropped", "mixed"],
        states: 105_132,
        ..PLAIN
    },
    Scenario {
        name: "fold-rejection",
        shows: "a message that is accepted only after the other, be that in the same fold, and rejected alone",
        messages: &[Message { handler: Handler::RejectsUnlessAfter(2), ..A }, delivered(B, 0), delivered(C, 2)],
        placements: EMBEDDED,
        fold_max: 2,
        redrives: 1,
        reaches: &["resumed", "conflict", "duplicate", "parked", "folded"],
        states: 68_196,
        ..PLAIN
    },
    Scenario {
        name: "fold-deletion",
        shows: "a state that is deleted in a fold, before or after another message changes it",
        messages: &[A, delivered(B, 0), Message { handler: Handler::Deletes, ..C }],
        placements: EMBEDDED,
        fold_max: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "withdrawn", "carried on", "dropped", "folded"],
        states: 220_098,
        ..PLAIN
    },
    Scenario {
        name: "fold-of-three",
        shows: "three messages, together, two and one, or alone",
        messages: &[Message { sends: &[], ..A }, delivered(C, 1), Message { name: "D", ..delivered(C, 1) }],
        placements: EMBEDDED,
        fold_max: 3,
        reaches: &["resumed", "conflict", "duplicate", "carried on", "dropped", "folded"],
        states: 136_228,
        ..PLAIN
    },
];
