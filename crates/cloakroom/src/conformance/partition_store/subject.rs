//! The store under test, and trial commits to it.

use std::{
    collections::HashMap,
    sync::atomic::{AtomicU32, Ordering},
};

use serde_dynamo::{AttributeValue, Item};

use crate::{
    conformance::law::Law,
    format::{
        derived_id::derived_id,
        envelope::Envelope,
        name::{Claim, MessageId, Partition},
        record::{Outgoing, Record},
        timestamp::Timestamp,
    },
    ports::{
        commit::{Commit, Committed, Conflict, Embedded, ItemWrite, Placement, RecordKey, StateRead, StateWrite},
        partition_store::PartitionStore,
    },
    protocol::{step::Consistency, version::Version},
};

pub(super) struct Subject<'a> {
    pub(super) law: Law<'a>,
    pub(super) store: &'a dyn PartitionStore,
    pub(super) attempts: AtomicU32,
}

/// A commit with owned values.
#[derive(Clone, Debug)]
pub(super) struct TrialCommit {
    pub(super) partition: Partition,
    pub(super) endpoint: String,
    pub(super) message: MessageId,
    pub(super) expected: Version,
    pub(super) state: StateWrite,
    pub(super) record: Record,
    /// Other messages that are committed in the same commit.
    pub(super) further: Vec<(MessageId, Record)>,
    pub(super) kept: Embedded,
    pub(super) embedded_bytes_max: usize,
    pub(super) items: Vec<ItemWrite>,
    pub(super) token: String,
}

impl TrialCommit {
    pub(super) fn key(&self) -> RecordKey<'_> {
        RecordKey { partition: &self.partition, endpoint: &self.endpoint, message: &self.message }
    }

    pub(super) fn at(self, version: u64) -> Self {
        Self { expected: Version::new(version), ..self }
    }

    pub(super) fn state(&self) -> Option<&Item> {
        match &self.state {
            StateWrite::Put(item) => Some(item),
            StateWrite::Tombstone { .. } => None,
        }
    }
}

pub(super) fn text_item(text: &str) -> Item {
    Item::from(HashMap::from([("text".to_owned(), AttributeValue::S(text.to_owned()))]))
}

pub(super) const TOMBSTONE: StateWrite = StateWrite::Tombstone { expires: Timestamp::from_millis(4_000_000_000_000) };

impl Subject<'_> {
    /// Returns a new trial commit on version 0 of this law's partition. Each one differs from all
    /// others.
    pub(super) fn attempt(&self, message: &str) -> TrialCommit {
        let number = self.attempts.fetch_add(1, Ordering::Relaxed).to_string();
        let message = MessageId::new(self.law.key(message));
        let record = self.record(&format!("{message} {number}"), 2);
        TrialCommit {
            partition: Partition::new(self.law.key("p")),
            endpoint: "orders".to_owned(),
            expected: Version::ABSENT,
            state: StateWrite::Put(text_item(&format!("{message} {number}"))),
            record: record.with_claims(self.claims(&number)),
            further: Vec::new(),
            kept: Embedded::default(),
            embedded_bytes_max: 0,
            items: Vec::new(),
            token: derived_id(&[message.as_str(), &number]).to_string(),
            message,
        }
    }

    /// Returns a record with this number of outgoing messages that still carry their bodies.
    pub(super) fn record(&self, text: &str, count: usize) -> Record {
        let outgoing = |number| Outgoing {
            queue: "stock".to_owned(),
            envelope: Envelope::new(format!("{text} {number} ä€😀").into(), "orders", "stock.reserve", "sku#1".into()),
            delay_s: number,
            body: Some(format!("{{\"text\": \"{text}\"}}")),
            group: Some(self.law.key("p")),
            extensions: serde_json::Map::new(),
        };
        let numbers = 0..u32::try_from(count).unwrap_or(u32::MAX);
        Record { messages: numbers.map(outgoing).collect(), ..Record::default() }
    }

    pub(super) fn claims(&self, suffix: &str) -> Vec<Claim> {
        let claim = |n| Claim::from_random(derived_id(&[&self.law.key(suffix), n]).as_u128(), "laws");
        ["1", "2"].map(claim).into()
    }

    /// Commits, and repeats the commit while the store reports a retryable error without effect.
    pub(super) async fn commit(&self, attempt: &TrialCommit) -> Committed {
        const TRIES_MAX: u32 = 100;
        let TrialCommit { partition, endpoint, message, expected, state, record, kept, items, token, .. } = attempt;
        let further = attempt.further.iter().map(|(message, record)| (message, record));
        let records: Vec<_> = std::iter::once((message, record)).chain(further).collect();
        let commit = Commit {
            partition,
            endpoint,
            expected: *expected,
            state,
            records: &records,
            kept,
            embedded_bytes_max: attempt.embedded_bytes_max,
            items,
            token,
        };
        let mut tried = 1;
        loop {
            match self.store.commit(commit).await {
                Err(error) if error.may_be_repeated() && !error.may_have_happened() && tried < TRIES_MAX => tried += 1,
                result => return self.law.ok("a commit", result),
            }
        }
    }

    pub(super) async fn must_apply(&self, attempt: &TrialCommit) {
        self.law.same("the commit", &self.commit(attempt).await, &Committed::Applied(Placement::Separate));
    }

    pub(super) async fn must_conflict(&self, attempt: &TrialCommit) {
        self.law.same("the commit", &self.commit(attempt).await, &Committed::Conflict(Conflict::Overtaken));
    }

    pub(super) async fn read_state(&self, TrialCommit { partition, endpoint, .. }: &TrialCommit) -> StateRead {
        self.law.ok("reading the state", self.store.read_state(partition, endpoint, Consistency::Strong).await)
    }

    /// Requires this version and state in the trial commit's endpoint and partition.
    pub(super) async fn must_have_state(&self, attempt: &TrialCommit, version: u64, state: Option<&Item>) {
        let seen = self.read_state(attempt).await;
        self.law.same("the state", &(seen.version, seen.state.as_ref()), &(Version::new(version), state));
    }

    /// Requires this record, or none, for the trial commit's message.
    pub(super) async fn must_have_record(&self, attempt: &TrialCommit, record: Option<&Record>) {
        let seen = self.law.ok("reading the record", self.store.read_record(attempt.key()).await);
        self.law.same("the record", &seen.as_ref(), &record);
    }

    pub(super) async fn clear(&self, attempt: &TrialCommit) {
        self.law.ok("clearing the record", self.store.clear(attempt.key()).await);
    }
}
