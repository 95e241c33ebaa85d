//! The order of a FIFO queue: by message group.
//!
//! A message can be received if no earlier message of its group is in flight. Therefore a message
//! that becomes visible again can be received immediately, even if later messages of its group are
//! still in flight. A receive takes the messages of a group up to the first one that is in flight.
//!
//! The documentation of SQS states that no more messages of a group are returned "unless you delete
//! the message or it becomes visible". This could also mean "until no message of the group is in
//! flight". Reports that compare emulators with AWS confirm the rule above. It is also the more
//! difficult rule for a consumer: another consumer may receive the first message of a batch again
//! before the rest of the batch is processed.

use std::collections::{BTreeSet, HashMap, VecDeque};

use crate::sqs::message::Number;

/// The message groups of a FIFO queue.
#[derive(Debug, Default)]
pub(super) struct Groups {
    by_name: HashMap<String, Group>,
    /// Groups from which a message can be taken, in turn. May contain groups that have become
    /// blocked or empty since, so taking a message checks again.
    available: VecDeque<String>,
    current: Option<CurrentGroup>,
}

/// The group from which the current receive takes messages.
#[derive(Debug)]
struct CurrentGroup {
    group: String,
    /// The first message of the group that was in flight before this receive. Only earlier messages
    /// can be taken.
    until: Option<Number>,
}

#[derive(Debug, Default)]
struct Group {
    /// Messages that are not in flight, in order.
    waiting: BTreeSet<Number>,
    in_flight: BTreeSet<Number>,
    /// Whether the group is in `available`.
    is_queued: bool,
}

impl Group {
    /// Whether the first message of the group is not in flight.
    fn is_available(&self) -> bool {
        let (waiting, in_flight) = (self.waiting.first(), self.in_flight.first());
        waiting.is_some_and(|first| in_flight.is_none_or(|blocked| first < blocked))
    }
}

impl Groups {
    /// Adds a message to its group, or returns it to its position in the group.
    pub(super) fn add_waiting(&mut self, group: &str, number: Number) {
        self.group(group).waiting.insert(number);
        self.queue_if_available(group);
    }

    /// Marks a message of the group as in flight. Later messages of the group must wait.
    pub(super) fn add_in_flight(&mut self, group: &str, number: Number) {
        self.group(group).in_flight.insert(number);
    }

    fn group(&mut self, name: &str) -> &mut Group {
        self.by_name.entry(name.to_owned()).or_default()
    }

    /// Marks a message of the group as no longer in flight.
    pub(super) fn remove_in_flight(&mut self, group: &str, number: Number) {
        if let Some(known) = self.by_name.get_mut(group) {
            known.in_flight.remove(&number);
            self.queue_if_available(group);
        }
    }

    /// Removes a waiting message.
    pub(super) fn remove_waiting(&mut self, group: &str, number: Number) {
        if let Some(known) = self.by_name.get_mut(group) {
            known.waiting.remove(&number);
            self.queue_if_available(group);
        }
    }

    /// Adds a group to the available groups if a message can be taken from it. Removes the group if
    /// it is empty.
    pub(super) fn queue_if_available(&mut self, group: &str) {
        let Some(known) = self.by_name.get_mut(group) else {
            return;
        };
        if known.waiting.is_empty() && known.in_flight.is_empty() {
            self.by_name.remove(group);
        } else if known.is_available() && !known.is_queued {
            known.is_queued = true;
            self.available.push_back(group.to_owned());
        }
    }

    /// Takes the next message: first all available messages of one group, then those of the next
    /// group.
    pub(super) fn take(&mut self, is_ready: impl Fn(Number) -> bool) -> Option<Number> {
        loop {
            if let Some(current) = &self.current
                && let Some(group) = self.by_name.get_mut(&current.group)
                && let Some(first) = group.waiting.first().copied()
                && current.until.is_none_or(|until| first < until)
                && is_ready(first)
            {
                group.waiting.remove(&first);
                return Some(first);
            }
            self.current = Some(self.next_available()?);
        }
    }

    fn next_available(&mut self) -> Option<CurrentGroup> {
        while let Some(name) = self.available.pop_front() {
            if let Some(group) = self.by_name.get_mut(&name) {
                group.is_queued = false;
                if group.is_available() {
                    return Some(CurrentGroup { until: group.in_flight.first().copied(), group: name });
                }
            }
        }
        None
    }

    /// Ends a receive. The group of its last message becomes available again, unless the receive
    /// took its first message.
    pub(super) fn end_receive(&mut self) {
        if let Some(current) = self.current.take() {
            self.queue_if_available(&current.group);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
