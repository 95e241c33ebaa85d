//! Scenarios about identities, rejections, dead-letter queues and sweeps.

use cloakroom::protocol::WhenMissing;

use crate::model::{
    scenario::{Handler, MessageSpec, Scenario},
    scenarios::parts::{A, AFTER, B, BOTH, EITHER, EMBEDDED, ID, ONE_ID, PLAIN, delivered},
};

pub(crate) const SCENARIOS: &[Scenario] = &[
    Scenario {
        name: "one-id",
        shows: "two messages with one id and different claims, one of which is purged, and sweeps, in both placements",
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
        shows: "the same two messages, one of which is in the dead-letter queue and is moved back or finished",
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
        shows: "a message that has an effect on one state and none on another",
        messages: &[
            MessageSpec { handler: Handler::SendsAfter(2), ..A },
            delivered(B, 0),
            MessageSpec { name: "C", sends: &[], ..A },
        ],
        states: 31_528,
        ..PLAIN
    },
    Scenario {
        name: "rejection",
        shows: "a message that is received too early, is parked, and is moved back",
        messages: &[
            MessageSpec { handler: Handler::RejectsUnlessAfter(2), deliveries: 3, ..A },
            delivered(B, 0),
            MessageSpec { name: "C", sends: &[], deliveries: 1, ..A },
        ],
        redrives: 2,
        reaches: &["resumed", "conflict", "duplicate", "parked"],
        states: 36_792,
        ..PLAIN
    },
    Scenario {
        name: "dead-letter",
        shows: "a message that is moved to the dead-letter queue at any time, and moved back or finished while workers race",
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
        shows: "a dead-letter message, a commit that applies late, and claims stored in the commit",
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
        shows: "a message that is parked while an earlier commit of it may still apply, and is moved back or finished",
        messages: &[MessageSpec { handler: Handler::MayReject, ..A }, delivered(B, 0)],
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
        shows: "deliveries that park a message whose payload seems lost",
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
];
