//! Laws of [`Records`].

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_dynamo::{AttributeValue, Item};

use crate::{
    conformance::law::{Law, ODD, laws},
    format::{
        derived_id::derived_id,
        name::{Claim, Partition},
        record::{Record, Settles},
        schema::Key,
    },
    ports::{
        commit::{
            Commit, Committed, Condition, Embedded, ItemAction, ItemWrite, Placement, RecordKey, Sharing, StateWrite,
        },
        partition_store::PartitionStore,
        placement::record_sort_key,
        records::{Records, Segment},
    },
    protocol::version::Version,
};

/// Runs all laws of [`Records`]. `records` must find the records of `store`. The laws read
/// everything in the table.
///
/// # Panics
/// A law is broken. The message has its name and the value that it found.
pub async fn records(records: &dyn Records, store: &dyn PartitionStore, scope: &str) {
    let subject = |law| Subject { law, records, store };
    laws!(scope, subject;
        every_record_is_found_once,
        a_cleared_record_is_not_found,
        all_items_of_a_partition_are_read,
    );
}

struct Subject<'a> {
    law: Law<'a>,
    records: &'a dyn Records,
    store: &'a dyn PartitionStore,
}

/// Partition, endpoint and message id of a record.
type Address = (String, String, String);

impl Subject<'_> {
    fn partition(&self, suffix: &str) -> Partition {
        Partition::new(self.law.key(suffix))
    }

    fn record(&self, suffix: &str) -> Record {
        let claim = Claim::from_random(derived_id(&[&self.law.key(suffix)]).as_u128(), "laws");
        Record { settles: Some(Settles::Payload(claim)), committed_ms: Some(7), ..Record::default() }
    }

    /// Commits a message, and with it a record, the state and an item.
    async fn commit(&self, partition: &Partition, endpoint: &str, message: &str) -> (Address, Record) {
        let (id, record) = (message.into(), self.record(message));
        let state = StateWrite::Put(text_item());
        let items = [ItemWrite {
            sort_key: format!("item of {endpoint}"),
            action: ItemAction::Put(text_item()),
            condition: Condition::Any,
            sharing: Sharing::Owned,
        }];
        let token = derived_id(&[partition.as_str(), endpoint, message]).to_string();
        let (records, kept) = ([(&id, &record)], Embedded::default());
        let commit = Commit {
            partition,
            endpoint,
            expected: Version::ABSENT,
            state: &state,
            records: &records,
            kept: &kept,
            embedded_bytes_max: 0,
            items: &items,
            token: &token,
        };
        let committed = self.law.ok("a commit", self.store.commit(commit).await);
        self.law.same("a commit", &committed, &Committed::Applied(Placement::Separate));
        ((partition.to_string(), endpoint.to_owned(), message.to_owned()), record)
    }

    /// Returns the records of this law, read in this number of segments.
    async fn found(&self, of: u32) -> BTreeMap<Address, Record> {
        let mut all = BTreeMap::new();
        for number in 0..of {
            let (mut after, mut seen): (Option<String>, _) = (None, BTreeSet::new());
            loop {
                let page = self.records.page(Segment { number, of }, after.as_deref()).await;
                let page = self.law.ok("a page", page);
                for found in page.records {
                    if !found.partition.as_str().starts_with(&self.law.key("")) {
                        continue;
                    }
                    let address = (found.partition.to_string(), found.endpoint, found.message.to_string());
                    let record = found.record.unwrap_or_else(|error| self.law.broken(error));
                    let duplicate = all.insert(address, record);
                    self.law.check("a record must be found once", duplicate.is_none(), &duplicate);
                }
                let Some(next) = page.next else { break };
                self.law.check("a page must not be repeated", seen.insert(next.clone()), &next);
                after = Some(next);
            }
        }
        all
    }
}

fn text_item() -> Item {
    Item::from(HashMap::from([("text".to_owned(), AttributeValue::S("any".to_owned()))]))
}

async fn every_record_is_found_once(subject: &Subject<'_>) {
    let mut written = BTreeMap::new();
    for (number, odd) in ODD.iter().enumerate() {
        let partition = subject.partition(odd);
        // Two endpoints in one partition.
        written.extend([subject.commit(&partition, "orders", odd).await]);
        written.extend([subject.commit(&partition, "stock", &format!("m#{number}")).await]);
    }
    for segments in [1, 4] {
        let found = subject.found(segments).await;
        subject.law.same(&format!("the records in {segments} segments"), &found, &written);
    }
}

async fn a_cleared_record_is_not_found(subject: &Subject<'_>) {
    let partition = subject.partition("p");
    let (kept, cleared) =
        (subject.commit(&partition, "orders", "1").await, subject.commit(&partition, "stock", "2").await);
    let key = RecordKey { partition: &partition, endpoint: "stock", message: &"2".into() };
    subject.law.ok("a clear", subject.store.clear(key).await);
    let found = subject.found(2).await;
    subject.law.same(&format!("the records after {:?} was cleared", cleared.0), &found, &BTreeMap::from([kept]));
}

async fn all_items_of_a_partition_are_read(subject: &Subject<'_>) {
    let (partition, neighbour) = (subject.partition("p"), subject.partition("p2"));
    subject.commit(&partition, "orders", "1").await;
    subject.commit(&neighbour, "stock", "2").await;
    let items = subject.law.ok("items", subject.records.items_of(&partition).await);
    let key = RecordKey { partition: &partition, endpoint: "orders", message: &"1".into() };
    let expected = ["item of orders".to_owned(), record_sort_key(key), Key::State { endpoint: "orders" }.text()];
    subject.law.same("the sort keys", &items.keys().cloned().collect(), &BTreeSet::from(expected));
    let nothing = subject.law.ok("items", subject.records.items_of(&subject.partition("none")).await);
    subject.law.same("the items of a partition that was never written", &nothing, &BTreeMap::new());
}
