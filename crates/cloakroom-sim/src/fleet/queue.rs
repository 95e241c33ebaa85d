//! Queues for many receivers and many messages, behind latencies, with the limits of SQS.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use cloakroom::{
    Delivery, PortError, Timestamp,
    ports::{Clock as _, Queue, QueueMessage, fifo::is_fifo},
};
use futures::{
    channel::oneshot,
    future::{Either, select},
};

use super::{
    Limit,
    cloud::{Cloud, Hand},
    load::Request,
    shards::Bucket,
};

/// Messages received and not deleted that a standard queue allows, and a FIFO queue.
const IN_FLIGHT_MAX: usize = 120_000;
const FIFO_IN_FLIGHT_MAX: usize = 20_000;
/// Requests of one kind a second that a FIFO queue takes for one group, be there one message in each or ten.
const GROUP_REQUESTS: f64 = 300.0;
/// What SQS gives and takes in one request.
pub(crate) const BATCH: usize = 10;

pub(crate) const fn in_flight_max(is_fifo: bool) -> usize {
    if is_fifo { FIFO_IN_FLIGHT_MAX } else { IN_FLIGHT_MAX }
}

/// A queue that workers receive from.
#[derive(Debug)]
pub(crate) struct Inbox {
    name: String,
    cloud: Arc<Cloud>,
    /// Its workers.
    workers: usize,
    /// Messages that they hold at a time.
    room: usize,
    held: Mutex<Held>,
}

#[derive(Debug)]
struct Held {
    is_fifo: bool,
    ready: VecDeque<Waiting>,
    /// By the moment at which their leases end.
    leased: BTreeMap<(Timestamp, u64), Leased>,
    /// The moments at which leases end, by receipt.
    until: HashMap<u64, Timestamp>,
    receivers: VecDeque<Receiver>,
    number: u64,
    /// Messages that workers have.
    hand: Hand,
    receives: Bucket,
    deletes: Bucket,
    /// Ticks since the measuring began, and those at which messages waited although there was room for them.
    ticks: u64,
    ticks_unserved: u64,
}

#[derive(Debug)]
struct Waiting {
    /// The message's number.
    id: u64,
    request: Request,
    body: String,
    group: Option<String>,
    receive_count: u32,
}

#[derive(Debug)]
struct Leased {
    waiting: Waiting,
    visibility: Duration,
    /// A worker has it; else it was given back, and waits out a pause.
    is_held: bool,
}

/// A long poll.
#[derive(Debug)]
struct Receiver {
    max: usize,
    visibility: Duration,
    answer: oneshot::Sender<Vec<Delivery>>,
}

/// What was seen of one queue.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    /// Messages that wait, at the end.
    pub(crate) waiting: usize,
    /// Messages in the hands of workers, on average.
    pub(crate) in_hand: f64,
    /// The share of what a FIFO queue takes of requests for one group.
    pub(crate) requests: f64,
    /// The share of time in which messages waited although there was room for them.
    pub(crate) unserved: f64,
}

impl Inbox {
    /// One with so many workers, who hold so many messages at a time.
    pub(crate) fn new(name: String, cloud: Arc<Cloud>, workers: usize, room: usize) -> Self {
        let now = cloud.clock.now();
        let held = Held {
            is_fifo: is_fifo(&name),
            ready: VecDeque::new(),
            leased: BTreeMap::new(),
            until: HashMap::new(),
            receivers: VecDeque::new(),
            number: 0,
            hand: Hand::default(),
            receives: Bucket::new(GROUP_REQUESTS, now),
            deletes: Bucket::new(GROUP_REQUESTS, now),
            ticks: 0,
            ticks_unserved: 0,
        };
        Self { name, cloud, workers, room, held: Mutex::new(held) }
    }

    fn held(&self) -> MutexGuard<'_, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a message; nobody is told before the next [`tick`](Self::tick).
    pub(crate) fn put(&self, request: Request, body: String, group: String) {
        let mut held = self.held();
        let group = held.is_fifo.then_some(group);
        let id = held.number();
        held.ready.push_back(Waiting { id, request, body, group, receive_count: 0 });
    }

