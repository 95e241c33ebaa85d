//! Leftover records: those whose messages are not settled.

use std::collections::BTreeMap;

use cloakroom::{
    MessageId,
    format::{
        Item, Record, Settles,
        schema::{Kept, Key},
    },
    ports::{
        PayloadStore,
        placement::{read_embedded_records, read_record_item},
    },
};
use futures::FutureExt as _;

/// Returns the records among the items of a partition whose messages are not settled. A separate
/// record is cleared when its message is settled, or it is marked as retained. An embedded record
/// stays in its item. The payload or the dedupe entry shows whether its message is settled.
pub(crate) fn unsettled_records(items: &BTreeMap<String, Item>, payloads: &dyn PayloadStore) -> Vec<String> {
    let mut unsettled = Vec::new();
    for (sort_key, item) in items {
        match Key::kept(sort_key) {
            Some(Kept::Record { .. }) => {
                let is_retained = read_record_item(sort_key, item).is_ok_and(|record| record.is_retained);
                unsettled.extend((!is_retained).then(|| sort_key.clone()));
            }
            Some(Kept::State { endpoint }) => match read_embedded_records(sort_key, item) {
                Ok(records) => {
                    let left = records.iter().filter(|(message, text)| !is_settled(endpoint, message, text, payloads));
                    unsettled.extend(left.map(|(message, _)| format!("{message} in {sort_key}")));
                }
                Err(error) => unsettled.push(error.to_string()),
            },
            // Counts of failures expire.
            None | Some(Kept::Failures { .. }) => {}
        }
    }
    unsettled
}

/// Whether a message is settled. The stores in memory respond at once. A store that does not has
/// shown nothing.
fn is_settled(endpoint: &str, message: &MessageId, text: &str, payloads: &dyn PayloadStore) -> bool {
    match Record::decode(text).ok().and_then(|record| record.settles) {
        Some(Settles::Payload(claim)) => matches!(payloads.read(&claim).now_or_never(), Some(Ok(None))),
        Some(Settles::Entry(_)) => matches!(payloads.has_entry(endpoint, message).now_or_never(), Some(Ok(true))),
        // A record that is to be retained is a separate item.
        Some(Settles::Retained(_)) | None => false,
    }
}

#[cfg(test)]
mod tests {
    use cloakroom::{
        Partition, Timestamp,
        memory::Memory,
        ports::{Commit, PartitionStore as _, Placement, RecordKey, StateWrite},
        protocol::Consistency,
    };

    use super::*;

    fn commit(memory: &Memory, message: &str, settles: Settles, placement: Placement) {
        let (partition, message) = (&Partition::from("p"), &MessageId::from(message));
        let record = &Record { settles: Some(settles), ..Record::default() };
        let read = memory.store.read_state(partition, "e", Consistency::Strong);
        let read = read.now_or_never().and_then(Result::ok).unwrap_or_default();
        let embedded_bytes_max = if placement == Placement::Embedded { 10_000 } else { 0 };
        let (state, token) = (&StateWrite::Put(Item::default()), message.as_str());
        let (expected, kept, records, items) = (read.version, &read.embedded, &[(message, record)], &[]);
        let commit =
            Commit { partition, endpoint: "e", expected, state, records, kept, embedded_bytes_max, items, token };
        assert!(memory.store.commit(commit).now_or_never().is_some_and(|committed| committed.is_ok()));
    }

    #[test]
    fn record_is_unsettled_until_its_message_is_settled() {
        let (memory, partition) = (Memory::new(), Partition::from("p"));
        let claim = cloakroom::format::Claim::new("claim.memory");
        commit(&memory, "claimed", Settles::Payload(claim.clone()), Placement::Embedded);
        commit(&memory, "known", Settles::Entry("memory".to_owned()), Placement::Embedded);
        commit(&memory, "separate", Settles::Retained(1), Placement::Separate);
        let unsettled = || unsettled_records(&memory.store.partition(&partition), &*memory.payloads);
        assert_eq!(unsettled(), ["outbox#e#separate", "known in state#e"], "a missing payload shows that, too");
        let answers = |future: futures::future::BoxFuture<'_, Result<(), cloakroom::PortError>>| future.now_or_never();
        assert!(answers(memory.payloads.check_in(&claim, bytes::Bytes::new())).is_some());
        assert_eq!(unsettled(), ["outbox#e#separate", "claimed in state#e", "known in state#e"]);
        let key = RecordKey { partition: &partition, endpoint: "e", message: &"separate".into() };
        let retained = Record { is_retained: true, ..Record::default() };
        assert!(answers(memory.payloads.put_entry("e", &"known".into())).is_some());
        assert!(answers(memory.store.retain(key, &retained, Timestamp::default())).is_some());
        assert!(answers(memory.payloads.delete(&claim)).is_some());
        assert_eq!(unsettled(), [""; 0]);
    }
}
