//! Ports in front of ports: every call passes a [`Wire`], which may delay it, lose it, or stop its
//! caller.

use std::{fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use cloakroom::{
    Delivery, MessageId, Partition, PortError, Ports, Timestamp,
    format::{Claim, Record},
    ports::{
        ClaimsStored, Commit, Committed, Embedded, Failures, ItemWrite, PartitionStore, PayloadStore, Queue,
        QueueMessage, Queues, RecordKey, StateRead, StateWrite,
    },
    protocol::{Consistency, Version},
};

/// The operation of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(missing_docs, reason = "the names are those of the port methods")]
pub enum Operation {
    ReadState,
    HasRecords,
    ReadRecord,
    Commit,
    StoreClaims,
    Retain,
    Clear,
    ReadFailures,
    WriteFailures,
    CheckIn,
    ReadPayload,
    DeletePayload,
    HasEntry,
    PutEntry,
    OpenQueue,
    Send,
    Receive,
    Acknowledge,
    Extend,
}

impl Operation {
    /// Whether the operation changes nothing.
    pub const fn is_read(self) -> bool {
        match self {
            Self::ReadState
            | Self::HasRecords
            | Self::ReadRecord
            | Self::ReadFailures
            | Self::ReadPayload
            | Self::HasEntry
            | Self::OpenQueue => true,
            Self::Commit
            | Self::StoreClaims
            | Self::Retain
            | Self::Clear
            | Self::WriteFailures
            | Self::CheckIn
            | Self::DeletePayload
            | Self::PutEntry
            | Self::Send
            | Self::Receive
            | Self::Acknowledge
            | Self::Extend => false,
        }
    }
}

/// A call of a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Call {
    /// The operation.
    pub operation: Operation,
    /// The target: a partition, with the message if the call is about a record; or a claim; or a
    /// queue.
    pub subject: String,
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.operation, self.subject)
    }
}

/// The connection between a caller and the ports.
pub trait Wire: Send + Sync + fmt::Debug + 'static {
    /// Performs a call, or does not. The effect owns everything it needs. So it can take place
    /// after its caller has stopped, as a request does that was sent before a crash.
    fn carry<T: fmt::Debug + Send + 'static>(
        self: Arc<Self>,
        call: Call,
        effect: impl Future<Output = Result<T, PortError>> + Send + 'static,
    ) -> impl Future<Output = Result<T, PortError>> + Send;
}

/// Returns the ports with every call passing the wire.
pub fn through_wire<W: Wire>(wire: &Arc<W>, ports: &Ports) -> Ports {
    let wired = || Arc::new(Wired { wire: Arc::clone(wire), ports: ports.clone() });
    Ports { store: wired(), payloads: wired(), queues: wired(), ..ports.clone() }
}

#[derive(Debug)]
struct Wired<W> {
    wire: Arc<W>,
    ports: Ports,
}

impl<W: Wire> Wired<W> {
    fn carry<T: fmt::Debug + Send + 'static>(
        &self,
        operation: Operation,
        subject: impl fmt::Display,
        effect: impl Future<Output = Result<T, PortError>> + Send + 'static,
    ) -> impl Future<Output = Result<T, PortError>> + Send {
        Arc::clone(&self.wire).carry(Call { operation, subject: subject.to_string() }, effect)
    }
}

/// The key of a record, with owned fields.
#[derive(Clone, Debug)]
struct Address {
    partition: Partition,
    endpoint: String,
    message: MessageId,
}

impl Address {
    fn of(key: RecordKey<'_>) -> Self {
        let RecordKey { partition, endpoint, message } = key;
        Self { partition: partition.clone(), endpoint: endpoint.to_owned(), message: message.clone() }
    }

    fn key(&self) -> RecordKey<'_> {
        RecordKey { partition: &self.partition, endpoint: &self.endpoint, message: &self.message }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} at {}", self.message, self.partition, self.endpoint)
    }
}

/// A commit with owned fields.
struct OwnedCommit {
    partition: Partition,
    endpoint: String,
    expected: Version,
    state: StateWrite,
    records: Vec<(MessageId, Record)>,
    kept: Embedded,
    embedded_bytes_max: usize,
    items: Vec<ItemWrite>,
    token: String,
}

