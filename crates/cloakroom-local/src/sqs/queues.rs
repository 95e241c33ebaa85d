//! All queues, and the operations that concern several queues.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::clock::{Millis, SECOND};
use crate::faults::FaultInjector;
use crate::sqs::address;
use crate::sqs::error::{Error, Kind};
use crate::sqs::message::{Content, Delivery, Message, Received};
use crate::sqs::move_task::MoveTask;
use crate::sqs::queue::{Queue, ReceiveOptions};
use crate::sqs::settings::Settings;

/// The queues of the account.
#[derive(Debug, Default)]
pub(super) struct Queues {
    pub(super) by_name: BTreeMap<String, Queue>,
    pub(super) tasks: Vec<MoveTask>,
    /// Queues that were created, configured or deleted, and are not yet recorded.
    pub(super) reconfigured: Vec<String>,
    /// Whether changes are recorded in the journal.
    pub(super) durable: bool,
    /// Deleted queues whose deleted messages are not yet recorded.
    pub(super) deleted: Vec<(String, Queue)>,
    /// Whether a queue cannot be purged again within a minute of a purge, nor created again within
    /// a minute of its deletion, as in SQS.
    pub(super) cooldowns: bool,
    /// The deletion times of the last minute. The journal does not contain them: after a restart, a
    /// queue can be created again immediately.
    pub(super) deleted_at: BTreeMap<String, Millis>,
}

/// How long a queue cannot be purged again after a purge, nor created again after its deletion.
const COOLDOWN: Millis = 60 * SECOND;

/// The parameters of a receive request.
#[derive(Debug, Clone, Default)]
pub(super) struct Poll {
    pub(super) max_messages: usize,
    /// Default: the visibility timeout of the queue.
    pub(super) visibility: Option<Millis>,
    /// The `ReceiveRequestAttemptId`, on FIFO queues.
    pub(super) attempt: Option<String>,
}

