//! What provisioning does, as data.

use std::{collections::BTreeMap, fmt};

use serde::Serialize;

/// What is to be done, in order. Displays as one line for each change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Plan {
    /// The changes; none if everything is as it is wanted.
    pub changes: Vec<Change>,
}

impl Plan {
    /// Whether nothing is to be done.
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
    /// The table is made.
    CreateTable {
        /// Its name.
        table: String,
    },
    /// Time to live is turned on.
    ExpireItems {
        /// The table's name.
        table: String,
    },
    /// Point-in-time recovery is turned on.
    KeepRecoverable {
        /// The table's name.
        table: String,
    },
    /// The bucket is made.
    CreateBucket {
        /// Its name.
        bucket: String,
    },
    /// All four blocks of public access are turned on.
    BlockPublicAccess {
        /// The bucket's name.
        bucket: String,
    },
    /// The lifecycle rule is put.
    ExpirePayloads {
        /// The bucket's name.
        bucket: String,
        /// After how many days objects expire.
        days: u32,
    },
    /// A queue is made.
    CreateQueue {
        /// Its name in SQS.
        queue: String,
    },
    /// Attributes of a queue are changed.
    SetQueueAttributes {
        /// Its name in SQS.
        queue: String,
        /// By the name of the attribute.
        attributes: BTreeMap<String, AttributeChange>,
    },
}

/// An attribute of a queue that is not as it is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct AttributeChange {
    /// What it is now; `None` if it is not set.
    pub from: Option<String>,
    /// What it will be.
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
