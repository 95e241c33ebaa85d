//! The limits of a fleet.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A limit of a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// One commit at a time: the share of time in which the hottest entity had a message in flight.
    EntityTurns,
    /// Write units of the hottest entity: all of its items are in one physical partition, which
    /// takes 1,000 per second.
    EntityUnits,
    /// Write units of the busiest physical partition of the table: 1,000 per second.
    TableWrites,
    /// Read units of the busiest physical partition of the table: 3,000 per second.
    TableReads,
    /// Payloads written and deleted: 3,500 requests per second for a prefix on S3, 1,000 write
    /// units for a partition of a table.
    PayloadWrites,
    /// Payloads read: 5,500 requests per second for a prefix on S3, 3,000 read units for a
    /// partition of a table.
    PayloadReads,
    /// Messages received and not yet deleted: 120,000 for a standard queue, 20,000 for a FIFO
    /// queue.
    InFlight,
    /// Requests of one kind to a FIFO queue for one message group: 300 per second, each for up to
    /// ten messages.
    GroupRequests,
    /// The messages that all workers can process at a time.
    Workers,
    /// Receives of standard queues: the share of time in which more messages waited than the
    /// workers take with their next receives, and the workers had capacity for them.
    Receives,
}

impl Limit {
    /// All limits.
    pub const ALL: [Self; 10] = [
        Self::EntityTurns,
        Self::EntityUnits,
        Self::TableWrites,
        Self::TableReads,
        Self::PayloadWrites,
        Self::PayloadReads,
        Self::InFlight,
        Self::GroupRequests,
        Self::Workers,
        Self::Receives,
    ];

    /// The name in tables and charts.
    pub const fn name(self) -> &'static str {
        match self {
            Self::EntityTurns => "entity turns",
            Self::EntityUnits => "entity units",
            Self::TableWrites => "table writes",
            Self::TableReads => "table reads",
            Self::PayloadWrites => "payload writes",
            Self::PayloadReads => "payload reads",
            Self::InFlight => "in flight",
            Self::GroupRequests => "group requests",
            Self::Workers => "workers",
            Self::Receives => "receives",
        }
    }

    /// What to do about the limit.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::EntityTurns => "fold more messages into one commit, or split the entity",
            Self::EntityUnits => "fold, embed the record, or split the entity: no table can split an item collection",
            Self::TableWrites | Self::TableReads => "warm the table for more throughput, or wait until it splits",
            Self::PayloadWrites | Self::PayloadReads => {
                "have the payload store divided in advance, or wait until it splits"
            }
            Self::InFlight => "use more queues, or make the processing of a message shorter",
            Self::GroupRequests => "use a standard queue, or more groups",
            Self::Workers => "run more workers, or raise `in_flight_max`",
            Self::Receives => {
                "run more workers, which receive ten messages at a time; or wait, if workers pause after they were throttled"
            }
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
