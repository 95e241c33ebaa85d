//! All keys and attribute names that Cloakroom writes.

use crate::format::{
    derived_id::derived_id,
    name::{Claim, MessageId},
};

/// A key that Cloakroom writes. The keys of records and dedupe entries contain the endpoint's name,
/// because two endpoints may share a table and a bucket, and may both receive the same message.
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
    /// Object key of a payload: `<claim>`. A claim begins with random digits, so payloads spread
    /// over the partitions of a bucket.
    Payload {
        /// The claim.
        claim: &'a Claim,
    },
    /// Object key of a dedupe entry: `<8 digits of a hash>/<endpoint>/<message id>`. The hash
    /// spreads the entries over the partitions of a bucket.
    Entry {
        /// The endpoint that processed the message.
        endpoint: &'a str,
        /// The incoming message.
        message: &'a MessageId,
    },
}

impl<'a> Key<'a> {
    /// Returns the kind of the item with this sort key: a state, a record or a failure count. It is
    /// the inverse of [`Key::State`], [`Key::Record`] and [`Key::Failures`]. `None` for a handler's
    /// own item.
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
        // The name of an endpoint has no `#`, but the id of a message may have one.
        let of = |prefix| sort_key.strip_prefix(prefix)?.split_once('#');
        if let Some((endpoint, message)) = of(FAILURES) {
            return Some(Kept::Failures { endpoint, message: MessageId::from(message) });
        }
        let (endpoint, message) = of(RECORDS)?;
        Some(Kept::Record { endpoint, message: MessageId::from(message) })
    }
}

/// The kind of an item, and its endpoint and message. See [`Key::kept`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept<'a> {
    /// The state of this endpoint.
    State {
        /// The endpoint that owns the state.
        endpoint: &'a str,
    },
    /// The failure count of a message of this endpoint.
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
/// The prefix of the sort keys of all outbox records.
pub const RECORDS: &str = "outbox#";
/// The prefix of the sort keys of failure counts. It is not longer than that of records. So if the
/// key of a message's record is within the limit, the key of its failure count is, too.
const FAILURES: &str = "failed#";

impl Key<'_> {
    /// Returns the key as text.
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

/// Returns the prefix of the sort keys of all outbox records of this endpoint.
pub fn records_of(endpoint: &str) -> String {
    [RECORDS, endpoint, "#"].concat()
}

/// The prefixes of sort keys that belong to Cloakroom. A handler's own items must not use them.
pub const RESERVED_SORT_KEYS: [&str; 3] = [STATES, RECORDS, FAILURES];

/// Attribute names of the items in a table.
pub mod attribute {
    /// Partition key.
    pub const PARTITION: &str = "pk";
    /// Sort key.
    pub const SORT: &str = "sk";
    /// Version of a state item.
    pub const VERSION: &str = "cloakroom_version";
    /// Present on a state item whose state was deleted. Such an item is the tombstone that keeps
    /// the version.
    pub const DELETED: &str = "cloakroom_deleted";
    /// The time after which DynamoDB may remove the item, in seconds since 1970. This is the
    /// table's TTL attribute.
    pub const EXPIRES: &str = "cloakroom_expires";
    /// The encoded outbox record.
    pub const RECORD: &str = "cloakroom_record";
    /// Whether the record's messages have their claims.
    pub const CLAIMED: &str = "cloakroom_claimed";
    /// The records that are embedded in a state item: a map from message id to encoded record, or
    /// the packed map ([`placement`](crate::ports::placement)).
    pub const RECORDS: &str = "cloakroom_records";
    /// Present on a state item until a commit writes a separate record of its endpoint.
    pub const COMPLETE: &str = "cloakroom_complete";
    /// The number of failures of a message's handler.
    pub const FAILURES: &str = "cloakroom_failures";
    /// Digests of the claims of the messages that were last committed to a state.
    pub const RECENT: &str = "cloakroom_recent";
    /// Present on a handler's own item: the endpoint that may write the item, or [`SHARED`].
    pub const OWNER: &str = "cloakroom_owner";
    /// The owner of an item that several endpoints share. It differs from every endpoint, because
    /// no endpoint name has a `#`.
    pub const SHARED: &str = "#shared";
    /// Names that a state or an item of a handler must not use for its own attributes.
    pub const RESERVED: [&str; 12] =
        [PARTITION, SORT, VERSION, DELETED, EXPIRES, RECORD, CLAIMED, RECORDS, COMPLETE, FAILURES, RECENT, OWNER];
}

/// Attribute names of the items in a payload table. The item of a payload has 24 bytes in addition
/// to the payload. So it costs one write unit to write or delete a payload of 1,000 bytes.
pub mod payload_attribute {
    /// Partition key, binary: the 16 bytes of a claim, or the text `entry/` and the key of a dedupe
    /// entry.
    pub const KEY: &str = "k";
    /// The payload, binary. Dedupe entries have none.
    pub const BODY: &str = "b";
    /// The time after which DynamoDB may remove the item, in seconds since 1970. It is the end of a
    /// day, because that number has fewer significant digits to store.
    pub const EXPIRES: &str = "x";
}
