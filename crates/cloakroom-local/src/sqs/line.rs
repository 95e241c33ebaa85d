//! The order in which the ready messages of a queue are received.

use std::collections::{HashMap, VecDeque};

use super::groups::Groups;
use super::message::{Message, Number, State};

/// A message and its turn when it got in line, void if the message has another turn by now.
type Ticket = (Number, Number);

/// The messages that wait to be received.
#[derive(Debug)]
pub(super) enum Line {
    /// One after the other, by when they became ready.
    Standard(VecDeque<Ticket>),
    /// By message group.
    Fifo(Groups),
}

impl Line {
    pub(super) fn new(fifo: bool) -> Self {
        match fifo {
            true => Self::Fifo(Groups::default()),
            false => Self::Standard(VecDeque::new()),
        }
    }

    /// A message has entered the state that it is in.
    pub(super) fn enter(&mut self, number: Number, message: &Message) {
        let state = message.delivery.state;
        match (self, &message.content.group) {
            (Self::Standard(line), _) if state == State::Ready => line.push_back((number, message.turn)),
            (Self::Standard(_), _) | (Self::Fifo(_), None) => {}
            (Self::Fifo(groups), Some(group)) => match state {
                State::InFlight { .. } => groups.sent_out(group, number),
                // A delayed message keeps its place: those behind it in the group wait too.
                State::Ready | State::Delayed { .. } => groups.wait(group, number),
            },
        }
    }

    /// A message is about to leave the state that it is in. Tickets of a standard queue are
    /// left behind, void.
    pub(super) fn leave(&mut self, number: Number, message: &Message) {
        if let (Self::Fifo(groups), Some(group)) = (self, &message.content.group) {
            match message.delivery.state {
                State::InFlight { .. } => groups.returned(group, number),
                State::Ready | State::Delayed { .. } => groups.forget(group, number),
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
            Self::Standard(line) => loop {
                let (number, turn) = line.pop_front()?;
                if messages.get(&number).is_some_and(|message| message.turn == turn) {
                    return Some(number);
                }
            },
        }
    }

    /// Ends what several calls of `take` began.
    pub(super) fn end_receive(&mut self) {
        if let Self::Fifo(groups) = self {
            groups.end_receive();
        }
    }

    pub(super) fn clear(&mut self) {
        match self {
            Self::Standard(line) => line.clear(),
            Self::Fifo(groups) => groups.clear(),
        }
    }
}
