//! The parts that scenarios are made of.

use cloakroom::protocol::{CheckIn, WhenMissing};

use crate::model::scenario::{Handler, Identity, MessageSpec, Placement, Scenario};

pub(crate) const A: MessageSpec = MessageSpec {
    name: "A",
    entity: 0,
    identity: Identity::Claim,
    handler: Handler::Sends,
    sends: &[1],
    is_first: true,
    deliveries: 2,
    namesake: None,
};

/// The message that A sends, to another entity.
pub(crate) const B: MessageSpec = MessageSpec { name: "B", entity: 1, sends: &[], is_first: false, ..A };

pub(crate) const BEFORE: &[CheckIn] = &[CheckIn::BeforeCommit];
pub(crate) const AFTER: &[CheckIn] = &[CheckIn::AfterCommit];
pub(crate) const EITHER: &[CheckIn] = &[CheckIn::BeforeCommit, CheckIn::AfterCommit];

pub(crate) const EMBEDDED: &[Placement] = &[Placement::Embedded];
pub(crate) const BOTH: &[Placement] = &[Placement::Separate, Placement::Embedded];

pub(crate) const PLAIN: Scenario = Scenario {
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

pub(crate) const fn delivered(message: MessageSpec, deliveries: u8) -> MessageSpec {
    MessageSpec { deliveries, ..message }
}

pub(crate) const ID: MessageSpec = MessageSpec { identity: Identity::Id, ..A };

pub(crate) const RETAINED: MessageSpec = MessageSpec { identity: Identity::Retained, ..A };

/// Two messages to one entity that have the same id and different claims.
pub(crate) const ONE_ID: &[MessageSpec] =
    &[MessageSpec { sends: &[], ..A }, MessageSpec { namesake: Some(0), ..delivered(C, 1) }];

/// Another message to the entity of A.
pub(crate) const C: MessageSpec = MessageSpec { name: "C", sends: &[], ..A };
