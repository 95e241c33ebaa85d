//! The stores, with a record of what they do.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;
use bytes::Bytes;
use cloakroom::{
    MessageId, Partition, PortError, Ports, Timestamp,
    format::{Claim, Record},
    ports::{
        ClaimsStored, Commit, Committed, Failures, PartitionStore, PayloadStore, Placement, Queue, Queues, RecordKey,
        StateRead,
    },
    protocol::{Consistency, Version},
};

use crate::simulation::{
    faults::Fault,
    faulty_queue::FaultyQueue,
    history::{Sent, StoreEvent},
    trace,
    world::SimulationWorld,
};

/// The maximum time that the store's client waits before it repeats a commit.
const REPEAT_MS: std::ops::RangeInclusive<u64> = 1..=5_000;

/// How many commits old a state may be that a late read returns.
const LATE_COMMITS_MAX: u64 = 3;

/// Returns the ports of the world's memory, with everything that they do recorded.
pub(crate) fn recorded(world: &Arc<SimulationWorld>, redrive_after: u32) -> Ports {
    let port = || Arc::new(RecordingPorts { world: Arc::clone(world), redrive_after, past: Mutex::default() });
    Ports { store: port(), payloads: port(), queues: port(), ..world.memory.ports() }
}

#[derive(Debug)]
struct RecordingPorts {
    world: Arc<SimulationWorld>,
    /// How many times a message is received before it is moved to the dead-letter queue.
    redrive_after: u32,
    /// Each state after each of its commits, by endpoint and partition.
    past: Mutex<BTreeMap<(String, Partition), Vec<StateRead>>>,
}

impl RecordingPorts {
    async fn current(&self, partition: &Partition, endpoint: &str) -> Result<StateRead, PortError> {
        self.world.memory.store.read_state(partition, endpoint, Consistency::Strong).await
    }

    /// Tries a commit once, and records it if it applies.
    async fn try_commit(&self, commit: Commit<'_>) -> Result<Committed, PortError> {
        let Commit { partition, endpoint, .. } = commit;
        let before = self.current(partition, endpoint).await?;
        let result = self.world.memory.store.commit(commit).await?;
        if let Committed::Applied(placement) = result {
            let after = self.current(partition, endpoint).await?;
            self.count(commit, placement, [&before, &after]);
            self.record_commit(commit, placement, [before.version, after.version]);
            self.past().entry((endpoint.to_owned(), partition.clone())).or_default().push(after);
        }
        Ok(result)
    }

    fn record_commit(&self, commit: Commit<'_>, placement: Placement, [before, after]: [Version; 2]) {
        let Commit { partition, endpoint, .. } = commit;
        for (number, (message, record)) in commit.records.iter().enumerate() {
            // Each message has a version of its own. The last one's is the version in the store.
            let is_last = number + 1 == commit.records.len();
            let (before, after) = (before.after(number), if is_last { after } else { before.after(number + 1) });
            self.world.log(|| {
                let sends = trace::outgoing(&record.messages);
                let place = match placement {
                    Placement::Separate => "separate",
                    Placement::Embedded => "embedded",
                };
                format!(
                    "    {partition} at {endpoint}: {message} makes version {after} of {before}, {place}, to be sent:{sends}"
                )
            });
            let message = self.world.history().message(message);
            self.world.record(StoreEvent::Committed {
                endpoint: endpoint.to_owned(),
                partition: partition.clone(),
                message,
                before,
                after,
                outgoing: Sent::of(record),
            });
        }
    }

    fn count(&self, commit: Commit<'_>, placement: Placement, [before, after]: [&StateRead; 2]) {
        let mut history = self.world.history();
        let (tally, messages) = (&mut history.tally, commit.records.len() as u64);
        tally.folded += if messages > 1 { messages } else { 0 };
        match placement {
            Placement::Embedded => tally.embedded += messages,
            Placement::Separate if commit.embedded_bytes_max > 0 => tally.spilled += messages,
            Placement::Separate => {}
        }
        let (records, left) = (&before.embedded.records, &after.embedded.records);
        let carried = records.keys().filter(|message| left.contains_key(*message)).count();
        tally.carried += carried as u64;
        tally.dropped += (records.len() - carried) as u64;
    }