    /// Ends leases that are due, and answers those who wait.
    pub(crate) fn tick(&self) {
        let now = self.cloud.clock.now();
        let mut held = self.held();
        while let Some(entry) = held.leased.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, number), leased) = entry.remove_entry();
            held.until.remove(&number);
            held.put_down(&self.cloud, &leased, now);
            held.make_ready(leased.waiting);
        }
        while let Some(receiver) = held.receivers.pop_front() {
            if receiver.answer.is_canceled() {
                continue;
            }
            let deliveries = held.take(&self.name, &self.cloud, receiver.max, receiver.visibility);
            if deliveries.is_empty() {
                held.receivers.push_front(receiver);
                break;
            }
            // Nobody is gone: it was asked before.
            let _ = receiver.answer.send(deliveries);
        }
        held.ticks += 1;
        // More than what each worker takes with its next receive.
        let is_backlog = held.ready.len() > BATCH * self.workers;
        let is_unserved = !held.is_fifo && is_backlog && held.hand.messages + BATCH * self.workers <= self.room;
        held.ticks_unserved += u64::from(is_unserved);
    }

    /// Measures from now on.
    pub(crate) fn begin(&self) {
        let now = self.cloud.clock.now();
        let mut held = self.held();
        held.hand.begin(now);
        (held.receives.used, held.deletes.used) = (0.0, 0.0);
        (held.ticks, held.ticks_unserved) = (0, 0);
    }

    /// What was measured over this time.
    pub(crate) fn end(&self, over: Duration) -> Seen {
        let held = self.held();
        let requests = held.receives.used.max(held.deletes.used);
        Seen {
            waiting: held.ready.len(),
            in_hand: held.hand.mean(self.cloud.clock.now(), over),
            requests: requests / GROUP_REQUESTS / over.as_secs_f64(),
            unserved: held.ticks_unserved as f64 / held.ticks.max(1) as f64,
        }
    }

    /// Whether it is more than what a FIFO queue takes in one second for a group; here all messages are of the hottest one's partition, or there
    /// are too many groups for this to count.
    fn is_refused(&self, bucket: fn(&mut Held) -> &mut Bucket) -> bool {
        let now = self.cloud.clock.now();
        let mut held = self.held();
        held.is_fifo && !bucket(&mut held).take(1.0, now)
    }

    fn told(&self, operation: &'static str, messages: Option<usize>) -> Result<(), PortError> {
        self.cloud.queue(operation, is_fifo(&self.name), messages)
    }
}

impl Held {
    fn number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn make_ready(&mut self, waiting: Waiting) {
        let at =
            if self.is_fifo { self.ready.partition_point(|other| other.id < waiting.id) } else { self.ready.len() };
        self.ready.insert(at, waiting);
    }

    /// Takes up to ten messages; of a FIFO queue none whose group was in flight before.
    fn take(&mut self, queue: &str, cloud: &Cloud, max: usize, visibility: Duration) -> Vec<Delivery> {
        let now = cloud.clock.now();
        let group = |leased: &Leased| leased.waiting.group.clone();
        let blocked: BTreeSet<_> =
            if self.is_fifo { self.leased.values().map(group).collect() } else { BTreeSet::new() };
        let mut taken = Vec::new();
        while taken.len() < max.min(BATCH) {
            let open = self.ready.iter().position(|waiting| !self.is_fifo || !blocked.contains(&waiting.group));
            let Some(at) = open else { break };
            if self.leased.len() >= in_flight_max(self.is_fifo) {
                cloud.throttled(Limit::InFlight);
                break;
            }
            let Some(mut waiting) = self.ready.remove(at) else { break };
            waiting.receive_count += 1;
            let (number, until) = (self.number(), now.after(visibility));
            taken.push(Delivery {
                id: format!("{queue}-{}", waiting.id),
                body: waiting.body.clone(),
                attributes: BTreeMap::new(),
                receipt: number.to_string(),
                receive_count: waiting.receive_count,
                group: waiting.group.clone(),
            });
            self.hand.change(now, |messages| messages + 1);
            cloud.in_hand(&waiting.request, |messages| messages + 1);
            self.until.insert(number, until);
            self.leased.insert((until, number), Leased { waiting, visibility, is_held: true });
        }
        taken
    }