impl OwnedCommit {
    fn of(commit: Commit<'_>) -> Self {
        let own = |(message, record): &(&MessageId, &Record)| ((*message).clone(), (*record).clone());
        Self {
            partition: commit.partition.clone(),
            endpoint: commit.endpoint.to_owned(),
            expected: commit.expected,
            state: commit.state.clone(),
            records: commit.records.iter().map(own).collect(),
            kept: commit.kept.clone(),
            embedded_bytes_max: commit.embedded_bytes_max,
            items: commit.items.to_vec(),
            token: commit.token.to_owned(),
        }
    }

    async fn commit(&self, store: &dyn PartitionStore) -> Result<Committed, PortError> {
        let Self { partition, endpoint, state, kept, items, token, .. } = self;
        let records: Vec<_> = self.records.iter().map(|(message, record)| (message, record)).collect();
        let (expected, embedded_bytes_max) = (self.expected, self.embedded_bytes_max);
        let records = &records;
        let commit = Commit { partition, endpoint, expected, state, records, kept, embedded_bytes_max, items, token };
        store.commit(commit).await
    }
}

impl fmt::Display for OwnedCommit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages: Vec<_> = self.records.iter().map(|(message, _)| message.as_str()).collect();
        let Self { partition, endpoint, expected, .. } = self;
        write!(f, "{} of {partition} at {endpoint} on version {}", messages.join(" and "), expected.number())
    }
}

#[async_trait]
impl<W: Wire> PartitionStore for Wired<W> {
    async fn read_state(
        &self,
        partition: &Partition,
        endpoint: &str,
        consistency: Consistency,
    ) -> Result<StateRead, PortError> {
        let (store, partition, endpoint) = (self.ports.store.clone(), partition.clone(), endpoint.to_owned());
        let subject = format!("{partition} at {endpoint}");
        let read = async move { store.read_state(&partition, &endpoint, consistency).await };
        self.carry(Operation::ReadState, subject, read).await
    }

    async fn has_records(&self, partition: &Partition, endpoint: &str) -> Result<bool, PortError> {
        let (store, partition, endpoint) = (self.ports.store.clone(), partition.clone(), endpoint.to_owned());
        let subject = format!("{partition} at {endpoint}");
        let look = async move { store.has_records(&partition, &endpoint).await };
        self.carry(Operation::HasRecords, subject, look).await
    }

    async fn read_record(&self, key: RecordKey<'_>) -> Result<Option<Record>, PortError> {
        let (store, address) = (self.ports.store.clone(), Address::of(key));
        let subject = address.to_string();
        self.carry(Operation::ReadRecord, subject, async move { store.read_record(address.key()).await }).await
    }

    async fn commit(&self, commit: Commit<'_>) -> Result<Committed, PortError> {
        let (store, commit) = (self.ports.store.clone(), OwnedCommit::of(commit));
        let subject = commit.to_string();
        self.carry(Operation::Commit, subject, async move { commit.commit(&*store).await }).await
    }

    async fn store_claims(&self, key: RecordKey<'_>, record: &Record) -> Result<ClaimsStored, PortError> {
        let (store, address, record) = (self.ports.store.clone(), Address::of(key), record.clone());
        let subject = address.to_string();
        let effect = async move { store.store_claims(address.key(), &record).await };
        self.carry(Operation::StoreClaims, subject, effect).await
    }

    async fn retain(&self, key: RecordKey<'_>, record: &Record, expires: Timestamp) -> Result<(), PortError> {
        let (store, address, record) = (self.ports.store.clone(), Address::of(key), record.clone());
        let subject = address.to_string();
        let effect = async move { store.retain(address.key(), &record, expires).await };
        self.carry(Operation::Retain, subject, effect).await
    }

    async fn clear(&self, key: RecordKey<'_>) -> Result<(), PortError> {
        let (store, address) = (self.ports.store.clone(), Address::of(key));
        let subject = address.to_string();
        self.carry(Operation::Clear, subject, async move { store.clear(address.key()).await }).await
    }

    async fn read_failures(&self, key: RecordKey<'_>) -> Result<Option<Failures>, PortError> {
        let (store, address) = (self.ports.store.clone(), Address::of(key));
        let subject = address.to_string();
        self.carry(Operation::ReadFailures, subject, async move { store.read_failures(address.key()).await }).await
    }

