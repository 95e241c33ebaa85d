//! Actions: the transitions of the model.

use cloakroom::protocol::{CheckIn, WhenMissing};

use crate::model::{scenario::Placement, step::StepMode};

/// A transition of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Action {
    /// Delivers copies of messages to a new worker: one, or several that it processes together.
    Deliver {
        fold: Vec<(u8, u8)>,
        check_in: CheckIn,
        when_missing: WhenMissing,
    },
    Work {
        worker: usize,
        position: usize,
        mode: StepMode,
        placement: Placement,
    },
    /// A late commit reaches the store.
    Land {
        late: usize,
    },
    Recovered {
        message: u8,
        copy: u8,
    },
    Redrive {
        message: u8,
        copy: u8,
    },
    Finish {
        message: u8,
        copy: u8,
    },
    Purge {
        message: u8,
        copy: u8,
    },
    /// The deduplication window of an id ends: its entry expires.
    Expire {
        message: u8,
    },
    /// The id is used again for another message, after its deduplication window has ended.
    Renew {
        message: u8,
    },
    ExpireTombstone {
        entity: u8,
    },
    Sweep {
        message: u8,
    },
    /// A sweep drops an embedded record, because its message can no longer be delivered.
    Drop {
        message: u8,
    },
}
