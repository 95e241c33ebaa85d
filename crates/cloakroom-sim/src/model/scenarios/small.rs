//! What every `cargo test` explores.

use cloakroom::protocol::WhenMissing;

use super::{A, AFTER, B, BOTH, C, EITHER, EMBEDDED, ID, ONE_ID, PLAIN, RETAINED, delivered};
use crate::model::{Handler, Identity, Message, Scenario};

/// What `cargo test` explores.
pub const SMALL: &[Scenario] = &[
    Scenario {
        name: "before-commit",
        shows: "a message and what it sends, claims stored with the commit",
        messages: &[delivered(A, 3), B],
        states: 268_798,
        ..PLAIN
    },
    Scenario {
        name: "after-commit",
        shows: "a message and what it sends, claims stored after the commit",
        messages: &[A, B],
        timings: AFTER,
        states: 12_512,
        ..PLAIN
    },
    Scenario {
        name: "id-before-commit",
        shows: "a message that carries only its id, and leaves a dedupe entry",
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
        shows: "workers of both timings at work on one message",
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
        messages: &[Message { sends: &[1, 2], ..A }, B, Message { name: "C", entity: 2, deliveries: 1, ..B }],
        states: 120_471,
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
        states: 111_628,
        reaches: &["resumed", "conflict", "duplicate", "orphan"],
        ..PLAIN
    },
    Scenario {
        name: "unknown-outcomes",
        shows: "commits that apply late, or never, and own successes that look like a conflict",
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
        messages: &[A, delivered(B, 0), Message { name: "C", sends: &[], deliveries: 1, ..A }],
        stale_reads: 2,
        states: 16_177,
        ..PLAIN
    },
    Scenario {
        name: "lost-and-unknown",
        shows: "two messages on one entity, while other commits are late or look lost and are not",
        messages: &[A, delivered(B, 0), Message { name: "C", sends: &[], deliveries: 1, ..A }],
        faults: 2,
        states: 183_690,
        ..PLAIN
    },
    Scenario {
        name: "one-id",
        shows: "two messages with one id and different claims, one of them purged, and sweeps, in both placements",
        messages: ONE_ID,
        placements: BOTH,
        purges: 1,
        sweeps: 1,
        reaches: &["resumed", "conflict", "duplicate", "left", "purged", "swept"],
        states: 227_981,
        ..PLAIN
    },
    Scenario {
        name: "one-id-dead-letter",
        shows: "the same two messages, one of them in the dead-letter queue, put back or finished",
        messages: ONE_ID,
        placements: EMBEDDED,
        dead_letters: 1,
        redrives: 1,
        finishes: 1,
        reaches: &["resumed", "conflict", "duplicate", "stranded", "left"],
        states: 147_297,
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
        states: 31_528,
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
        states: 36_792,
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
        states: 47_380,
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
        states: 89_839,
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
        states: 33_625,
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
        states: 275_456,
        ..PLAIN
    },
    Scenario {
        name: "sweep",
        shows: "a committed message that is purged, and sweeps that finish its record while workers race",
        messages: &[A, delivered(B, 0)],
        timings: AFTER,
        purges: 1,
        sweeps: 2,
        reaches: &["resumed", "duplicate", "orphan", "purged", "swept", "left"],
        states: 149_886,
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
        states: 100_256,
        ..PLAIN
    },
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
        shows: "records that are kept as the proof that their messages were processed, of workers of both timings",
        messages: &[RETAINED, B],
        timings: EITHER,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "retained"],
        states: 171_400,
        ..PLAIN
    },
    Scenario {
        name: "embedded-two-on-one",
        shows: "two messages whose records meet in one item: the other's is carried on, or dropped when it is settled",
        messages: &[A, delivered(B, 0), Message { sends: &[3], ..C }, Message { name: "D", deliveries: 0, ..B }],
        placements: EMBEDDED,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "carried on", "dropped"],
        states: 532_613,
        ..PLAIN
    },
    Scenario {
        name: "embedded-deletion",
        shows: "a state that is deleted while records are embedded in its item",
        messages: &[A, delivered(B, 0), Message { handler: Handler::Deletes, ..C }],
        placements: EMBEDDED,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "carried on", "dropped"],
        states: 126_762,
        ..PLAIN
    },
    Scenario {
        name: "placements",
        shows: "records beside the state and embedded, of one message as of two, and of both timings",
        messages: &[A, delivered(B, 0), delivered(C, 1)],
        timings: EITHER,
        placements: BOTH,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "carried on", "dropped", "mixed"],
        states: 114_257,
        ..PLAIN
    },
    Scenario {
        name: "embedded-late-reads",
        shows: "states, with the records embedded in them, read with eventual consistency",
        messages: &[A, delivered(B, 0), delivered(C, 1)],
        placements: BOTH,
        stale_reads: 1,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "carried on", "dropped", "mixed"],
        states: 53_226,
        ..PLAIN
    },
    Scenario {
        name: "embedded-lost-and-unknown",
        shows: "commits of embedded records that are late, or look lost and are not",
        messages: &[A, delivered(B, 0), delivered(C, 1)],
        placements: EMBEDDED,
        faults: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "carried on", "dropped"],
        states: 190_956,
        ..PLAIN
    },
    Scenario {
        name: "id-again",
        shows: "an id that comes again when its entry has expired, while its embedded record lies there or another message drops it",
        messages: &[Message { sends: &[], ..ID }, Message { deliveries: 2, ..C }],
        placements: BOTH,
        renewals: 1,
        reaches: &["resumed", "conflict", "duplicate", "renewed", "carried on", "dropped"],
        states: 321_579,
        ..PLAIN
    },
    Scenario {
        name: "id-again-swept",
        shows: "a sweep that finds the embedded record of an id whose entry has expired, before the id comes again",
        messages: &[Message { sends: &[], ..ID }],
        placements: EMBEDDED,
        renewals: 1,
        sweeps: 1,
        reaches: &["resumed", "duplicate", "renewed", "swept"],
        states: 890,
        ..PLAIN
    },
    Scenario {
        name: "vanished-tombstone",
        shows: "a record beside a state that was deleted, and whose tombstone has expired",
        messages: &[
            Message { sends: &[], deliveries: 3, ..A },
            Message { handler: Handler::Deletes, ..delivered(C, 1) },
        ],
        placements: BOTH,
        expired_tombstones: 1,
        reaches: &["resumed", "conflict", "duplicate", "vanished"],
        states: 98_947,
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
        states: 76_267,
        ..PLAIN
    },
    Scenario {
        name: "forgotten",
        shows: "a committed message that is purged, and a sweep that drops its embedded record when no copy of it can come any more",
        messages: &[Message { sends: &[], ..A }, delivered(C, 1)],
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
    Scenario {
        name: "deferral",
        shows: "a message that is deferred until another one was processed, while workers race and commits have untrue answers",
        messages: &[Message { handler: Handler::DefersUnlessAfter(2), ..A }, delivered(B, 0), delivered(C, 1)],
        faults: 1,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "deferred"],
        states: 10_451,
        ..PLAIN
    },
    Scenario {
        name: "id-deferral",
        shows: "a message that carries only its id, deferred until another one was processed",
        messages: &[
            Message { handler: Handler::DefersUnlessAfter(2), ..delivered(ID, 3) },
            delivered(B, 0),
            delivered(C, 1),
        ],
        placements: BOTH,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "deferred"],
        states: 138_810,
        ..PLAIN
    },
    Scenario {
        name: "sent-again",
        shows: "workers that give a message up in the middle of their work, and send it again",
        messages: &[A, delivered(B, 1)],
        timings: EITHER,
        given_up: 1,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "deferred"],
        states: 44_143,
        ..PLAIN
    },
    Scenario {
        name: "fold-deferral",
        shows: "a message that is deferred until another one was processed, alone or in a fold behind one that was accepted",
        messages: &[
            Message { handler: Handler::DefersUnlessAfter(1), sends: &[], ..A },
            delivered(C, 1),
            Message { name: "D", ..delivered(C, 1) },
        ],
        placements: EMBEDDED,
        fold_max: 2,
        reaches: &["conflict", "duplicate", "deferred", "folded"],
        states: 70_559,
        ..PLAIN
    },
    Scenario {
        name: "fold",
        shows: "two messages of one entity, committed together or by one",
        messages: &[A, delivered(B, 0), C],
        fold_max: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "folded"],
        states: 122_872,
        ..PLAIN
    },
    Scenario {
        name: "fold-embedded",
        shows: "the same with embedded records, and a message that carries only its id",
        messages: &[A, delivered(B, 0), Message { identity: Identity::Id, ..C }],
        placements: EMBEDDED,
        fold_max: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "carried on", "dropped", "folded"],
        states: 136_830,
        ..PLAIN
    },
    Scenario {
        name: "fold-after-commit",
        shows: "the same with claims stored after the commit",
        messages: &[A, delivered(B, 0), C],
        timings: AFTER,
        fold_max: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "folded"],
        states: 82_349,
        ..PLAIN
    },
    Scenario {
        name: "fold-unknown-outcomes",
        shows: "folds whose commits apply late, or never, or look lost and are not; in both placements",
        messages: &[A, delivered(B, 0), delivered(C, 1)],
        placements: BOTH,
        fold_max: 2,
        faults: 1,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "mixed", "folded", "thinned"],
        states: 230_572,
        ..PLAIN
    },
    Scenario {
        name: "fold-to-itself",
        shows: "a message to the entity that sends it: the two records meet, and so may the two messages in a fold",
        messages: &[A, Message { entity: 0, ..B }],
        placements: BOTH,
        fold_max: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "carried on", "dropped", "mixed"],
        states: 85_865,
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
        states: 54_063,
        ..PLAIN
    },
    Scenario {
        name: "fold-deletion",
        shows: "a state that is deleted in a fold, before or after another message changes it",
        messages: &[A, delivered(B, 0), Message { handler: Handler::Deletes, ..C }],
        placements: EMBEDDED,
        fold_max: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "carried on", "dropped", "folded"],
        states: 147_052,
        ..PLAIN
    },
    Scenario {
        name: "fold-of-three",
        shows: "three messages, together, two and one, or alone",
        messages: &[Message { sends: &[], ..A }, delivered(C, 1), Message { name: "D", ..delivered(C, 1) }],
        placements: EMBEDDED,
        fold_max: 3,
        reaches: &["resumed", "conflict", "duplicate", "carried on", "dropped", "folded"],
        states: 90_601,
        ..PLAIN
    },
];
