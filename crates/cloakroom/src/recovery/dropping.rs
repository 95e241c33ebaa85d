//! Dropping an embedded record whose message cannot come any more.

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

/// How often the state's item is read anew because a commit came in between.
const PASSES_MAX: u32 = 8;

impl Recovery {
    /// Whether the payload store, or the store of the dedupe entry, that this record names is not among those of the ports. Then
    /// nobody here can tell whether its message is settled.
    pub(super) fn lacks_store_of(&self, record: &Record) -> bool {
        let store = record.settles.as_ref().and_then(|settles| settles.store());
        store.is_some_and(|store| !self.context.ports.payloads.holds(store))
    }

    /// Writes the state's item as it is, without the embedded record of this message, if that record may be dropped. False if there
    /// is none, or another one by now: an id may have come again.
    ///
    /// SUBTLE: the version stays, and the write is conditional on it. A commit that had read the record before carries it on,
    /// which does no harm; one that came first makes this write lose. The caller knows that no copy of the message can come
    /// any more (`drop_what_may_come`).
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
                return Err(not_dropped(partition, "its state is deleted, and the record expires with the tombstone"));
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
                // Somebody may drop another record of this item at the same time, and bring this one back: look again.
                Committed::Applied(_) => is_dropped = true,
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
