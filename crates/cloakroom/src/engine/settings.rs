//! Settings of an endpoint: plain data with defaults, validated once, when the endpoint is built.

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

/// The settings of how an endpoint processes messages.
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
    /// Where commits of this endpoint write their records. Embedded records need
    /// [`CheckIn::BeforeCommit`]. The setting may be changed at any time, also for one worker after
    /// the other: a worker finds records in both places.
    pub placement: Placement,
    /// The maximum number of bytes of embedded records in the state's item, from 1 KB to 256 KB. If
    /// a commit would exceed it, the commit writes separate records. Default: 32 KB.
    pub embedded_bytes_max: usize,
    /// The time after its write for which a payload is certain to exist, in milliseconds, at least
    /// a day. A record that was committed longer ago is not sent any more, because payloads of its
    /// messages may have expired. A message that is older and has no payload counts as
    /// [missing](crate::protocol::WhenMissing).
    ///
    /// The lifecycle of the payload stores must be longer than this. The difference must be at
    /// least the time that a message can spend in its queue and its dead-letter queue. Default: 28
    /// days.
    pub payload_ttl_ms: u64,
    /// The maximum number of messages of one partition that are committed together. They must wait
    /// in one worker, or be in one batch. With 1, each message has its own commit. Default: 32.
    pub fold_max: usize,
    /// The consistency of the first read of a state. `any` takes half the read units. If that read
    /// was stale, the commit is lost and tried again. Default: `strong`.
    pub state_reads: Consistency,
    /// The proof that a message without a claim was processed.
    pub dedupe: Dedupe,
    /// The action if a payload is missing at the first receive of a first dispatch.
    pub when_missing: WhenMissing,
    /// The number of commits in a row that may be lost or have an unknown outcome before the
    /// message goes back to its queue. Default: 16.
    pub passes_max: u32,
    /// The maximum number of tries of one call to a port before the message goes back to its queue.
    /// Default: 4.
    pub calls_max: u32,
    /// The timeout of a call to a port, in milliseconds, from 10 ms to 10 minutes. After it the
    /// call fails with an unknown outcome. A long poll may take this time in addition to its wait.
    /// The check-in of a payload may take one more second for each MiB. The timeout must be long
    /// enough to read the largest payload.
    ///
    /// It is the last resort. The timeouts of an SDK client should be shorter, because the client
    /// then also closes the connection. Default: 10 seconds.
    pub call_ms_max: u64,
    /// The number of failures after which a message is parked. Only failures of the message itself
    /// count, such as a handler that fails or runs too long. A receive that ends because a service
    /// is out or the configuration is wrong does not count. Default: 8.
    pub attempts_max: u32,
    /// The time for which the version of a deleted state is kept, in milliseconds. It must exceed
    /// the time that a message can spend in its queue and its dead-letter queue together.
    ///
    /// If records are embedded, it must not exceed the lifetime of dedupe entries (`expiry_days` of
    /// the bucket). Otherwise an id may be used again when its entry has expired, while an embedded
    /// record of its earlier message is younger than this time. The new message would be taken for
    /// the earlier one. Default: 50 days.
    pub tombstone_ttl_ms: u64,
    /// The time for which sends and deletes wait for others to fill a batch of ten, in
    /// milliseconds. It adds latency and saves requests. Default: 10 ms.
    pub linger_ms: u64,
    /// The pauses between passes, and between retries of calls.
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

/// The maximum of [`EndpointSettings::fold_max`]. A state and a separate record for each message
/// then fill half of a transaction.
const FOLD_MAX: u64 = 48;

/// The size of the outgoing payloads of a fold, in bytes, after which its remaining messages wait
/// for the next fold.
pub(super) const FOLD_BYTES_MAX: usize = 256 * 1024;

/// The time that the handlers of a fold take after which its remaining messages wait for the next
/// fold.
pub(super) const FOLD_TIME_MAX: Duration = Duration::from_secs(1);

/// The proof that a message without a claim was processed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Dedupe {
    /// An entry in the payload store. It protects until the store deletes it.
    #[default]
    Entry,
    /// The outbox record, which stays in the table without its messages for `ttl_ms` milliseconds.
    /// It costs no read, and it takes space in the table. The endpoint does not look for entries.
    /// Change from `Entry` to this only when all entries have expired, or when no message can be
    /// delivered twice.
    #[serde(rename_all = "snake_case")]
    Retained {
        /// The time for which the record stays, in milliseconds. It must be at least the time that
        /// a message can spend in its queue and its dead-letter queue together.
        ttl_ms: u64,
    },
}

impl Dedupe {
    /// Returns how a message without a claim is settled. `store`: the name of the payload store for
    /// entries.
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

    /// Returns the maximum number of bytes of embedded records. 0 if no record is embedded.
    pub(crate) const fn embedding_limit(&self) -> usize {
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
                "setting `placement` is `embedded` and `check_in` is `after_commit`. A record whose payloads are checked in after \
                 the commit must change, and an embedded record cannot: set `check_in` to `before_commit`, or `placement` to \
                 `separate`",
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
