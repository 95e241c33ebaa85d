//! One queue: which messages can be received at which time.
//!
//! This module neither reads a clock nor waits: the time is a parameter. It never scans all
//! messages. Ready messages are in the receive order, and delayed and in-flight messages in a heap
//! of deadlines. A deleted message leaves invalid entries in both, which are skipped.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

use tokio::sync::Notify;

use crate::clock::Millis;
use crate::sqs::attempts::Attempts;
use crate::sqs::deduplication::{self, Deduplication, Original};
use crate::sqs::message::{Content, Delivery, Message, Number, Received, State};
use crate::sqs::receive_order::ReceiveOrder;
use crate::sqs::settings::Settings;

/// The maximum number of messages in flight.
const MAX_IN_FLIGHT: usize = 120_000;

/// A queue.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) settings: Settings,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) created_at: Millis,
    pub(super) modified_at: Millis,
    /// Notified when a receiver may find a message.
    pub(super) arrivals: Arc<Notify>,
    pub(super) messages: HashMap<Number, Message>,
    pub(super) deduplication: Deduplication,
    pub(super) attempts: Attempts,
    /// The time of the last purge.
    pub(super) purged_at: Option<Millis>,
    /// Changes since the last call of `take_changes`. `None` if the queue is not durable.
    changes: Option<Vec<Change>>,
    order: ReceiveOrder,
    deadlines: BinaryHeap<Reverse<(Millis, Number, Number)>>,
    by_age: BTreeSet<(Millis, Number)>,
    delayed: usize,
    in_flight: usize,
    last_number: Number,
}

/// A change to be written to the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Added(Number),
    Updated(Number),
    Removed(Number),
    DeduplicationAdded(String),
    DeduplicationRemoved(String),
}

/// The options of a receive.
#[derive(Debug, Clone, Copy)]
pub(super) struct ReceiveOptions {
    pub(super) max_messages: usize,
    pub(super) visibility: Millis,
    /// A message that was already received this often is moved to the dead-letter queue instead.
    pub(super) max_receives: Option<u32>,
}

/// The result of a receive.
#[derive(Debug, Default)]
pub(super) struct ReceiveResult {
    pub(super) messages: Vec<Received>,
    /// Messages that were removed because they were received too often.
    pub(super) dead_letters: Vec<Message>,
}

/// The receipt can no longer delete its message, because the visibility timeout of its delivery has
/// ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expired;

/// The number of messages by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) ready: usize,
    pub(super) delayed: usize,
    pub(super) in_flight: usize,
}

impl Queue {
    /// Returns an empty queue. A durable queue collects its changes for the journal.
    pub(super) fn new(settings: Settings, now: Millis, durable: bool) -> Self {
        let order = ReceiveOrder::new(settings.fifo);
        Self {
            settings,
            tags: BTreeMap::new(),
            created_at: now,
            modified_at: now,
            arrivals: Arc::default(),
            messages: HashMap::new(),
            deduplication: Deduplication::default(),
            attempts: Attempts::default(),
            purged_at: None,
            changes: durable.then(Vec::new),
            order,
            deadlines: BinaryHeap::new(),
            by_age: BTreeSet::new(),
            delayed: 0,
            in_flight: 0,
            last_number: 0,
        }
    }

    /// Returns a number greater than all previous numbers. It is derived from the clock, because
    /// the last number is unknown after a restart.
    fn next_number(&mut self, now: Millis) -> Number {
        self.last_number = (self.last_number + 1).max(now << 16);
        self.last_number
    }

    fn record(&mut self, change: Change) {
        if let Some(changes) = &mut self.changes {
            changes.push(change);
        }
    }

    /// Returns the changes since the last call.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        self.changes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// Returns the original of which a message with this content would be a repetition.
    pub(super) fn original(&self, now: Millis, content: &Content) -> Option<&Original> {
        let key = self.deduplication_key(content)?;
        self.deduplication.original(now, &key)
    }