    fn past(&self) -> MutexGuard<'_, BTreeMap<(String, Partition), Vec<StateRead>>> {
        self.past.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl PartitionStore for RecordingPorts {
    async fn read_state(
        &self,
        partition: &Partition,
        endpoint: &str,
        consistency: Consistency,
    ) -> Result<StateRead, PortError> {
        let read = self.world.memory.store.read_state(partition, endpoint, consistency).await?;
        if consistency == Consistency::Strong || !self.world.injector.is_active() {
            return Ok(read);
        }
        let mut decision = self.world.injector.decide(&format!("{endpoint} {partition} read"));
        if self.world.injector.draw(&mut decision, &[Fault::ReadLate]).is_none() {
            return Ok(read);
        }
        let past = self.past();
        let past = past.get(&(endpoint.to_owned(), partition.clone())).map_or(&[][..], Vec::as_slice);
        // The state before the last commit, or before an earlier one. Before the first commit there
        // was nothing.
        let commits_ago = decision.number(1..=LATE_COMMITS_MAX);
        let then = past.len().checked_sub(1 + commits_ago as usize).and_then(|number| past.get(number));
        Ok(then.cloned().unwrap_or_default())
    }

    async fn has_records(&self, partition: &Partition, endpoint: &str) -> Result<bool, PortError> {
        self.world.memory.store.has_records(partition, endpoint).await
    }

    async fn read_record(&self, key: RecordKey<'_>) -> Result<Option<Record>, PortError> {
        let found = self.world.memory.store.read_record(key).await?;
        self.world.history().tally.resumes += u64::from(found.as_ref().is_some_and(|record| !record.is_retained));
        Ok(found)
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<Committed, PortError> {
        let result = self.try_commit(commit).await?;
        if !matches!(result, Committed::Applied(_)) || !self.world.injector.is_active() {
            return Ok(result);
        }
        let (endpoint, message) = (commit.endpoint, commit.records.first().map_or("", |(message, _)| message.as_str()));
        let mut decision = self.world.injector.decide(&format!("{endpoint} {message} commit"));
        if self.world.injector.draw(&mut decision, &[Fault::CommitRepeated]).is_none() {
            return Ok(result);
        }
        // The client library repeats a commit if the response to its first try was lost.
        self.world.sleep(decision.duration(REPEAT_MS)).await;
        self.try_commit(commit).await
    }

    async fn store_claims(&self, key: RecordKey<'_>, record: &Record) -> Result<ClaimsStored, PortError> {
        let stored = self.world.memory.store.store_claims(key, record).await?;
        if stored == ClaimsStored::Stored {
            self.world.log(|| format!("    {} stored for sending:{}", key.message, trace::outgoing(&record.messages)));
            self.world.record(StoreEvent::ClaimsStored(Sent::of(record)));
        }
        Ok(stored)
    }

    async fn retain(&self, key: RecordKey<'_>, record: &Record, expires: Timestamp) -> Result<(), PortError> {
        self.world.history().tally.retained += 1;
        self.world.memory.store.retain(key, record, expires).await
    }

    async fn clear(&self, key: RecordKey<'_>) -> Result<(), PortError> {
        self.world.memory.store.clear(key).await
    }

    async fn read_failures(&self, key: RecordKey<'_>) -> Result<Option<Failures>, PortError> {
        self.world.memory.store.read_failures(key).await
    }

    async fn write_failures(&self, key: RecordKey<'_>, failures: Option<Failures>) -> Result<(), PortError> {
        self.world.memory.store.write_failures(key, failures).await
    }
}

#[async_trait]
impl PayloadStore for RecordingPorts {
    fn name(&self) -> &str {
        self.world.memory.payloads.name()
    }

    fn place(&self, bytes: usize) -> &str {
        self.world.memory.payloads.place(bytes)
    }

    fn stores(&self) -> Vec<&str> {
        self.world.memory.payloads.stores()
    }

    async fn check_in(&self, claim: &Claim, payload: Bytes) -> Result<(), PortError> {
        self.world.record(StoreEvent::CheckedIn(claim.clone()));
        self.world.memory.payloads.check_in(claim, payload).await
    }

    async fn read(&self, claim: &Claim) -> Result<Option<Bytes>, PortError> {
        let found = self.world.memory.payloads.read(claim).await?;
        self.world.history().tally.duplicates += u64::from(found.is_none());
        Ok(found)
    }

    async fn delete(&self, claim: &Claim) -> Result<(), PortError> {
        let payloads = &self.world.memory.payloads;
        if payloads.read(claim).await?.is_some() {
            self.world.record(StoreEvent::Deleted(claim.clone()));
        }
        payloads.delete(claim).await
    }

    async fn has_entry(&self, endpoint: &str, message: &MessageId) -> Result<bool, PortError> {
        let found = self.world.memory.payloads.has_entry(endpoint, message).await?;
        self.world.history().tally.duplicates += u64::from(found);
        Ok(found)
    }

    async fn put_entry(&self, endpoint: &str, message: &MessageId) -> Result<(), PortError> {
        self.world.record(StoreEvent::EntryPut { endpoint: endpoint.to_owned(), message: message.clone() });
        self.world.memory.payloads.put_entry(endpoint, message).await
    }
}

#[async_trait]
impl Queues for RecordingPorts {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        self.world.memory.queues.open(name).await?;
        Ok(Arc::new(FaultyQueue::new(&self.world, name, self.redrive_after)))
    }
}
