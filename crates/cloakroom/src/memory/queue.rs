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

/// Queues in memory. As in an AWS account, a queue is there only if it was [created](Self::create).
#[derive(Debug)]
pub struct MemoryQueues {
    clock: Arc<MemoryClock>,
    queues: Mutex<BTreeMap<String, Arc<MemoryQueue>>>,
}

impl MemoryQueues {
    pub(super) fn new(clock: Arc<MemoryClock>) -> Self {
        Self { clock, queues: Mutex::default() }
    }

    /// Makes a queue, if there is none of this name. FIFO queues end with `.fifo`.
    pub fn create(&self, name: impl Into<String>) {
        let name = name.into();
        let make = |name: &String| Arc::new(MemoryQueue::new(name, Arc::clone(&self.clock)));
        self.all().entry(name).or_insert_with_key(make);
    }

    /// The queue of this name.
    ///
    /// # Panics
    /// If there is none: a test that looks into a misspelt queue would find nothing, and pass.
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

/// A queue in memory. One whose name ends with `.fifo` gives out the messages of a group in the order in which they were
/// sent, and none while others of the group are leased; it knows no deduplication.
#[derive(Debug)]
pub struct MemoryQueue {
    name: String,
    clock: Arc<MemoryClock>,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    ready: VecDeque<Waiting>,
    /// Delayed and leased messages, by the moment at which they become ready.
    later: BTreeMap<(Timestamp, u64), Waiting>,
    /// The moments of leased messages, by receipt.
    leases: BTreeMap<String, (Timestamp, u64)>,
    receivers: Vec<Waker>,
    number: u64,
    /// How many messages were ever put.
    messages: u64,
    is_fifo: bool,
}

#[derive(Clone, Debug)]
struct Waiting {
    /// The message's number: how many were put up to it.
    id: u64,
    message: QueueMessage,
    receive_count: u32,
}

impl Held {
    fn number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn put(&mut self, message: QueueMessage, now: Timestamp) {
        let due = now.after(Duration::from_secs(message.delay_s.into()));
        self.messages += 1;
        let waiting = Waiting { id: self.messages, message, receive_count: 0 };
        if due > now {
            let number = self.number();
            self.later.insert((due, number), waiting);
        } else {
            self.make_ready(waiting);
        }
        self.wake();
    }

    fn make_ready(&mut self, waiting: Waiting) {
        let at =
            if self.is_fifo { self.ready.partition_point(|other| other.id < waiting.id) } else { self.ready.len() };
        self.ready.insert(at, waiting);
    }

    fn wake(&mut self) {
        self.receivers.drain(..).for_each(Waker::wake);
    }

    /// Moves what is due to the ready ones.
    fn ripen(&mut self, now: Timestamp) {
        while let Some(entry) = self.later.first_entry().filter(|entry| entry.key().0 <= now) {
            let (moment, waiting) = entry.remove_entry();
            self.leases.retain(|_, lease| *lease != moment);
            self.make_ready(waiting);
        }
    }

    /// The groups of which nothing may be given out now.
    fn blocked(&self) -> BTreeSet<Option<String>> {
        if !self.is_fifo {
            return BTreeSet::new();
        }
        let leased = self.leases.values().filter_map(|moment| self.later.get(moment));
        leased.map(|waiting| waiting.message.group.clone()).collect()
    }

    fn take(
        &mut self,
        queue: &str,
        now: Timestamp,
        visibility: Duration,
        blocked: &BTreeSet<Option<String>>,
    ) -> Option<Delivery> {
        let at = self.ready.iter().position(|waiting| !blocked.contains(&waiting.message.group))?;
        let mut waiting = self.ready.remove(at)?;
        waiting.receive_count += 1;
        let moment = (now.after(visibility), self.number());
        let receipt = format!("receipt-{}", moment.1);
        self.leases.insert(receipt.clone(), moment);
        self.later.insert(moment, waiting.clone());
        let Waiting { id, message: QueueMessage { body, attributes, group, .. }, receive_count } = waiting;
        Some(Delivery { id: format!("{queue}-{id}"), body, attributes, receipt, receive_count, group })
    }

    fn extend(&mut self, receipt: &str, until: Timestamp) -> bool {
        let Some(moment) = self.leases.get(receipt).copied() else { return false };
        let Some(waiting) = self.later.remove(&moment) else { return false };
        self.leases.insert(receipt.to_owned(), (until, moment.1));
        self.later.insert((until, moment.1), waiting);
        self.wake();
        true
    }

    /// False if this receipt was never given.
    fn delete(&mut self, receipt: &str) -> bool {
        if let Some(moment) = self.leases.remove(receipt) {
            self.later.remove(&moment);
            if self.is_fifo {
                // The rest of its group may be free now.
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
        let held = Held { is_fifo: is_fifo(name), ..Held::default() };
        Self { name: name.to_owned(), clock, held: Mutex::new(held) }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How many messages it holds: ready, delayed or leased.
    pub fn len(&self) -> usize {
        let held = self.held();
        held.ready.len() + held.later.len()
    }

    /// Whether it holds no message at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The messages it holds, without receiving them.
    pub fn messages(&self) -> Vec<QueueMessage> {
        let held = self.held();
        held.ready.iter().chain(held.later.values()).map(|waiting| waiting.message.clone()).collect()
    }

    fn take(&self, max: usize, visibility: Duration) -> Vec<Delivery> {
        let now = self.clock.now();
        let mut held = self.held();
        held.ripen(now);
        let blocked = held.blocked();
        std::iter::from_fn(|| held.take(&self.name, now, visibility, &blocked)).take(max.min(10)).collect()
    }

    /// Waits for a message to be put, or for the next one to be due, but not beyond `until`.
    async fn changed(&self, until: Timestamp) {
        let due = self.held().later.first_key_value().map_or(until, |((due, _), _)| until.min(*due));
        let mut registered = false;
        let put = std::future::poll_fn(|context| {
            if std::mem::replace(&mut registered, true) {
                return Poll::Ready(());
            }
            self.held().receivers.push(context.waker().clone());
            Poll::Pending
        });
        let sleep = self.clock.sleep(due.since(self.clock.now()));
        match select(std::pin::pin!(put), sleep).await {
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
        let mut held = self.held();
        let put = |message| {
            held.put(message, now);
            Ok(())
        };
        messages.into_iter().map(put).collect()
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
        let mut held = self.held();
        let unknown =
            || PortError::new(format!("delete on queue `{}`", self.name), "no such receipt").without_effect().public();
        let mut delete = |receipt: &String| if held.delete(receipt) { Ok(()) } else { Err(unknown().permanent()) };
        receipts.iter().map(&mut delete).collect()
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        let until = self.clock.now().after(visibility);
        let mut held = self.held();
        let gone = || {
            PortError::new(format!("extend on queue `{}`", self.name), "the lease has ended").without_effect().public()
        };
        let mut extend = |receipt: &String| if held.extend(receipt, until) { Ok(()) } else { Err(gone().permanent()) };
        receipts.iter().map(&mut extend).collect()
    }
}
