//! Dropping an embedded record whose message cannot be delivered any more.

use crate::{
    error::{Error, ErrorKind},
    format::{
        name::{MessageId, Partition},
        record::Record,
    },
    ports::commit::{Commit, Committed, StateWrite},
    protocol::step::Consistency,
    recovery::one_endpoint::Recovery,
};

/// Maximum number of attempts. Another commit between read and write makes an attempt fail.
const PASSES_MAX: u32 = 8;

impl Recovery {
    /// Reports whether the ports lack the store that this record names, of the payload or of the
    /// dedupe entry. Then this process cannot find out whether the record's message is settled.
    pub(super) fn lacks_store_of(&self, record: &Record) -> bool {
        let store = record.settles.as_ref().and_then(|settles| settles.store());
        store.is_some_and(|store| !self.context.ports.payloads.holds(store))
    }

    /// Removes the embedded record of this message from the state's item, if the record may be
    /// dropped. The rest of the item is written back unchanged.
    ///
    /// Returns `false` if there is no record or if the record may not be dropped. The id may have
    /// been used again, so another record may have replaced it.
    ///
    /// SUBTLE: the version stays, and the write is conditional on it. If a commit read the record
    /// before this write and commits after it, the record is kept. That does no harm. If the commit
    /// comes first, this write fails and the loop reads again. The caller ensures that no copy of
    /// the message can be delivered any more (`drop_deliverable`).
    ///
    /// # Errors
    /// The record is still there, or may be.
    pub(super) async fn drop_record(
        &self,
        partition: &Partition,
        message: &MessageId,
        may_drop: impl Fn(&Record) -> bool,
    ) -> Result<bool, Error> {
        let context = &*self.context;
        let store = &context.ports.store;
        let mut is_dropped = false;
        for _ in 0..PASSES_MAX {
            let reading = || store.read_state(partition, &context.name, Consistency::Strong);
            let mut read = context.call(reading).await?;
            let record = read.embedded.records.remove(message).and_then(|text| Record::decode(&text).ok());
            if !record.is_some_and(|record| may_drop(&record)) {
                return Ok(is_dropped);
            }
            let Some(state) = read.state else {
                let reason = "the state is deleted, so the record expires with the tombstone; no action is needed";
                return Err(not_dropped(partition, reason));
            };
            let state = StateWrite::Put(state);
            let commit = Commit {
                partition,
                endpoint: &context.name,
                expected: read.version,
                state: &state,
                records: &[],
                kept: &read.embedded,
                embedded_bytes_max: context.ports.limits.item_bytes_max,
                items: &[],
                token: &format!("{:032x}", context.ports.random.bits()),
            };
            match store.commit(commit).await? {
                // Another sweep may drop another record of this item at the same time and write
                // this one back. So read again.
                Committed::Applied(_) => is_dropped = true,
                Committed::Conflict(_) => {}
                Committed::TooLarge(error) => return Err(not_dropped(partition, error)),
                Committed::Refused(text) => return Err(not_dropped(partition, text)),
            }
        }
        Err(not_dropped(partition, "other commits changed the item too often; sweep again"))
    }
}

fn not_dropped(partition: &Partition, reason: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::RetryMessage, format!("a record of partition `{partition}` was not dropped: {reason}"))
}
