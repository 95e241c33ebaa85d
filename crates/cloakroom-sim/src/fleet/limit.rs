//! The limits that a fleet can come to.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What bounds a fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Limit {
    /// One commit at a time: the share of time in which the hottest entity had a message in hand.
    EntityTurns,
    /// Write units of the hottest entity: all of its items are in one physical partition, which takes 1,000 a second.
    EntityUnits,
    /// Write units of the busiest physical partition of the table: 1,000 a second.
    TableWrites,
    /// Read units of the busiest physical partition of the table: 3,000 a second.
    TableReads,
    /// Payloads written and deleted: 3,500 requests a second for a prefix on S3, 1,000 write units for a partition of a table.
    PayloadWrites,
    /// Payloads read: 5,500 requests a second for a prefix on S3, 3,000 read units for a partition of a table.
    PayloadReads,
    /// Messages received and not yet deleted: 120,000 for a standard queue, 20,000 for a FIFO queue.
    InFlight,
    /// Requests of one kind to a FIFO queue for one message group: 300 a second, each for up to ten messages.
    GroupRequests,
    /// Messages that all workers hold at a time.
    Workers,
    /// Receives: the share of time in which more messages waited than each worker takes with its next receive, and workers had room
    /// for them. On standard queues.
    Receives,
}

impl Limit {
    /// All of them.
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

    /// Its name in tables and pictures.
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

    /// What to do about it.
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::EntityTurns => "fold more messages into one commit, or divide the entity",
            Self::EntityUnits => "fold, embed the record, or divide the entity: no table can split an item collection",
            Self::TableWrites | Self::TableReads => "warm the table for more, or wait for it to split",
            Self::PayloadWrites | Self::PayloadReads => {
                "have the payload store divided beforehand, or wait for it to split"
            }
            Self::InFlight => "take more queues, or make work on a message shorter",
            Self::GroupRequests => "take a standard queue, or more groups",
            Self::Workers => "run more workers, or let each hold more messages",
            Self::Receives => {
                "run more workers, which receive ten messages at a time; or wait, if they hold back after they were throttled"
            }
        }
    }
}

impl fmt::Display for Limit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
