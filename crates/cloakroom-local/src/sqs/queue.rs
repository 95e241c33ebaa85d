//! One queue: which message can be received when.
//!
//! Nothing here reads a clock or waits: the time is a parameter. Nothing scans either: ready
//! messages stand in line, delayed and in-flight ones in a heap by their deadline, and a
//! message that was deleted leaves void entries behind that are skipped when they come up.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, HashMap};
use std::sync::Arc;

use tokio::sync::Notify;

use super::attempts::Attempts;
use super::deduplication::{self, Deduplication, Original};
use super::line::Line;
use super::message::{Content, Delivery, Message, Number, State};
use super::settings::Settings;
use crate::clock::Millis;

/// Messages that can be in flight at a time.
const MOST_IN_FLIGHT: usize = 120_000;

/// A queue.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) settings: Settings,
    pub(super) tags: BTreeMap<String, String>,
    pub(super) created_at: Millis,
    pub(super) modified_at: Millis,
    /// Woken when a receiver may find something new.
    pub(super) arrivals: Arc<Notify>,
    pub(super) messages: HashMap<Number, Message>,
    pub(super) deduplication: Deduplication,
    pub(super) attempts: Attempts,
    /// When the queue was purged last.
    pub(super) purged_at: Option<Millis>,
    /// Changes since they were last taken, if anyone takes them.
    changes: Option<Vec<Change>>,
    line: Line,
    deadlines: BinaryHeap<Reverse<(Millis, Number, Number)>>,
    by_age: BTreeSet<(Millis, Number)>,
    delayed: usize,
    in_flight: usize,
    last_number: Number,
}

/// What has to be written to the journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Sent(Number),
    Moved(Number),
    Gone(Number),
    Accepted(String),
    Forgotten(String),
}

/// What a receiver asks for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Ask {
    pub(super) most: usize,
    pub(super) visibility: Millis,
    /// Messages received this often go to the dead-letter queue instead.
    pub(super) dead_after: Option<u32>,
}

/// One delivery of a message.
#[derive(Debug)]
pub(super) struct Received {
    pub(super) number: Number,
    pub(super) content: Arc<Content>,
    pub(super) delivery: Delivery,
}

/// What a receiver gets.
#[derive(Debug, Default)]
pub(super) struct Receipt {
    pub(super) messages: Vec<Received>,
    /// Messages that were taken out because they were received too often.
    pub(super) dead: Vec<Message>,
}

/// The receipt no longer deletes its message: the visibility timeout of that delivery has passed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Expired;

/// How many messages there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) ready: usize,
    pub(super) delayed: usize,
    pub(super) in_flight: usize,
}