    /// Returns the deduplication key of a message. `None` if the queue does not deduplicate it.
    fn deduplication_key(&self, content: &Content) -> Option<String> {
        let id = content.deduplication_id.as_deref()?;
        let per_group = self.settings.deduplicates_per_group;
        let scope = content.group.as_deref().filter(|_| per_group);
        self.settings.fifo.then(|| deduplication::key(scope, id))
    }

    /// Adds a message, and records it for deduplication.
    pub(super) fn send(&mut self, now: Millis, content: Content, delay: Millis) -> Number {
        let key = self.deduplication_key(&content);
        let id = content.id.clone();
        let number = self.add(now, Arc::new(content), delay, Delivery::default());
        if let Some(key) = key {
            self.record(Change::DeduplicationAdded(key.clone()));
            self.deduplication.accept(now, key, id, number);
        }
        number
    }

    /// Adds a message from another queue, or a copy of a message.
    pub(super) fn add(&mut self, now: Millis, content: Arc<Content>, delay: Millis, mut delivery: Delivery) -> Number {
        let number = self.next_number(now);
        delivery.receipt = None;
        delivery.state = match delay {
            0 => State::Ready,
            delay => State::Delayed { until: now + delay },
        };
        self.restore(number, content, delivery);
        self.record(Change::Added(number));
        number
    }

    /// Adds a message in its given state, for example after a restart.
    pub(super) fn restore(&mut self, number: Number, content: Arc<Content>, delivery: Delivery) {
        let receipt = delivery.receipt.unwrap_or_default();
        self.last_number = self.last_number.max(number).max(receipt);
        self.by_age.insert((content.sent_at, number));
        let state = delivery.state;
        let message = Message { content, delivery, state_version: number };
        self.messages.insert(number, message);
        self.enter(number, state);
    }

    /// Sets the state of a message that has none.
    fn enter(&mut self, number: Number, state: State) {
        self.last_number += 1;
        let state_version = self.last_number;
        let Some(message) = self.messages.get_mut(&number) else { return };
        message.state_version = state_version;
        message.delivery.state = state;
        self.order.enter(number, message);
        match state {
            State::Ready => self.arrivals.notify_one(),
            State::Delayed { until } => {
                self.delayed += 1;
                self.add_deadline(until, number, state_version);
            }
            State::InFlight { until } => {
                self.in_flight += 1;
                self.add_deadline(until, number, state_version);
            }
        }
    }

    fn add_deadline(&mut self, deadline: Millis, number: Number, state_version: Number) {
        let earliest = self.next_deadline().is_none_or(|next| deadline < next);
        self.deadlines.push(Reverse((deadline, number, state_version)));
        if earliest {
            // Receivers that wait for a later deadline must consider this one.
            self.arrivals.notify_waiters();
        }
    }

    /// Ends the current state of a message.
    fn leave(&mut self, number: Number) {
        let Some(message) = self.messages.get(&number) else { return };
        match message.delivery.state {
            State::Ready => {}
            State::Delayed { .. } => self.delayed -= 1,
            State::InFlight { .. } => self.in_flight -= 1,
        }
        self.order.leave(number, message);
    }

    /// Removes a message from the queue.
    fn remove(&mut self, number: Number) -> Option<Message> {
        self.leave(number);
        let message = self.messages.remove(&number)?;
        self.by_age.remove(&(message.content.sent_at, number));
        self.record(Change::Removed(number));
        if self.ready() > 0 {
            // The next message of its group may have become available.
            self.arrivals.notify_one();
        }
        Some(message)
    }

    /// Applies the passage of time: deletes messages after their retention period, and makes
    /// messages ready whose deadline has passed.
    pub(super) fn advance(&mut self, now: Millis) {
        while let Some((sent_at, number)) = self.by_age.first().copied()
            && sent_at + self.settings.retention <= now
        {
            self.remove(number);
        }
        while let Some(Reverse((deadline, number, state_version))) = self.deadlines.peek().copied()
            && deadline <= now
        {
            self.deadlines.pop();
            if self.is_current(number, state_version) {
                self.leave(number);
                self.enter(number, State::Ready);
            }
        }
        for key in self.deduplication.expire(now) {
            self.record(Change::DeduplicationRemoved(key));
        }
    }

