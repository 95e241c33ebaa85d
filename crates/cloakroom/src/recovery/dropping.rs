//! Dropping an embedded record whose message cannot come any more.

use std::time::Duration;

use super::Recovery;
use crate::{Commit, Committed, Error, ErrorKind, MessageId, Partition, Record, StateWrite, protocol::Consistency};

/// How often the state's item is read anew because a commit came in between.
const PASSES_MAX: u32 = 8;

impl Recovery {
    /// Whether the payload store, or the store of the dedupe entry, that this record names is not among those of the ports. Then
    /// nobody here can tell whether its message is settled.
    pub(super) fn lacks_store_of(&self, record: &Record) -> bool {
        let store = record.settles.as_ref().and_then(|settles| settles.store());
        store.is_some_and(|store| !self.inner.ports.payloads.holds(store))
    }

    /// Writes the state's item as it is, without the embedded record of this message. False if there is none.
    ///
    /// SUBTLE: the version stays, and the write is conditional on it. A commit that had read the record before carries it on,
    /// which does no harm; one that came first makes this write lose. The caller knows that no copy of the message can come
    /// any more (`drop_what_may_come`).
    ///
    /// # Errors
    /// The record is still there, or may be.
    pub(super) async fn drop_record(&self, partition: &Partition, message: &MessageId) -> Result<bool, Error> {
        let inner = &*self.inner;
        let store = &inner.ports.store;
        for _ in 0..PASSES_MAX {
            let reading = || store.read_state(partition, &inner.name, Consistency::Strong);
            let mut read = inner.call(reading).await?;
            if read.embedded.records.remove(message).is_none() {
                return Ok(false);
            }
            let tombstone_ttl = Duration::from_millis(inner.settings.tombstone_ttl_ms);
            let expires = inner.ports.clock.now().after(tombstone_ttl);
            let state = read.state.map_or(StateWrite::Tombstone { expires }, StateWrite::Put);
            let commit = Commit {
                partition,
                endpoint: &inner.name,
                expected: read.version,
                state: &state,
                records: &[],
                kept: &read.embedded,
                embedded_bytes_max: inner.ports.limits.item_bytes_max,
                items: &[],
                token: &format!("{:032x}", inner.ports.random.bits()),
            };
            match store.commit(commit).await? {
                Committed::Applied(_) => return Ok(true),
                Committed::Conflict(_) => {}
                Committed::TooLarge(error) => return Err(not_dropped(partition, error)),
                Committed::Refused(text) => return Err(not_dropped(partition, text)),
            }
        }
        Err(not_dropped(partition, "its entity is too busy: sweep again"))
    }
}

fn not_dropped(partition: &Partition, why: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::RetryMessage, format!("a record of partition `{partition}` was not dropped: {why}"))
}