    /// Ends a lease; none if it has ended already.
    fn end_lease(&mut self, receipt: &str) -> Option<(u64, Leased)> {
        let number = receipt.parse().ok()?;
        let until = self.until.remove(&number)?;
        Some((number, self.leased.remove(&(until, number))?))
    }

    /// It is in nobody's hands any more.
    fn put_down(&mut self, cloud: &Cloud, leased: &Leased, now: Timestamp) {
        if leased.is_held {
            self.hand.change(now, |messages| messages - 1);
            cloud.in_hand(&leased.waiting.request, |messages| messages - 1);
        }
    }

    /// Makes a lease end at another time; what is to be seen sooner or later than a lease would last was given back.
    fn extend(&mut self, cloud: &Cloud, receipt: &str, visibility: Duration, now: Timestamp) -> Result<(), PortError> {
        let Some((number, mut leased)) = self.end_lease(receipt) else {
            let error = PortError::new("ChangeMessageVisibilityBatch", "the lease has ended");
            return Err(error.without_effect().permanent().public());
        };
        if leased.is_held && visibility != leased.visibility {
            self.put_down(cloud, &leased, now);
            leased.is_held = false;
        }
        let until = now.after(visibility);
        self.until.insert(number, until);
        self.leased.insert((until, number), leased);
        Ok(())
    }
}

#[async_trait]
impl Queue for Inbox {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        let refused = || PortError::new(format!("sending to `{}`", self.name), "only the load is put there");
        messages.iter().map(|_| Err(refused().without_effect().permanent().public())).collect()
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        if self.is_refused(|held| &mut held.receives) {
            self.told("ReceiveMessage", None)?;
        }
        let (answer, mut answered) = oneshot::channel();
        let ready = {
            let mut held = self.held();
            let ready = held.take(&self.name, &self.cloud, max, visibility);
            if ready.is_empty() {
                held.receivers.push_back(Receiver { max, visibility, answer });
            }
            ready
        };
        let deliveries = if ready.is_empty() {
            match select(&mut answered, self.cloud.clock.sleep(wait)).await {
                Either::Left((deliveries, _)) => deliveries.unwrap_or_default(),
                Either::Right(((), _)) => {
                    // SUBTLE: what was given to it in this very moment must not be dropped; nobody else gets it before
                    // its lease ends.
                    answered.close();
                    answered.try_recv().ok().flatten().unwrap_or_default()
                }
            }
        } else {
            ready
        };
        self.told("ReceiveMessage", Some(deliveries.len()))?;
        if !deliveries.is_empty() {
            self.cloud.answer(self.cloud.latencies.receive).await;
        }
        Ok(deliveries)
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        self.cloud.answer(self.cloud.latencies.delete).await;
        let taken = (!self.is_refused(|held| &mut held.deletes)).then_some(receipts.len());
        if let Err(error) = self.told("DeleteMessageBatch", taken) {
            return receipts.iter().map(|_| Err(error.clone())).collect();
        }
        let now = self.cloud.clock.now();
        let mut held = self.held();
        for receipt in &receipts {
            if let Some((_, leased)) = held.end_lease(receipt) {
                held.put_down(&self.cloud, &leased, now);
                self.cloud.acknowledged(&leased.waiting.request);
            }
        }
        receipts.iter().map(|_| Ok(())).collect()
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        self.cloud.answer(self.cloud.latencies.delete).await;
        if let Err(error) = self.told("ChangeMessageVisibilityBatch", Some(receipts.len())) {
            return receipts.iter().map(|_| Err(error.clone())).collect();
        }
        let now = self.cloud.clock.now();
        let mut held = self.held();
        receipts.iter().map(|receipt| held.extend(&self.cloud, receipt, visibility, now)).collect()
    }
}
