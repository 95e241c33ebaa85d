//! What there is to explore: the pieces of which scenarios are made.

mod large;
mod small;

use cloakroom::protocol::{CheckIn, WhenMissing};

pub use large::LARGE;
pub use small::SMALL;

use super::scenario::{Handler, Identity, Message, Placement, Scenario};

const A: Message = Message {
    name: "A",
    entity: 0,
    identity: Identity::Claim,
    handler: Handler::Sends,
    sends: &[1],
    is_first: true,
    deliveries: 2,
    namesake: None,
};

/// What A sends, to another entity.
const B: Message = Message { name: "B", entity: 1, sends: &[], is_first: false, ..A };

const BEFORE: &[CheckIn] = &[CheckIn::BeforeCommit];
const AFTER: &[CheckIn] = &[CheckIn::AfterCommit];
const EITHER: &[CheckIn] = &[CheckIn::BeforeCommit, CheckIn::AfterCommit];

const EMBEDDED: &[Placement] = &[Placement::Embedded];
const BOTH: &[Placement] = &[Placement::Separate, Placement::Embedded];

const PLAIN: Scenario = Scenario {
    name: "",
    shows: "",
    messages: &[A, B],
    timings: BEFORE,
    placements: &[Placement::Separate],
    fold_max: 1,
    when_missing: &[WhenMissing::Acknowledge],
    stale_reads: 0,
    faults: 0,
    dead_letters: 0,
    redrives: 0,
    finishes: 0,
    purges: 0,
    renewals: 0,
    expired_tombstones: 0,
    sweeps: 0,
    given_up: 0,
    drops: 0,
    reaches: &["resumed", "conflict", "duplicate", "orphan"],
    states: 0,
};

const fn delivered(message: Message, deliveries: u8) -> Message {
    Message { deliveries, ..message }
}

const ID: Message = Message { identity: Identity::Id, ..A };

const RETAINED: Message = Message { identity: Identity::Retained, ..A };

/// Two messages to one entity with the same id, under claims of their own.
const ONE_ID: &[Message] = &[Message { sends: &[], ..A }, Message { namesake: Some(0), ..delivered(C, 1) }];

/// Another message to the entity of A.
const C: Message = Message { name: "C", sends: &[], ..A };