    async fn write_failures(&self, key: RecordKey<'_>, failures: Option<Failures>) -> Result<(), PortError> {
        let (store, address) = (self.ports.store.clone(), Address::of(key));
        let subject = address.to_string();
        let effect = async move { store.write_failures(address.key(), failures).await };
        self.carry(Operation::WriteFailures, subject, effect).await
    }
}

#[async_trait]
impl<W: Wire> PayloadStore for Wired<W> {
    fn name(&self) -> &str {
        self.ports.payloads.name()
    }

    fn place(&self, bytes: usize) -> &str {
        self.ports.payloads.place(bytes)
    }

    fn stores(&self) -> Vec<&str> {
        self.ports.payloads.stores()
    }

    async fn check_in(&self, claim: &Claim, payload: Bytes) -> Result<(), PortError> {
        let (payloads, claim) = (self.ports.payloads.clone(), claim.clone());
        let subject = claim.to_string();
        self.carry(Operation::CheckIn, subject, async move { payloads.check_in(&claim, payload).await }).await
    }

    async fn read(&self, claim: &Claim) -> Result<Option<Bytes>, PortError> {
        let (payloads, claim) = (self.ports.payloads.clone(), claim.clone());
        let subject = claim.to_string();
        self.carry(Operation::ReadPayload, subject, async move { payloads.read(&claim).await }).await
    }

    async fn delete(&self, claim: &Claim) -> Result<(), PortError> {
        let (payloads, claim) = (self.ports.payloads.clone(), claim.clone());
        let subject = claim.to_string();
        self.carry(Operation::DeletePayload, subject, async move { payloads.delete(&claim).await }).await
    }

    async fn has_entry(&self, endpoint: &str, message: &MessageId) -> Result<bool, PortError> {
        let (payloads, endpoint, message) = (self.ports.payloads.clone(), endpoint.to_owned(), message.clone());
        let subject = format!("{message} at {endpoint}");
        self.carry(Operation::HasEntry, subject, async move { payloads.has_entry(&endpoint, &message).await }).await
    }

    async fn put_entry(&self, endpoint: &str, message: &MessageId) -> Result<(), PortError> {
        let (payloads, endpoint, message) = (self.ports.payloads.clone(), endpoint.to_owned(), message.clone());
        let subject = format!("{message} at {endpoint}");
        self.carry(Operation::PutEntry, subject, async move { payloads.put_entry(&endpoint, &message).await }).await
    }
}

#[async_trait]
impl<W: Wire> Queues for Wired<W> {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        let (queues, opened) = (self.ports.queues.clone(), name.to_owned());
        let queue = self.carry(Operation::OpenQueue, name, async move { queues.open(&opened).await }).await?;
        Ok(Arc::new(WiredQueue { wire: Arc::clone(&self.wire), queue }))
    }
}

#[derive(Debug)]
struct WiredQueue<W> {
    wire: Arc<W>,
    queue: Arc<dyn Queue>,
}

impl<W: Wire> WiredQueue<W> {
    fn call(&self, operation: Operation) -> Call {
        Call { operation, subject: self.queue.name().to_owned() }
    }

    /// Makes a call that has a result for each entry. If the call fails, every entry fails.
    async fn entries(
        &self,
        operation: Operation,
        count: usize,
        effect: impl Future<Output = Vec<Result<(), PortError>>> + Send + 'static,
    ) -> Vec<Result<(), PortError>> {
        let call = self.call(operation);
        match Arc::clone(&self.wire).carry(call, async move { Ok(effect.await) }).await {
            Ok(results) => results,
            Err(error) => vec![Err(error); count],
        }
    }
}

#[async_trait]
impl<W: Wire> Queue for WiredQueue<W> {
    fn name(&self) -> &str {
        self.queue.name()
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        let (queue, count) = (Arc::clone(&self.queue), messages.len());
        self.entries(Operation::Send, count, async move { queue.send(messages).await }).await
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        let queue = Arc::clone(&self.queue);
        let effect = async move { queue.receive(max, wait, visibility).await };
        Arc::clone(&self.wire).carry(self.call(Operation::Receive), effect).await
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        let (queue, count) = (Arc::clone(&self.queue), receipts.len());
        self.entries(Operation::Acknowledge, count, async move { queue.delete(receipts).await }).await
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        let (queue, count) = (Arc::clone(&self.queue), receipts.len());
        self.entries(Operation::Extend, count, async move { queue.extend(receipts, visibility).await }).await
    }
}
