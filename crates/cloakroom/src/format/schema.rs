//! Every key and attribute name that is ever written, in one place.

use crate::format::{
    derived_id::derived_id,
    name::{Claim, MessageId},
};

/// A key that Cloakroom writes. Keys of records and entries contain the endpoint's name, because two
/// endpoints may share a table and a bucket, and may both receive the same message.
///
/// ```
/// use cloakroom::format::schema::Key;
///
/// let key = Key::Record { endpoint: "stock", message: &"m-1".into() };
/// assert_eq!(key.text(), "outbox#stock#m-1");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Key<'a> {
    /// Sort key of an entity's state: `state#<endpoint>`.
    State {
        /// The endpoint that owns the state.
        endpoint: &'a str,
    },
    /// Sort key of an outbox record: `outbox#<endpoint>#<message id>`.
    Record {
        /// The endpoint that processes the message.
        endpoint: &'a str,
        /// The incoming message.
        message: &'a MessageId,
    },
    /// Sort key of the count of a message's failures: `failed#<endpoint>#<message id>`.
    Failures {
        /// The endpoint whose handler failed.
        endpoint: &'a str,
        /// The incoming message.
        message: &'a MessageId,
    },
    /// Object key of a payload: `<claim>`. A claim is random from its first digit on, so that
    /// payloads spread over the partitions of a bucket.
    Payload {
        /// The claim.
        claim: &'a Claim,
    },
    /// Object key of a dedupe entry: `<8 digits of a hash>/<endpoint>/<message id>`, spread likewise.
    Entry {
        /// The endpoint that processed the message.
        endpoint: &'a str,
        /// The incoming message.
        message: &'a MessageId,
    },
}

impl<'a> Key<'a> {
    /// What [`Key::State`], [`Key::Record`] and [`Key::Failures`] write: whose state, record or count of failures an item of this sort key is. `None` for a
    /// handler's own item.
    ///
    /// ```
    /// use cloakroom::format::schema::{Kept, Key};
    ///
    /// assert_eq!(Key::kept("outbox#stock#m-1"), Some(Kept::Record { endpoint: "stock", message: "m-1".into() }));
    /// assert_eq!(Key::kept("line#1"), None);
    /// ```
    pub fn kept(sort_key: &'a str) -> Option<Kept<'a>> {
        if let Some(endpoint) = sort_key.strip_prefix(STATES) {
            return Some(Kept::State { endpoint });
        }
        // An endpoint has no `#` in its name; a message may have one in its id.
        let of = |prefix| sort_key.strip_prefix(prefix)?.split_once('#');
        if let Some((endpoint, message)) = of(FAILURES) {
            return Some(Kept::Failures { endpoint, message: MessageId::from(message) });
        }
        let (endpoint, message) = of(RECORDS)?;
        Some(Kept::Record { endpoint, message: MessageId::from(message) })
    }
}

/// Whose item it is; see [`Key::kept`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept<'a> {
    /// The state of this endpoint.
    State {
        /// The endpoint that owns the state.
        endpoint: &'a str,
    },
    /// How often a message of this endpoint has failed.
    Failures {
        /// The endpoint that processes the message.
        endpoint: &'a str,
        /// The incoming message.
        message: MessageId,
    },
    /// An outbox record of this endpoint.
    Record {
        /// The endpoint that processes the message.
        endpoint: &'a str,
        /// The incoming message.
        message: MessageId,
    },
}

const STATES: &str = "state#";
/// What the sort keys of all outbox records begin with.
pub const RECORDS: &str = "outbox#";
/// Not longer than that of records: a key that is short enough for a record is short enough for the count.
const FAILURES: &str = "failed#";

impl Key<'_> {
    /// The key as it is written.
    pub fn text(&self) -> String {
        match self {
            Self::State { endpoint } => [STATES, endpoint].concat(),
            Self::Record { endpoint, message } => [RECORDS, endpoint, "#", message.as_str()].concat(),
            Self::Failures { endpoint, message } => [FAILURES, endpoint, "#", message.as_str()].concat(),
            Self::Payload { claim } => claim.as_str().to_owned(),
            Self::Entry { endpoint, message } => {
                let hash = derived_id(&[endpoint, message.as_str()]).as_u128() >> 96;
                format!("{hash:08x}/{endpoint}/{message}")
            }
        }
    }
}

/// What the sort keys of all outbox records of this endpoint begin with.
pub fn records_of(endpoint: &str) -> String {
    [RECORDS, endpoint, "#"].concat()
}

/// Beginnings of sort keys that belong to Cloakroom; a handler's own items must not use them.
pub const RESERVED_SORT_KEYS: [&str; 3] = [STATES, RECORDS, FAILURES];

/// Attribute names of the items in a table.
pub mod attribute {
    /// Partition key.
    pub const PARTITION: &str = "pk";
    /// Sort key.
    pub const SORT: &str = "sk";
    /// Version of a state item.
    pub const VERSION: &str = "cloakroom_version";
    /// Set on a state item whose state was deleted: the tombstone that keeps the version.
    pub const DELETED: &str = "cloakroom_deleted";
    /// Seconds since 1970 after which DynamoDB may remove the item; the table's TTL attribute.
    pub const EXPIRES: &str = "cloakroom_expires";
    /// The encoded outbox record.
    pub const RECORD: &str = "cloakroom_record";
    /// Whether the record's messages have their claims.
    pub const CLAIMED: &str = "cloakroom_claimed";
    /// The records that are embedded in a state item: a map of texts by message id, or the same packed
    /// ([`placement`](crate::ports::placement)).
    pub const RECORDS: &str = "cloakroom_records";
    /// Set on a state item as long as no record of its endpoint was put beside it.
    pub const COMPLETE: &str = "cloakroom_complete";
    /// How often the handler of a message has failed.
    pub const FAILURES: &str = "cloakroom_failures";
    /// Digests of the claims of the messages that were committed to a state last.
    pub const RECENT: &str = "cloakroom_recent";
    /// Set on a handler's own item: the endpoint that may write it, or [`SHARED`].
    pub const OWNER: &str = "cloakroom_owner";
    /// The owner of an item that several endpoints share. No endpoint has a `#` in its name.
    pub const SHARED: &str = "#shared";
    /// Names that a state or an item of a handler must not use for its own attributes.
    pub const RESERVED: [&str; 12] =
        [PARTITION, SORT, VERSION, DELETED, EXPIRES, RECORD, CLAIMED, RECORDS, COMPLETE, FAILURES, RECENT, OWNER];
}

/// Attribute names of the items in a payload table. A claim's item has 24 bytes beside its body, so that a payload of 1,000 bytes
/// is written, and deleted, for one write unit.
pub mod payload_attribute {
    /// Partition key, binary: the 16 bytes of a claim; or `entry/` and the key of a dedupe entry, as text.
    pub const KEY: &str = "k";
    /// The payload, binary. Entries have none.
    pub const BODY: &str = "b";
    /// Seconds since 1970 after which DynamoDB may remove the item: the end of a day, whose digits are fewer.
    pub const EXPIRES: &str = "x";
}
