//! The changes of provisioning, as data.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

/// The changes to make, in order. `Display` writes one line for each change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The changes. Empty if there is nothing to do.
    pub changes: Vec<Change>,
}

impl Plan {
    /// Returns whether there is nothing to do.
    pub const fn is_empty(&self) -> bool {
        self.changes.is_empty()
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.changes.iter().try_for_each(|change| writeln!(f, "{change}"))
    }
}

/// One change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// Creates the table.
    CreateTable {
        /// The table's name.
        table: String,
    },
    /// Enables time to live.
    ExpireItems {
        /// The table's name.
        table: String,
    },
    /// Enables point-in-time recovery.
    KeepRecoverable {
        /// The table's name.
        table: String,
    },
    /// Creates the bucket.
    CreateBucket {
        /// The bucket's name.
        bucket: String,
    },
    /// Enables all four blocks of public access.
    BlockPublicAccess {
        /// The bucket's name.
        bucket: String,
    },
    /// Sets the lifecycle rule.
    ExpirePayloads {
        /// The bucket's name.
        bucket: String,
        /// After how many days objects expire.
        days: u32,
    },
    /// Creates a queue.
    CreateQueue {
        /// The queue's name in SQS.
        queue: String,
    },
    /// Changes attributes of a queue.
    SetQueueAttributes {
        /// The queue's name in SQS.
        queue: String,
        /// The changed attributes, by their names.
        attributes: BTreeMap<String, AttributeChange>,
    },
}

/// The change of a queue's attribute.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttributeChange {
    /// The current value. `None` if the attribute is not set.
    pub from: Option<String>,
    /// The new value.
    pub to: String,
}

impl Change {
    pub(super) const fn creates(&self) -> bool {
        match self {
            Self::CreateTable { .. } | Self::CreateBucket { .. } | Self::CreateQueue { .. } => true,
            Self::ExpireItems { .. }
            | Self::KeepRecoverable { .. }
            | Self::BlockPublicAccess { .. }
            | Self::ExpirePayloads { .. }
            | Self::SetQueueAttributes { .. } => false,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CreateTable { table } => write!(f, "create table `{table}`"),
            Self::ExpireItems { table } => write!(f, "turn time to live on for table `{table}`"),
            Self::KeepRecoverable { table } => write!(f, "turn point-in-time recovery on for table `{table}`"),
            Self::CreateBucket { bucket } => write!(f, "create bucket `{bucket}`"),
            Self::BlockPublicAccess { bucket } => write!(f, "block public access to bucket `{bucket}`"),
            Self::ExpirePayloads { bucket, days } => {
                write!(f, "let the objects of bucket `{bucket}` expire after {days} days")
            }
            Self::CreateQueue { queue } => write!(f, "create queue `{queue}`"),
            Self::SetQueueAttributes { queue, attributes } => {
                write!(f, "set queue `{queue}`")?;
                attributes.iter().enumerate().try_for_each(|(number, (name, AttributeChange { from, to }))| {
                    let from = from.as_deref().unwrap_or("nothing");
                    write!(f, "{} {name} from {from} to {to}", if number == 0 { ":" } else { "," })
                })
            }
        }
    }
}
