//! Queues with many receivers and many messages, with latencies and with the limits of SQS.

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

use crate::fleet::{
    in_flight::InFlightMeter, limit::Limit, offered::OfferedMessage, services::Services, shards::TokenBucket,
};

/// The maximum number of messages in flight of a standard queue, and of a FIFO queue.
const IN_FLIGHT_MAX: usize = 120_000;
const FIFO_IN_FLIGHT_MAX: usize = 20_000;
/// The maximum number of requests of one kind per second for one group of a FIFO queue. The
/// size of their batches does not matter.
const GROUP_REQUESTS: f64 = 300.0;
/// The maximum batch of SQS.
pub(crate) const BATCH: usize = 10;

pub(crate) const fn in_flight_max(is_fifo: bool) -> usize {
    if is_fifo { FIFO_IN_FLIGHT_MAX } else { IN_FLIGHT_MAX }
}

/// A queue that workers receive from.
#[derive(Debug)]
pub(crate) struct Inbox {
    name: String,
    services: Arc<Services>,
    /// The number of its workers.
    workers: usize,
    /// How many messages they can process at a time.
    room: usize,
    state: Mutex<QueueState>,
}

#[derive(Debug)]
struct QueueState {
    is_fifo: bool,
    ready: VecDeque<QueuedMessage>,
    /// Messages that were received, by the end of their visibility timeout.
    in_flight: BTreeMap<(Timestamp, u64), InFlightMessage>,
    /// The end of the visibility timeout, by receipt.
    visible_at: HashMap<u64, Timestamp>,
    long_polls: VecDeque<LongPoll>,
    number: u64,
    /// The number of messages that workers are processing.
    meter: InFlightMeter,
    receives: TokenBucket,
    deletes: TokenBucket,
    /// Ticks since the beginning of the measurement, and those at which messages waited although
    /// workers had capacity.
    ticks: u64,
    ticks_unserved: u64,
}

#[derive(Debug)]
struct QueuedMessage {
    /// The number of the message.
    id: u64,
    offered: OfferedMessage,
    body: String,
    group: Option<String>,
    receive_count: u32,
}

#[derive(Debug)]
struct InFlightMessage {
    waiting: QueuedMessage,
    visibility: Duration,
    /// A worker is processing it. Otherwise the worker released it with a delay.
    is_with_worker: bool,
}

/// A long poll.
#[derive(Debug)]
struct LongPoll {
    max: usize,
    visibility: Duration,
    answer: oneshot::Sender<Vec<Delivery>>,
}

/// The measurement of one queue.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct QueueMeasurement {
    /// Messages that wait at the end.
    pub(crate) waiting: usize,
    /// Messages that workers are processing, on average.
    pub(crate) in_flight: f64,
    /// The used share of the requests that a FIFO queue takes for one group.
    pub(crate) requests: f64,
    /// The share of time in which messages waited although workers had capacity.
    pub(crate) unserved: f64,
}