/// The messages of one receive, and the number of injected duplicates.
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

    /// Marks the settings of a queue to be recorded.
    pub(super) fn reconfigured(&mut self, name: &str) {
        if self.durable {
            self.reconfigured.push(name.to_owned());
        }
    }

    /// Creates a queue. Succeeds if it already exists with the same settings.
    pub(super) fn create(
        &mut self,
        now: Millis,
        name: &str,
        settings: Settings,
        tags: BTreeMap<String, String>,
    ) -> Result<(), Error> {
        if let Some(queue) = self.by_name.get(name) {
            return check_same_settings(queue, &settings);
        }
        self.deleted_at.retain(|_, at| now < *at + COOLDOWN);
        if self.cooldowns && self.deleted_at.contains_key(name) {
            return Err(Kind::QueueDeletedRecently.because(
                "You must wait 60 seconds after deleting a queue before you can create another with the same name.",
            ));
        }
        if let Some(policy) = settings.given.get("RedrivePolicy") {
            self.check_dead_letter_queue(name, policy)?;
        }
        let mut queue = Queue::new(settings, now, self.durable);
        queue.tags = tags;
        self.by_name.insert(name.to_owned(), queue);
        self.reconfigured(name);
        Ok(())
    }

    /// Deletes all messages of a queue.
    pub(super) fn purge(&mut self, now: Millis, name: &str) -> Result<(), Error> {
        let cooldowns = self.cooldowns;
        let queue = self.get(name)?;
        if cooldowns && queue.purged_at.is_some_and(|at| now < at + COOLDOWN) {
            let why = format!("Only one PurgeQueue operation on {name} is allowed every 60 seconds.");
            return Err(Kind::PurgeQueueInProgress.because(why));
        }
        queue.purge();
        queue.purged_at = Some(now);
        self.reconfigured(name);
        Ok(())
    }

    /// Deletes a queue and its messages.
    pub(super) fn delete(&mut self, now: Millis, name: &str) -> Result<(), Error> {
        self.get(name)?;
        if let Some(mut queue) = self.by_name.remove(name) {
            queue.delete_everything();
            queue.arrivals.notify_waiters();
            self.reconfigured(name);
            self.deleted_at.insert(name.to_owned(), now);
            if self.durable {
                self.deleted.push((name.to_owned(), queue));
            }
        }
        Ok(())
    }

    /// Receives from a queue. Messages that were received too often are moved to its dead-letter
    /// queue, if there is one.
    pub(super) fn receive(
        &mut self,
        now: Millis,
        name: &str,
        poll: &Poll,
        injector: &FaultInjector,
    ) -> Result<Delivered, Error> {
        let redrive = self.get(name)?.settings.redrive.clone();
        let redrive = redrive.filter(|redrive| self.by_name.contains_key(&redrive.target));
        let queue = self.get(name)?;
        queue.advance(now);
        let visibility = poll.visibility.unwrap_or(queue.settings.visibility);
        if let Some(id) = &poll.attempt
            && let Some(messages) = queue.repeat(now, id, visibility)
        {
            return Ok(Delivered { messages, duplicates: 0 });
        }
        if !queue.settings.fifo && queue.is_full() {
            return Err(Kind::OverLimit
                .because(format!("Too many messages are in flight in the queue {name}: delete some of them first.")));
        }
        let max_receives = redrive.as_ref().map(|redrive| redrive.max_receives);
        let result = queue.receive(now, &ReceiveOptions { max_messages: poll.max_messages, visibility, max_receives });
        if let Some(id) = &poll.attempt
            && !result.messages.is_empty()
        {
            queue.record_attempt(now, id, &result.messages, now + visibility);
        }
        let duplicates = inject_duplicates(queue, now, &result.messages, injector);
        if let Some(redrive) = redrive {
            for message in result.dead_letters {
                self.move_to_dead_letter_queue(now, name, &redrive.target, message);
            }
        }
        Ok(Delivered { messages: result.messages, duplicates })
    }

    fn move_to_dead_letter_queue(&mut self, now: Millis, source: &str, target: &str, message: Message) {
        let Some(queue) = self.by_name.get_mut(target) else {
            return;
        };
        // A standard queue counts the retention period from the first send of the message, a FIFO
        // queue from the move.
        let sent_at = match queue.settings.fifo {
            true => now,
            false => message.content.sent_at,
        };
        let content = Arc::unwrap_or_clone(message.content);
        // SQS does the same. Two messages may have the same deduplication id if they come from
        // different groups or were sent at different times. In the dead-letter queue they must not
        // be treated as one message.
        let deduplication_id = content.deduplication_id.and(Some(content.id.clone()));
        let content = Content { dead_letter_source: Some(address::arn(source)), deduplication_id, sent_at, ..content };
        queue.add(now, Arc::new(content), 0, message.delivery);
    }

    /// Returns the queues whose dead-letter queue this is.
    pub(super) fn sources_of(&self, name: &str) -> Vec<&String> {
        let sources = self.by_name.iter().filter(|(_, queue)| {
            let redrive = queue.settings.redrive.as_ref();
            redrive.is_some_and(|redrive| redrive.target == name)
        });
        sources.map(|(name, _)| name).collect()
    }
}

/// Checks that an existing queue has the wanted settings.
fn check_same_settings(queue: &Queue, wanted: &Settings) -> Result<(), Error> {
    let existing = queue.settings.effective();
    let differs = |(name, value): (&String, &String)| existing.get(name) != Some(value);
    match wanted.given.iter().find(|pair| differs(*pair)) {
        None => Ok(()),
        Some((attribute, _)) => Err(Kind::QueueNameExists.because(format!(
            "A queue already exists with the same name and a different value for attribute \
             {attribute}"
        ))),
    }
}

/// Injects second deliveries of messages that are delivered for the first time. Returns the number
/// of duplicates.
fn inject_duplicates(queue: &mut Queue, now: Millis, messages: &[Received], injector: &FaultInjector) -> u64 {
    if queue.settings.fifo {
        return 0;
    }
    let mut duplicates = 0;
    for message in messages {
        if message.delivery.copy || message.delivery.received > 1 {
            continue;
        }
        if let Some(delay) = injector.second_delivery() {
            let copy = Delivery { copy: true, ..Delivery::default() };
            queue.add(now, Arc::clone(&message.content), delay, copy);
            duplicates += 1;
        }
    }
    duplicates
}
