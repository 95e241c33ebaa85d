//! Scenarios about deferrals and folds.

use crate::model::{
    scenario::{Handler, Identity, MessageSpec, Scenario},
    scenarios::parts::{A, AFTER, B, BOTH, C, EITHER, EMBEDDED, ID, PLAIN, delivered},
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "deferral",
        shows: "a message that is deferred until another one was processed, with racing workers and untrue responses to commits",
        messages: &[MessageSpec { handler: Handler::DefersUnlessAfter(2), ..A }, delivered(B, 0), delivered(C, 1)],
        faults: 1,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "deferred"],
        states: 10_451,
        ..PLAIN
    },
    Scenario {
        name: "id-deferral",
        shows: "a message that carries only its id, deferred until another one was processed",
        messages: &[
            MessageSpec { handler: Handler::DefersUnlessAfter(2), ..delivered(ID, 3) },
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
        shows: "workers that give up a message in the middle of their work and send it again",
        messages: &[A, delivered(B, 1)],
        timings: EITHER,
        given_up: 1,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "deferred"],
        states: 44_143,
        ..PLAIN
    },
    Scenario {
        name: "fold-deferral",
        shows: "a message that is deferred until another one was processed, alone or in a fold after an accepted one",
        messages: &[
            MessageSpec { handler: Handler::DefersUnlessAfter(1), sends: &[], ..A },
            delivered(C, 1),
            MessageSpec { name: "D", ..delivered(C, 1) },
        ],
        placements: EMBEDDED,
        fold_max: 2,
        reaches: &["conflict", "duplicate", "deferred", "folded"],
        states: 70_559,
        ..PLAIN
    },
    Scenario {
        name: "fold",
        shows: "two messages of one entity, committed together or one by one",
        messages: &[A, delivered(B, 0), C],
        fold_max: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "folded"],
        states: 122_872,
        ..PLAIN
    },
    Scenario {
        name: "fold-embedded",
        shows: "the same with embedded records, and a message that carries only its id",
        messages: &[A, delivered(B, 0), MessageSpec { identity: Identity::Id, ..C }],
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
        shows: "folds whose commits apply late, apply never, or only look lost, in both placements",
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
        shows: "a message to the entity that sends it: the two records share an item, and the two messages may share a fold",
        messages: &[A, MessageSpec { entity: 0, ..B }],
        placements: BOTH,
        fold_max: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "carried on", "dropped", "mixed"],
        states: 85_865,
        ..PLAIN
    },
    Scenario {
        name: "fold-rejection",
        shows: "a message that is rejected alone and accepted after the other one, also in the same fold",
        messages: &[MessageSpec { handler: Handler::RejectsUnlessAfter(2), ..A }, delivered(B, 0), delivered(C, 2)],
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
        messages: &[A, delivered(B, 0), MessageSpec { handler: Handler::Deletes, ..C }],
        placements: EMBEDDED,
        fold_max: 2,
        reaches: &["resumed", "conflict", "duplicate", "orphan", "carried on", "dropped", "folded"],
        states: 147_052,
        ..PLAIN
    },
    Scenario {
        name: "fold-of-three",
        shows: "three messages: all together, two together, or one by one",
        messages: &[MessageSpec { sends: &[], ..A }, delivered(C, 1), MessageSpec { name: "D", ..delivered(C, 1) }],
        placements: EMBEDDED,
        fold_max: 3,
        reaches: &["resumed", "conflict", "duplicate", "carried on", "dropped", "folded"],
        states: 90_601,
        ..PLAIN
    },
];