impl Inbox {
    /// Creates a queue with this many workers, which can process `room` messages at a time.
    pub(crate) fn new(name: String, services: Arc<Services>, workers: usize, room: usize) -> Self {
        let now = services.clock.now();
        let state = QueueState {
            is_fifo: is_fifo(&name),
            ready: VecDeque::new(),
            in_flight: BTreeMap::new(),
            visible_at: HashMap::new(),
            long_polls: VecDeque::new(),
            number: 0,
            meter: InFlightMeter::default(),
            receives: TokenBucket::new(GROUP_REQUESTS, now),
            deletes: TokenBucket::new(GROUP_REQUESTS, now),
            ticks: 0,
            ticks_unserved: 0,
        };
        Self { name, services, workers, room, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message. Receivers get it at the next [`tick`](Self::tick).
    pub(crate) fn put(&self, offered: OfferedMessage, body: String, group: String) {
        let mut state = self.state();
        let group = state.is_fifo.then_some(group);
        let id = state.number();
        state.ready.push_back(QueuedMessage { id, offered, body, group, receive_count: 0 });
    }

    /// Makes messages visible whose visibility timeout has ended, and responds to long polls.
    pub(crate) fn tick(&self) {
        let now = self.services.clock.now();
        let mut state = self.state();
        while let Some(entry) = state.in_flight.first_entry().filter(|entry| entry.key().0 <= now) {
            let ((_, number), in_flight) = entry.remove_entry();
            state.visible_at.remove(&number);
            state.end_flight(&self.services, &in_flight, now);
            state.make_ready(in_flight.waiting);
        }
        while let Some(long_poll) = state.long_polls.pop_front() {
            if long_poll.answer.is_canceled() {
                continue;
            }
            let deliveries = state.take(&self.name, &self.services, long_poll.max, long_poll.visibility);
            if deliveries.is_empty() {
                state.long_polls.push_front(long_poll);
                break;
            }
            // The receiver exists, as checked above.
            let _ = long_poll.answer.send(deliveries);
        }
        state.ticks += 1;
        // More messages than the workers take with their next receives.
        let is_backlog = state.ready.len() > BATCH * self.workers;
        let is_unserved = !state.is_fifo && is_backlog && state.meter.messages + BATCH * self.workers <= self.room;
        state.ticks_unserved += u64::from(is_unserved);
    }

    /// Begins the measurement.
    pub(crate) fn begin(&self) {
        let now = self.services.clock.now();
        let mut state = self.state();
        state.meter.begin(now);
        (state.receives.used, state.deletes.used) = (0.0, 0.0);
        (state.ticks, state.ticks_unserved) = (0, 0);
    }

    /// Returns the measurement over this time.
    pub(crate) fn end(&self, over: Duration) -> QueueMeasurement {
        let state = self.state();
        let requests = state.receives.used.max(state.deletes.used);
        QueueMeasurement {
            waiting: state.ready.len(),
            in_flight: state.meter.mean(self.services.clock.now(), over),
            requests: requests / GROUP_REQUESTS / over.as_secs_f64(),
            unserved: state.ticks_unserved as f64 / state.ticks.max(1) as f64,
        }
    }

    /// Whether a request exceeds the limit of a FIFO queue for one group. All requests count as
    /// requests for the hottest group. If there are many groups, the limit does not matter.
    fn is_refused(&self, bucket: fn(&mut QueueState) -> &mut TokenBucket) -> bool {
        let now = self.services.clock.now();
        let mut state = self.state();
        state.is_fifo && !bucket(&mut state).take(1.0, now)
    }

    fn count_request(&self, operation: &'static str, messages: Option<usize>) -> Result<(), PortError> {
        self.services.queue(operation, is_fifo(&self.name), messages)
    }
}

impl QueueState {
    fn number(&mut self) -> u64 {
        self.number += 1;
        self.number
    }

    fn make_ready(&mut self, waiting: QueuedMessage) {
        let at =
            if self.is_fifo { self.ready.partition_point(|other| other.id < waiting.id) } else { self.ready.len() };
        self.ready.insert(at, waiting);
    }

    /// Takes up to ten messages. From a FIFO queue it takes none whose group was in flight before.
    fn take(&mut self, queue: &str, services: &Services, max: usize, visibility: Duration) -> Vec<Delivery> {
        let now = services.clock.now();
        let group = |in_flight: &InFlightMessage| in_flight.waiting.group.clone();
        let blocked: BTreeSet<_> =
            if self.is_fifo { self.in_flight.values().map(group).collect() } else { BTreeSet::new() };
        let mut taken = Vec::new();
        while taken.len() < max.min(BATCH) {
            let open = self.ready.iter().position(|waiting| !self.is_fifo || !blocked.contains(&waiting.group));
            let Some(at) = open else { break };
            if self.in_flight.len() >= in_flight_max(self.is_fifo) {
                services.throttled(Limit::InFlight);
                break;
            }
            let Some(mut waiting) = self.ready.remove(at) else { break };
            waiting.receive_count += 1;
            let (number, visible_at) = (self.number(), now.after(visibility));
            taken.push(Delivery {
                id: format!("{queue}-{}", waiting.id),
                body: waiting.body.clone(),
                attributes: BTreeMap::new(),
                receipt: number.to_string(),
                receive_count: waiting.receive_count,
                group: waiting.group.clone(),
            });
            self.meter.change(now, |messages| messages + 1);
            services.change_hottest(&waiting.offered, |messages| messages + 1);
            self.visible_at.insert(number, visible_at);
            self.in_flight.insert((visible_at, number), InFlightMessage { waiting, visibility, is_with_worker: true });
        }
        taken
    }

    /// Removes a message in flight. Returns `None` if its visibility timeout has ended.
    fn take_in_flight(&mut self, receipt: &str) -> Option<(u64, InFlightMessage)> {
        let number = receipt.parse().ok()?;
        let visible_at = self.visible_at.remove(&number)?;
        Some((number, self.in_flight.remove(&(visible_at, number))?))
    }

    /// Ends the processing of a message by its worker.
    fn end_flight(&mut self, services: &Services, in_flight: &InFlightMessage, now: Timestamp) {
        if in_flight.is_with_worker {
            self.meter.change(now, |messages| messages - 1);
            services.change_hottest(&in_flight.waiting.offered, |messages| messages - 1);
        }
    }

    /// Changes the visibility timeout of a message. If the new timeout differs from that of the
    /// receive, the worker releases the message.
    fn extend(
        &mut self,
        services: &Services,
        receipt: &str,
        visibility: Duration,
        now: Timestamp,
    ) -> Result<(), PortError> {
        let Some((number, mut in_flight)) = self.take_in_flight(receipt) else {
            let error = PortError::new("ChangeMessageVisibilityBatch", "the visibility timeout has ended");
            return Err(error.without_effect().permanent().public());
        };
        if in_flight.is_with_worker && visibility != in_flight.visibility {
            self.end_flight(services, &in_flight, now);
            in_flight.is_with_worker = false;
        }
        let visible_at = now.after(visibility);
        self.visible_at.insert(number, visible_at);
        self.in_flight.insert((visible_at, number), in_flight);
        Ok(())
    }
}

#[async_trait]
impl Queue for Inbox {
    fn name(&self) -> &str {
        &self.name
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        let refused = || PortError::new(format!("sending to `{}`", self.name), "only the load sends to this queue");
        messages.iter().map(|_| Err(refused().without_effect().permanent().public())).collect()
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        if self.is_refused(|state| &mut state.receives) {
            self.count_request("ReceiveMessage", None)?;
        }
        let (answer, mut answered) = oneshot::channel();
        let ready = {
            let mut state = self.state();
            let ready = state.take(&self.name, &self.services, max, visibility);
            if ready.is_empty() {
                state.long_polls.push_back(LongPoll { max, visibility, answer });
            }
            ready
        };
        let deliveries = if ready.is_empty() {
            match select(&mut answered, self.services.clock.sleep(wait)).await {
                Either::Left((deliveries, _)) => deliveries.unwrap_or_default(),
                Either::Right(((), _)) => {
                    // SUBTLE: (1) The wait ends. (2) At the same moment `tick` has given messages
                    // to this receiver. If they were dropped, no receiver would get them before
                    // their visibility timeout ends.
                    answered.close();
                    answered.try_recv().ok().flatten().unwrap_or_default()
                }
            }
        } else {
            ready
        };
        self.count_request("ReceiveMessage", Some(deliveries.len()))?;
        if !deliveries.is_empty() {
            self.services.answer(self.services.latencies.receive).await;
        }
        Ok(deliveries)
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        self.services.answer(self.services.latencies.delete).await;
        let taken = (!self.is_refused(|state| &mut state.deletes)).then_some(receipts.len());
        if let Err(error) = self.count_request("DeleteMessageBatch", taken) {
            return receipts.iter().map(|_| Err(error.clone())).collect();
        }
        let now = self.services.clock.now();
        let mut state = self.state();
        for receipt in &receipts {
            if let Some((_, in_flight)) = state.take_in_flight(receipt) {
                state.end_flight(&self.services, &in_flight, now);
                self.services.acknowledged(&in_flight.waiting.offered);
            }
        }
        receipts.iter().map(|_| Ok(())).collect()
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        self.services.answer(self.services.latencies.delete).await;
        if let Err(error) = self.count_request("ChangeMessageVisibilityBatch", Some(receipts.len())) {
            return receipts.iter().map(|_| Err(error.clone())).collect();
        }
        let now = self.services.clock.now();
        let mut state = self.state();
        receipts.iter().map(|receipt| state.extend(&self.services, receipt, visibility, now)).collect()
    }
}
