use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Poll, Waker},
    time::Duration,
};

use async_trait::async_trait;
use futures::future::{Either, select};

use crate::{
    error::PortError,
    format::timestamp::Timestamp,
    memory::clock::MemoryClock,
    ports::{
        clock::Clock,
        fifo::is_fifo,
        queue::{Delivery, Queue, QueueMessage, Queues},
    },
};

/// Queues in memory. As in an AWS account, a queue exists only after it was
/// [created](Self::create).
#[derive(Debug)]
pub struct MemoryQueues {
    clock: Arc<MemoryClock>,
    queues: Mutex<BTreeMap<String, Arc<MemoryQueue>>>,
}

impl MemoryQueues {
    pub(super) fn new(clock: Arc<MemoryClock>) -> Self {
        Self { clock, queues: Mutex::default() }
    }

    /// Creates a queue, unless one with this name exists. The name of a FIFO queue ends with
    /// `.fifo`.
    pub fn create(&self, name: impl Into<String>) {
        let name = name.into();
        let make = |name: &String| Arc::new(MemoryQueue::new(name, Arc::clone(&self.clock)));
        self.all().entry(name).or_insert_with_key(make);
    }

    /// Returns the queue with this name.
    ///
    /// # Panics
    /// There is no such queue. A test that inspected a misspelt queue would otherwise find it empty
    /// and pass.
    #[track_caller]
    pub fn get(&self, name: &str) -> Arc<MemoryQueue> {
        self.find(name).unwrap_or_else(|error| panic!("{error}"))
    }

    fn find(&self, name: &str) -> Result<Arc<MemoryQueue>, PortError> {
        self.all().get(name).cloned().ok_or_else(|| {
            let cause = format!("it does not exist here; make it with `Memory::with_queues([\"{name}\"])`");
            PortError::new(format!("opening queue `{name}`"), cause).without_effect().permanent().public()
        })
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Arc<MemoryQueue>>> {
        self.queues.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Queues for MemoryQueues {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        Ok(self.find(name)?)
    }
}

/// A queue in memory. A queue whose name ends with `.fifo` delivers the messages of a group in the
/// order in which they were sent. It delivers none of a group while another message of the group is
/// in flight. It has no deduplication.
#[derive(Debug)]
pub struct MemoryQueue {
    name: String,
    clock: Arc<MemoryClock>,
    contents: Mutex<Contents>,
}

#[derive(Debug, Default)]
struct Contents {
    ready: VecDeque<StoredMessage>,
    /// Delayed and in-flight messages, by the time at which they become ready.
    later: BTreeMap<(Timestamp, u64), StoredMessage>,
    /// The keys in `later` of in-flight messages, by receipt.
    in_flight: BTreeMap<String, (Timestamp, u64)>,
    receivers: Vec<Waker>,
    number: u64,
    /// The number of messages that were ever sent.
    messages: u64,
    is_fifo: bool,
}

#[derive(Clone, Debug)]
struct StoredMessage {
    /// The number of the message in the order of sending.
    id: u64,
    message: QueueMessage,
    receive_count: u32,
}

impl Contents {
    fn number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn insert(&mut self, message: QueueMessage, now: Timestamp) {
        let due = now.after(Duration::from_secs(message.delay_s.into()));
        self.messages += 1;
        let stored = StoredMessage { id: self.messages, message, receive_count: 0 };
        if due > now {
            let number = self.number();
            self.later.insert((due, number), stored);
        } else {
            self.make_ready(stored);
        }
        self.wake();
    }

    fn make_ready(&mut self, stored: StoredMessage) {
        let at = if self.is_fifo { self.ready.partition_point(|other| other.id < stored.id) } else { self.ready.len() };
        self.ready.insert(at, stored);
    }

    fn wake(&mut self) {
        self.receivers.drain(..).for_each(Waker::wake);
    }

    /// Moves messages that are due to `ready`.
    fn move_due_to_ready(&mut self, now: Timestamp) {
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= now) {
            let (key, stored) = entry.remove_entry();
            self.in_flight.retain(|_, other| *other != key);
            self.make_ready(stored);
        }
    }

    /// Returns the groups with a message in flight. Their other messages cannot be received now.
    fn blocked(&self) -> BTreeSet<Option<String>> {
        if !self.is_fifo {
            return BTreeSet::new();
        }
        let in_flight = self.in_flight.values().filter_map(|key| self.later.get(key));
        in_flight.map(|stored| stored.message.group.clone()).collect()
    }

    fn take(
        &mut self,
        queue: &str,
        now: Timestamp,
        visibility: Duration,
        blocked: &BTreeSet<Option<String>>,
    ) -> Option<Delivery> {
        let at = self.ready.iter().position(|stored| !blocked.contains(&stored.message.group))?;
        let mut stored = self.ready.remove(at)?;
        stored.receive_count += 1;
        let key = (now.after(visibility), self.number());
        let receipt = format!("receipt-{}", key.1);
        self.in_flight.insert(receipt.clone(), key);
        self.later.insert(key, stored.clone());
        let StoredMessage { id, message: QueueMessage { body, attributes, group, .. }, receive_count } = stored;
        Some(Delivery { id: format!("{queue}-{id}"), body, attributes, receipt, receive_count, group })
    }

    fn extend(&mut self, receipt: &str, until: Timestamp) -> bool {
        let Some(key) = self.in_flight.get(receipt).copied() else { return false };
        let Some(stored) = self.later.remove(&key) else { return false };
        self.in_flight.insert(receipt.to_owned(), (until, key.1));
        self.later.insert((until, key.1), stored);
        self.wake();
        true
    }

    /// Deletes a message. Returns `false` if the queue never issued this receipt.
    fn delete(&mut self, receipt: &str) -> bool {
        if let Some(key) = self.in_flight.remove(receipt) {
            self.later.remove(&key);
            if self.is_fifo {
                // Other messages of its group may be ready now.
                self.wake();
            }
            return true;
        }
        let number = receipt.strip_prefix("receipt-").and_then(|number| number.parse::<u64>().ok());
        number.is_some_and(|number| number <= self.number)
    }
}

impl MemoryQueue {
    fn new(name: &str, clock: Arc<MemoryClock>) -> Self {
        let contents = Contents { is_fifo: is_fifo(name), ..Contents::default() };
        Self { name: name.to_owned(), clock, contents: Mutex::new(contents) }
    }

    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the number of messages in the queue: ready, delayed or in flight.
    pub fn len(&self) -> usize {
        let contents = self.contents();
        contents.ready.len() + contents.later.len()
    }