    fn is_current(&self, number: Number, state_version: Number) -> bool {
        self.messages.get(&number).is_some_and(|m| m.state_version == state_version)
    }

    /// Returns the time at which a receiver must check again if no message arrives before.
    pub(super) fn next_deadline(&self) -> Option<Millis> {
        self.deadlines.peek().map(|Reverse((deadline, ..))| *deadline)
    }

    /// Delivers messages. The caller has called `advance`.
    pub(super) fn receive(&mut self, now: Millis, options: &ReceiveOptions) -> ReceiveResult {
        let mut result = ReceiveResult::default();
        while result.messages.len() < options.max_messages && self.in_flight < MAX_IN_FLIGHT {
            let Some(number) = self.order.take(&self.messages) else { break };
            let received = self.messages.get(&number).map_or(0, |m| m.delivery.received);
            if options.max_receives.is_some_and(|limit| received >= limit) {
                result.dead_letters.extend(self.remove(number));
            } else {
                result.messages.extend(self.deliver(now, number, options.visibility));
            }
        }
        self.order.end_receive();
        if !result.messages.is_empty() && self.ready() > 0 {
            // Other waiting receivers can receive the rest.
            self.arrivals.notify_one();
        }
        result
    }

    fn deliver(&mut self, now: Millis, number: Number, visibility: Millis) -> Option<Received> {
        let until = now + visibility;
        let receipt = self.next_number(now);
        let message = self.messages.get_mut(&number)?;
        message.delivery.received += 1;
        message.delivery.receipt = Some(receipt);
        message.delivery.first_received_at.get_or_insert(now);
        self.enter(number, State::InFlight { until });
        self.record(Change::Updated(number));
        let message = self.messages.get(&number)?;
        Some(Received { number, content: Arc::clone(&message.content), delivery: message.delivery.clone() })
    }

    /// Deletes a message, and returns whether it existed. Deleting a message again does nothing,
    /// which is a success in SQS. A standard queue also ignores the receipt of an earlier delivery.
    /// A FIFO queue rejects such a receipt, and the receipt of a delivery whose visibility timeout
    /// has ended. Another consumer may be processing the message then, and the next message of its
    /// group must not overtake it.
    pub(super) fn delete(&mut self, number: Number, receipt: Number) -> Result<bool, Expired> {
        let Some(message) = self.messages.get(&number) else {
            return Ok(false);
        };
        let latest = message.delivery.receipt == Some(receipt);
        let in_flight = matches!(message.delivery.state, State::InFlight { .. });
        if self.settings.fifo && !(latest && in_flight) {
            return Err(Expired);
        }
        Ok(latest && self.remove(number).is_some())
    }

    /// Changes the state of a message.
    pub(super) fn change_state(&mut self, number: Number, state: State) {
        self.leave(number);
        self.enter(number, state);
        self.record(Change::Updated(number));
    }

    /// Deletes all messages.
    pub(super) fn purge(&mut self) {
        let numbers: Vec<Number> = self.messages.keys().copied().collect();
        numbers.into_iter().map(Change::Removed).for_each(|change| self.record(change));
        self.messages.clear();
        self.by_age.clear();
        self.deadlines.clear();
        (self.delayed, self.in_flight) = (0, 0);
        self.order.clear();
    }

    /// Deletes all messages and all deduplication records.
    pub(super) fn delete_everything(&mut self) {
        self.purge();
        for key in self.deduplication.clear() {
            self.record(Change::DeduplicationRemoved(key));
        }
    }

    /// Removes the next message, to move it to another queue.
    pub(super) fn remove_next(&mut self) -> Option<Message> {
        let number = self.order.take(&self.messages)?;
        let message = self.remove(number);
        self.order.end_receive();
        message
    }

    pub(super) fn is_full(&self) -> bool {
        self.in_flight >= MAX_IN_FLIGHT
    }

    fn ready(&self) -> usize {
        self.messages.len() - self.delayed - self.in_flight
    }

    pub(super) fn counts(&self) -> Counts {
        Counts { ready: self.ready(), delayed: self.delayed, in_flight: self.in_flight }
    }
}
