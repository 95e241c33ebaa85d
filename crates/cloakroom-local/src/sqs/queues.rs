//! All queues, and what concerns more than one of them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::address;
use super::error::{Error, Kind};
use super::message::{Content, Delivery, Message};
use super::move_task::MoveTask;
use super::queue::{Ask, Queue, Received};
use crate::clock::Millis;
use crate::faults::Dice;

/// The queues of the account.
#[derive(Debug, Default)]
pub(super) struct Queues {
    pub(super) by_name: BTreeMap<String, Queue>,
    pub(super) tasks: Vec<MoveTask>,
    /// Queues that were created, configured or deleted since this was last recorded.
    pub(super) reconfigured: Vec<String>,
    /// Whether changes are recorded.
    pub(super) durable: bool,
    /// Queues that were deleted, as long as the end of their messages is not recorded.
    pub(super) deleted: Vec<(String, Queue)>,
}

/// The messages of one receive, and what faults added to it.
#[derive(Debug, Default)]
pub(super) struct Delivered {
    pub(super) messages: Vec<Received>,
    pub(super) duplicates: u64,
}

impl Queues {
    pub(super) fn get(&mut self, name: &str) -> Result<&mut Queue, Error> {
        self.by_name
            .get_mut(name)
            .ok_or_else(|| Kind::QueueDoesNotExist.because(format!("The specified queue does not exist: {name}.")))
    }

    /// Notes that a queue has to be recorded anew.
    pub(super) fn reconfigured(&mut self, name: &str) {
        if self.durable {
            self.reconfigured.push(name.to_owned());
        }
    }

    /// Deletes a queue with everything in it.
    pub(super) fn delete(&mut self, name: &str) -> Result<(), Error> {
        self.get(name)?;
        if let Some(mut queue) = self.by_name.remove(name) {
            queue.empty();
            queue.arrivals.notify_waiters();
            self.reconfigured(name);
            if self.durable {
                self.deleted.push((name.to_owned(), queue));
            }
        }
        Ok(())
    }

    /// Receives from a queue. Messages that were received too often go to its dead-letter
    /// queue on the way, provided that there is one.
    pub(super) fn receive(
        &mut self,
        now: Millis,
        name: &str,
        most: usize,
        visibility: Option<Millis>,
        dice: &Dice,
    ) -> Result<Delivered, Error> {
        let redrive = self.get(name)?.settings.redrive.clone();
        let redrive = redrive.filter(|redrive| self.by_name.contains_key(&redrive.target));
        let queue = self.get(name)?;
        queue.advance(now);
        if !queue.settings.fifo && queue.is_full() {
            return Err(Kind::OverLimit
                .because(format!("Too many messages are in flight in the queue {name}: delete some of them first.")));
        }
        let ask = Ask {
            most,
            visibility: visibility.unwrap_or(queue.settings.visibility),
            dead_after: redrive.as_ref().map(|redrive| redrive.most_receives),
        };
        let receipt = queue.receive(now, &ask);
        let duplicates = duplicate(queue, now, &receipt.messages, dice);
        if let Some(redrive) = redrive {
            for message in receipt.dead {
                self.bury(now, name, &redrive.target, message);
            }
        }
        Ok(Delivered { messages: receipt.messages, duplicates })
    }

    fn bury(&mut self, now: Millis, source: &str, target: &str, message: Message) {
        let Some(queue) = self.by_name.get_mut(target) else {
            return;
        };
        // A standard queue counts the retention from when the message was first sent, a FIFO
        // queue from when it was moved.
        let sent_at = match queue.settings.fifo {
            true => now,
            false => message.content.sent_at,
        };
        let content = Content {
            dead_letter_source: Some(address::arn(source)),
            sent_at,
            ..Arc::unwrap_or_clone(message.content)
        };
        queue.add(now, Arc::new(content), 0, message.delivery);
    }

    /// The queues whose dead-letter queue this is.
    pub(super) fn sources_of(&self, name: &str) -> Vec<&String> {
        let sources = self.by_name.iter().filter(|(_, queue)| {
            let redrive = queue.settings.redrive.as_ref();
            redrive.is_some_and(|redrive| redrive.target == name)
        });
        sources.map(|(name, _)| name).collect()
    }
}

/// Injects second deliveries of messages that are delivered for the first time.
fn duplicate(queue: &mut Queue, now: Millis, messages: &[Received], dice: &Dice) -> u64 {
    if queue.settings.fifo {
        return 0;
    }
    let mut duplicates = 0;
    for message in messages {
        if message.delivery.copy || message.delivery.received > 1 {
            continue;
        }
        if let Some(delay) = dice.duplicate() {
            let copy = Delivery { copy: true, ..Delivery::default() };
            queue.add(now, Arc::clone(&message.content), delay, copy);
            duplicates += 1;
        }
    }
    duplicates
}
