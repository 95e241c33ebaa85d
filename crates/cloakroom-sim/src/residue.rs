//! Records that are left: those of which nothing tells that their messages were processed to the end.

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

/// The records among the items of a partition whose messages are not settled. One beside the state is cleared when its message is
/// settled, or marked as retained; an embedded one stays where it is, and payload or entry tell.
pub(crate) fn live_records(items: &BTreeMap<String, Item>, payloads: &dyn PayloadStore) -> Vec<String> {
    let mut live = Vec::new();
    for (sort_key, item) in items {
        match Key::kept(sort_key) {
            Some(Kept::Record { .. }) => {
                let is_retained = read_record_item(sort_key, item).is_ok_and(|record| record.is_retained);
                live.extend((!is_retained).then(|| sort_key.clone()));
            }
            Some(Kept::State { endpoint }) => match read_embedded_records(sort_key, item) {
                Ok(records) => {
                    let left = records.iter().filter(|(message, text)| !is_settled(endpoint, message, text, payloads));
                    live.extend(left.map(|(message, _)| format!("{message} in {sort_key}")));
                }
                Err(error) => live.push(error.to_string()),
            },
            // A count of failures expires.
            None | Some(Kept::Failures { .. }) => {}
        }
    }
    live
}

/// The stores in memory answer at once; one that does not has told nothing.
fn is_settled(endpoint: &str, message: &MessageId, text: &str, payloads: &dyn PayloadStore) -> bool {
    match Record::decode(text).ok().and_then(|record| record.settles) {
        Some(Settles::Payload(claim)) => matches!(payloads.read(&claim).now_or_never(), Some(Ok(None))),
        Some(Settles::Entry(_)) => matches!(payloads.has_entry(endpoint, message).now_or_never(), Some(Ok(true))),
        // What is to be retained lies beside.
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
    fn a_record_is_left_until_its_message_is_settled() {
        let (memory, partition) = (Memory::new(), Partition::from("p"));
        let claim = cloakroom::format::Claim::new("claim.memory");
        commit(&memory, "claimed", Settles::Payload(claim.clone()), Placement::Embedded);
        commit(&memory, "known", Settles::Entry("memory".to_owned()), Placement::Embedded);
        commit(&memory, "beside", Settles::Retained(1), Placement::Separate);
        let live = || live_records(&memory.store.partition(&partition), &*memory.payloads);
        assert_eq!(live(), ["outbox#e#beside", "known in state#e"], "a payload that is missing tells, too");
        let answers = |future: futures::future::BoxFuture<'_, Result<(), cloakroom::PortError>>| future.now_or_never();
        assert!(answers(memory.payloads.check_in(&claim, bytes::Bytes::new())).is_some());
        assert_eq!(live(), ["outbox#e#beside", "claimed in state#e", "known in state#e"]);
        let key = RecordKey { partition: &partition, endpoint: "e", message: &"beside".into() };
        let retained = Record { is_retained: true, ..Record::default() };
        assert!(answers(memory.payloads.put_entry("e", &"known".into())).is_some());
        assert!(answers(memory.store.retain(key, &retained, Timestamp::default())).is_some());
        assert!(answers(memory.payloads.delete(&claim)).is_some());
        assert_eq!(live(), [""; 0]);
    }
}
