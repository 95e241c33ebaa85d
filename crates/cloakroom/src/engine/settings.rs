//! Settings: plain data with defaults, validated once, when an endpoint or a worker is built.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, within},
    format::{
        lifetime::{DAY_MS, HOUR_MS, PAYLOAD_TTL_MS},
        record::Settles,
    },
    ports::{backoff::Backoff, commit::Placement},
    protocol::step::{CheckIn, Consistency, WhenMissing},
};

/// How an endpoint processes a message.
///
/// ```
/// let settings: cloakroom::EndpointSettings = serde_json::from_str(r#"{ "check_in": "after_commit" }"#)?;
/// assert_eq!(settings.attempts_max, 8);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EndpointSettings {
    /// When outgoing payloads are checked in.
    pub check_in: CheckIn,
    /// Where the records of this endpoint's commits lie. Embedded ones need [`CheckIn::BeforeCommit`]. It may be changed at any time, also for some workers before others: what lies
    /// in the other place is found.
    pub placement: Placement,
    /// Up to how many bytes the state's item may grow by embedded records. Those of a commit by which it would grow larger lie beside it.
    pub embedded_bytes_max: usize,
    /// For how many milliseconds payloads are certain to live after they were written; at least a day. What was committed longer ago
    /// is not sent any more, since the payloads of what it sends may have expired. A message that is older and lacks its payload
    /// counts as [missing](crate::protocol::WhenMissing). It must be less than the lifecycle of the payload stores by
    /// what a message can live in queue and dead-letter queue. Default: 28 days.
    pub payload_ttl_ms: u64,
    /// How many messages of one partition are committed together, if so many wait in one worker, or are in one batch. With 1 each has a commit
    /// of its own.
    pub fold_max: usize,
    /// How the state is read, to begin with. `any` takes half the read units; if the answer was late, the commit is lost, and tried again.
    pub state_reads: Consistency,
    /// What tells that a message was processed that has no claim.
    pub dedupe: Dedupe,
    /// What to do when a payload is missing at the first receive of a first dispatch.
    pub when_missing: WhenMissing,
    /// How many times in a row a commit may be lost, or stay unknown, before the message goes back to its queue.
    pub passes_max: u32,
    /// How many times a single call to a port is tried before the message goes back to its queue.
    pub calls_max: u32,
    /// Milliseconds until a call to a port that is not answered ends as an error with an unknown outcome; 10 ms to 10
    /// minutes. A long poll ends after its own wait and this, and the check-in of a payload after a second more for each MiB.
    /// It must be enough to read the largest payload. It is the last resort: the timeouts of a client of the
    /// SDK should be shorter, since the client then also gives up the connection. Default: 10 seconds.
    pub call_ms_max: u64,
    /// How many times a message may fail before it is parked. What counts is what lies with the message, as a handler that fails or
    /// runs too long. A receive that ends otherwise, since a service is out or the configuration is wrong, does not count. The last of
    /// these failures parks it. Default: 8.
    pub attempts_max: u32,
    /// How long the version of a deleted state is kept. It must exceed the time that a message can live in queue and dead-letter
    /// queue together. Where records are embedded, it must not exceed the life of dedupe entries (`expiry_days` of the bucket): an
    /// id that comes again while the record of its predecessor is younger than this, and has no entry, would be taken for the
    /// predecessor. Default: 50 days.
    pub tombstone_ttl_ms: u64,
    /// How long sends and deletes wait for company, to fill batches of ten. It costs latency and saves requests. Default: 10 ms.
    pub linger_ms: u64,
    /// Pauses between passes, and between calls.
    pub backoff: Backoff,
}

impl Default for EndpointSettings {
    fn default() -> Self {
        Self {
            check_in: CheckIn::default(),
            placement: Placement::default(),
            embedded_bytes_max: 32 * 1024,
            payload_ttl_ms: PAYLOAD_TTL_MS,
            fold_max: 32,
            state_reads: Consistency::Strong,
            dedupe: Dedupe::default(),
            when_missing: WhenMissing::default(),
            passes_max: 16,
            calls_max: 4,
            call_ms_max: 10_000,
            attempts_max: 8,
            tombstone_ttl_ms: 50 * DAY_MS,
            linger_ms: 10,
            backoff: Backoff { first_ms: 10, max_ms: 1_000 },
        }
    }
}

/// With a state, and an item of its own for each, they fill half a transaction.
const FOLD_MAX: u64 = 48;

/// What tells that a message without a claim was processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dedupe {
    /// An entry in the payload store, for as long as that keeps entries.
    #[default]
    Entry,
    /// Its outbox record, which stays in the table without its messages, for `ttl_ms` milliseconds. It costs nothing to read, and space. Entries
    /// are not looked for: an endpoint that had them should change only when they have expired, or nothing is delivered twice.
    #[serde(rename_all = "snake_case")]
    Retained {
        /// For how long; at least for as long as a message can live in queue and dead-letter queue together.
        ttl_ms: u64,
    },
}

impl Dedupe {
    /// How a message without a claim is settled.
    pub(crate) fn settles(self, store: &str) -> Settles {
        match self {
            Self::Entry => Settles::Entry(store.to_owned()),
            Self::Retained { ttl_ms } => Settles::Retained(ttl_ms),
        }
    }
}

impl EndpointSettings {
    pub(crate) const fn call_max(&self) -> Duration {
        Duration::from_millis(self.call_ms_max)
    }

    /// Up to how many bytes records are embedded; none are with 0.
    pub(crate) const fn embedded_bytes_max(&self) -> usize {
        match self.placement {
            Placement::Separate => 0,
            Placement::Embedded => self.embedded_bytes_max,
        }
    }

    pub(crate) const fn payload_ttl(&self) -> Duration {
        Duration::from_millis(self.payload_ttl_ms)
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        if self.placement == Placement::Embedded && self.check_in == CheckIn::AfterCommit {
            return Err(Error::misconfigured(
                "setting `placement` is `embedded` and `check_in` is `after_commit`: a record whose payloads are checked in \
                 after the commit has to change, and an embedded one cannot, so all would lie beside the state; set \
                 `check_in` to `before_commit`, or `placement` to `beside`",
            ));
        }
        within("embedded_bytes_max", self.embedded_bytes_max as u64, 1_024, 256 * 1024)?;
        within("payload_ttl_ms", self.payload_ttl_ms, DAY_MS, 3_650 * DAY_MS)?;
        within("fold_max", self.fold_max as u64, 1, FOLD_MAX)?;
        if let Dedupe::Retained { ttl_ms } = self.dedupe {
            within("dedupe.retained.ttl_ms", ttl_ms, HOUR_MS, 3_650 * DAY_MS)?;
        }
        within("passes_max", self.passes_max.into(), 1, 1_000)?;
        within("calls_max", self.calls_max.into(), 1, 100)?;
        within("call_ms_max", self.call_ms_max, 10, 10 * 60 * 1000)?;
        within("attempts_max", self.attempts_max.into(), 1, 1_000)?;
        within("tombstone_ttl_ms", self.tombstone_ttl_ms, 28 * DAY_MS, 3_650 * DAY_MS)?;
        within("linger_ms", self.linger_ms, 0, 1_000)?;
        self.backoff.validate("backoff")
    }
}