impl Queue {
    /// An empty queue. A durable one keeps track of its changes for the journal.
    pub(super) fn new(settings: Settings, now: Millis, durable: bool) -> Self {
        let line = Line::new(settings.fifo);
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
            line,
            deadlines: BinaryHeap::new(),
            by_age: BTreeSet::new(),
            delayed: 0,
            in_flight: 0,
            last_number: 0,
        }
    }

    /// A number greater than all before. Counting from the clock keeps it so after a restart,
    /// when the last number is not known.
    fn number(&mut self, now: Millis) -> Number {
        self.last_number = (self.last_number + 1).max(now << 16);
        self.last_number
    }

    fn note(&mut self, change: Change) {
        if let Some(changes) = &mut self.changes {
            changes.push(change);
        }
    }

    /// What changed since the last call.
    pub(super) fn take_changes(&mut self) -> Vec<Change> {
        self.changes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    /// The message that one with this content would be a repetition of.
    pub(super) fn original(&self, now: Millis, content: &Content) -> Option<&Original> {
        let key = self.deduplication_key(content)?;
        self.deduplication.original(now, &key)
    }

    /// The key under which a FIFO queue remembers a message.
    fn deduplication_key(&self, content: &Content) -> Option<String> {
        let id = content.deduplication_id.as_deref()?;
        let per_group = self.settings.deduplicates_per_group;
        let scope = content.group.as_deref().filter(|_| per_group);
        self.settings.fifo.then(|| deduplication::key(scope, id))
    }

    /// Adds a message and remembers it for deduplication.
    pub(super) fn send(&mut self, now: Millis, content: Content, delay: Millis) -> Number {
        let key = self.deduplication_key(&content);
        let id = content.id.clone();
        let number = self.add(now, Arc::new(content), delay, Delivery::default());
        if let Some(key) = key {
            self.note(Change::Accepted(key.clone()));
            self.deduplication.accept(now, key, id, number);
        }
        number
    }

    /// Adds a message that comes from another queue, or a copy of one.
    pub(super) fn add(&mut self, now: Millis, content: Arc<Content>, delay: Millis, mut delivery: Delivery) -> Number {
        let number = self.number(now);
        delivery.receipt = None;
        delivery.state = match delay {
            0 => State::Ready,
            delay => State::Delayed { until: now + delay },
        };
        self.restore(number, content, delivery);
        self.note(Change::Sent(number));
        number
    }

    /// Puts a message where its state says, as after a restart.
    pub(super) fn restore(&mut self, number: Number, content: Arc<Content>, delivery: Delivery) {
        let receipt = delivery.receipt.unwrap_or_default();
        self.last_number = self.last_number.max(number).max(receipt);
        self.by_age.insert((content.sent_at, number));
        let state = delivery.state;
        let message = Message { content, delivery, turn: number };
        self.messages.insert(number, message);
        self.enter(number, state);
    }

    /// A message that is in no state yet enters one.
    fn enter(&mut self, number: Number, state: State) {
        self.last_number += 1;
        let turn = self.last_number;
        let Some(message) = self.messages.get_mut(&number) else { return };
        message.turn = turn;
        message.delivery.state = state;
        self.line.enter(number, message);
        match state {
            State::Ready => self.arrivals.notify_one(),
            State::Delayed { until } => {
                self.delayed += 1;
                self.watch(until, number, turn);
            }
            State::InFlight { until } => {
                self.in_flight += 1;
                self.watch(until, number, turn);
            }
        }
    }

    fn watch(&mut self, deadline: Millis, number: Number, turn: Number) {
        let earliest = self.next_deadline().is_none_or(|next| deadline < next);
        self.deadlines.push(Reverse((deadline, number, turn)));
        if earliest {
            // Receivers that wait for a later deadline have to look at this one.
            self.arrivals.notify_waiters();
        }
    }

    /// A message leaves the state it is in.
    fn leave(&mut self, number: Number) {
        let Some(message) = self.messages.get(&number) else { return };
        match message.delivery.state {
            State::Ready => {}
            State::Delayed { .. } => self.delayed -= 1,
            State::InFlight { .. } => self.in_flight -= 1,
        }
        self.line.leave(number, message);
    }

    /// Takes a message out of the queue.
    fn remove(&mut self, number: Number) -> Option<Message> {
        self.leave(number);
        let message = self.messages.remove(&number)?;
        self.by_age.remove(&(message.content.sent_at, number));
        self.note(Change::Gone(number));
        if self.ready() > 0 {
            // The next of its group may have become free.
            self.arrivals.notify_one();
        }
        Some(message)
    }

    /// Lets the time pass: drops messages past their retention, and makes those ready whose
    /// deadline has come.
    pub(super) fn advance(&mut self, now: Millis) {
        while let Some((sent_at, number)) = self.by_age.first().copied()
            && sent_at + self.settings.retention <= now
        {
            self.remove(number);
        }
        while let Some(Reverse((deadline, number, turn))) = self.deadlines.peek().copied()
            && deadline <= now
        {
            self.deadlines.pop();
            if self.has_turn(number, turn) {
                self.leave(number);
                self.enter(number, State::Ready);
            }
        }
        for key in self.deduplication.expire(now) {
            self.note(Change::Forgotten(key));
        }
    }

    fn has_turn(&self, number: Number, turn: Number) -> bool {
        self.messages.get(&number).is_some_and(|m| m.turn == turn)
    }

    /// When a receiver should look again if nothing arrives before.
    pub(super) fn next_deadline(&self) -> Option<Millis> {
        self.deadlines.peek().map(|Reverse((deadline, ..))| *deadline)
    }

    /// Hands out messages. The caller has let the time pass.
    pub(super) fn receive(&mut self, now: Millis, ask: &Ask) -> Receipt {
        let mut receipt = Receipt::default();
        while receipt.messages.len() < ask.most && self.in_flight < MOST_IN_FLIGHT {
            let Some(number) = self.line.take(&self.messages) else { break };
            let received = self.messages.get(&number).map_or(0, |m| m.delivery.received);
            if ask.dead_after.is_some_and(|limit| received >= limit) {
                receipt.dead.extend(self.remove(number));
            } else {
                receipt.messages.extend(self.hand_out(now, number, ask.visibility));
            }
        }
        self.line.end_receive();
        if !receipt.messages.is_empty() && self.ready() > 0 {
            // Others who wait can have the rest.
            self.arrivals.notify_one();
        }
        receipt
    }

    fn hand_out(&mut self, now: Millis, number: Number, visibility: Millis) -> Option<Received> {
        let until = now + visibility;
        let receipt = self.number(now);
        let message = self.messages.get_mut(&number)?;
        message.delivery.received += 1;
        message.delivery.receipt = Some(receipt);
        message.delivery.first_received_at.get_or_insert(now);
        self.enter(number, State::InFlight { until });
        self.note(Change::Moved(number));
        let message = self.messages.get(&number)?;
        Some(Received { number, content: Arc::clone(&message.content), delivery: message.delivery.clone() })
    }

    /// Deletes a message, and tells whether it was there to be deleted. Deleting it again does
    /// nothing, which SQS calls a success, and so does the receipt of an earlier delivery than the
    /// latest. A FIFO queue refuses the latter, and any receipt whose delivery is over: others may
    /// have the message by now, and the next of its group must not overtake them.
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

    /// Moves a message from one state to another.
    pub(super) fn change_state(&mut self, number: Number, state: State) {
        self.leave(number);
        self.enter(number, state);
        self.note(Change::Moved(number));
    }

    /// Deletes all messages.
    pub(super) fn purge(&mut self) {
        let numbers: Vec<Number> = self.messages.keys().copied().collect();
        numbers.into_iter().map(Change::Gone).for_each(|change| self.note(change));
        self.messages.clear();
        self.by_age.clear();
        self.deadlines.clear();
        (self.delayed, self.in_flight) = (0, 0);
        self.line.clear();
    }

    /// Deletes all messages and forgets which there were.
    pub(super) fn empty(&mut self) {
        self.purge();
        for key in self.deduplication.clear() {
            self.note(Change::Forgotten(key));
        }
    }

    /// Takes the next message out, to be moved to another queue.
    pub(super) fn take_out(&mut self) -> Option<Message> {
        let number = self.line.take(&self.messages)?;
        let message = self.remove(number);
        self.line.end_receive();
        message
    }

    pub(super) fn is_full(&self) -> bool {
        self.in_flight >= MOST_IN_FLIGHT
    }

    fn ready(&self) -> usize {
        self.messages.len() - self.delayed - self.in_flight
    }

    pub(super) fn counts(&self) -> Counts {
        Counts { ready: self.ready(), delayed: self.delayed, in_flight: self.in_flight }
    }
}
