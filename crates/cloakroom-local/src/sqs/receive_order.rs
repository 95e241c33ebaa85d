//! The order in which the ready messages of a queue are received.

use std::collections::{HashMap, VecDeque};

use crate::sqs::groups::Groups;
use crate::sqs::message::{Message, Number, State};

/// A message and its state version when it became ready. Invalid if the message has another state
/// version now.
type Entry = (Number, Number);

/// The messages that can be received, in order.
#[derive(Debug)]
pub(super) enum ReceiveOrder {
    /// In the order in which they became ready.
    Standard(VecDeque<Entry>),
    /// By message group.
    Fifo(Groups),
}

impl ReceiveOrder {
    pub(super) fn new(fifo: bool) -> Self {
        match fifo {
            true => Self::Fifo(Groups::default()),
            false => Self::Standard(VecDeque::new()),
        }
    }

    /// Adds a message that has entered its current state.
    pub(super) fn enter(&mut self, number: Number, message: &Message) {
        let state = message.delivery.state;
        match (self, &message.content.group) {
            (Self::Standard(entries), _) if state == State::Ready => entries.push_back((number, message.state_version)),
            (Self::Standard(_), _) | (Self::Fifo(_), None) => {}
            (Self::Fifo(groups), Some(group)) => match state {
                State::InFlight { .. } => groups.add_in_flight(group, number),
                // A delayed message keeps its position: later messages of its group must wait, too.
                State::Ready | State::Delayed { .. } => groups.add_waiting(group, number),
            },
        }
    }

    /// Removes a message that is about to leave its current state. In a standard queue, its entry
    /// remains and becomes invalid.
    pub(super) fn leave(&mut self, number: Number, message: &Message) {
        if let (Self::Fifo(groups), Some(group)) = (self, &message.content.group) {
            match message.delivery.state {
                State::InFlight { .. } => groups.remove_in_flight(group, number),
                State::Ready | State::Delayed { .. } => groups.remove_waiting(group, number),
            }
        }
    }

    /// Takes the next message that can be received.
    pub(super) fn take(&mut self, messages: &HashMap<Number, Message>) -> Option<Number> {
        match self {
            Self::Fifo(groups) => groups.take(|number| {
                let message = messages.get(&number);
                message.is_some_and(|message| message.delivery.state == State::Ready)
            }),
            Self::Standard(entries) => loop {
                let (number, state_version) = entries.pop_front()?;
                if messages.get(&number).is_some_and(|message| message.state_version == state_version) {
                    return Some(number);
                }
            },
        }
    }

    /// Ends a receive, which consists of several calls of `take`.
    pub(super) fn end_receive(&mut self) {
        if let Self::Fifo(groups) = self {
            groups.end_receive();
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Standard(entries) => entries.clear(),
            Self::Fifo(groups) => groups.clear(),
        }
    }
}