    /// Reports whether the queue has no message.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the messages in the queue, without receiving them.
    pub fn messages(&self) -> Vec<QueueMessage> {
        let contents = self.contents();
        contents.ready.iter().chain(contents.later.values()).map(|stored| stored.message.clone()).collect()
    }

    fn take(&self, max: usize, visibility: Duration) -> Vec<Delivery> {
        let now = self.clock.now();
        let mut contents = self.contents();
        contents.move_due_to_ready(now);
        let blocked = contents.blocked();
        std::iter::from_fn(|| contents.take(&self.name, now, visibility, &blocked)).take(max.min(10)).collect()
    }

    /// Waits for a send or for the next message that becomes due, but not beyond `until`.
    async fn changed(&self, until: Timestamp) {
        let due = self.contents().later.first_key_value().map_or(until, |((due, _), _)| until.min(*due));
        let mut registered = false;
        let sent = std::future::poll_fn(|context| {
            if std::mem::replace(&mut registered, true) {
                return Poll::Ready(());
            }
            self.contents().receivers.push(context.waker().clone());
            Poll::Pending
        });
        let sleep = self.clock.sleep(due.since(self.clock.now()));
        match select(std::pin::pin!(sent), sleep).await {
            Either::Left(_) | Either::Right(_) => {}
        }
    }
}

#[async_trait]
impl Queue for MemoryQueue {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        let now = self.clock.now();
        let mut contents = self.contents();
        let insert = |message| {
            contents.insert(message, now);
            Ok(())
        };
        messages.into_iter().map(insert).collect()
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        let until = self.clock.now().after(wait);
        loop {
            let deliveries = self.take(max, visibility);
            if !deliveries.is_empty() || self.clock.now() >= until {
                return Ok(deliveries);
            }
            self.changed(until).await;
        }
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        let mut contents = self.contents();
        let unknown =
            || PortError::new(format!("delete on queue `{}`", self.name), "no such receipt").without_effect().public();
        let mut delete = |receipt: &String| if contents.delete(receipt) { Ok(()) } else { Err(unknown().permanent()) };
        receipts.iter().map(&mut delete).collect()
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        let until = self.clock.now().after(visibility);
        let mut contents = self.contents();
        let gone = || {
            PortError::new(format!("extend on queue `{}`", self.name), "the visibility timeout has ended")
                .without_effect()
                .public()
        };
        let mut extend =
            |receipt: &String| if contents.extend(receipt, until) { Ok(()) } else { Err(gone().permanent()) };
        receipts.iter().map(&mut extend).collect()
    }
}
