//! The order of a FIFO queue: by message group.
//!
//! A message can be received if no earlier message of its group is in flight. So a message that is
//! given back is deliverable at once, although later messages of its group are still in flight, and
//! a receive takes the messages of a group up to the first one that is in flight.
//!
//! The documentation of SQS says that no more messages of a group are returned "unless you delete
//! the message or it becomes visible". One can also read this as "until nothing of the group is in
//! flight", and this file once did. Reports that compare emulators with AWS show the rule above. It
//! is also the harder one for a consumer: the first message of a batch may come again, to another
//! consumer, before the rest of the batch is done.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::message::Number;

/// The message groups of a FIFO queue.
#[derive(Debug, Default)]
pub(super) struct Groups {
    by_name: HashMap<String, Group>,
    /// Groups from which something can be taken, in turn. May name groups that have become
    /// blocked or empty since: taking checks.
    free: VecDeque<String>,
    serving: Option<Serving>,
}

/// The group that the current receive takes from.
#[derive(Debug)]
struct Serving {
    group: String,
    /// The first message of the group that was in flight before this receive. Only earlier messages
    /// can be taken.
    until: Option<Number>,
}

#[derive(Debug, Default)]
struct Group {
    /// Messages that are not in flight, in their order.
    waiting: BTreeSet<Number>,
    in_flight: BTreeSet<Number>,
    /// Whether it stands in line to be taken from.
    offered: bool,
}

impl Group {
    /// Whether the first message of the group is not in flight.
    fn is_free(&self) -> bool {
        let (waiting, in_flight) = (self.waiting.first(), self.in_flight.first());
        waiting.is_some_and(|first| in_flight.is_none_or(|blocked| first < blocked))
    }
}

impl Groups {
    /// A message has joined its group, or come back to its place in it.
    pub(super) fn wait(&mut self, group: &str, number: Number) {
        self.group(group).waiting.insert(number);
        self.offer(group);
    }

    /// A message of the group is in flight: later messages of the group have to wait.
    pub(super) fn sent_out(&mut self, group: &str, number: Number) {
        self.group(group).in_flight.insert(number);
    }

    fn group(&mut self, name: &str) -> &mut Group {
        self.by_name.entry(name.to_owned()).or_default()
    }

    /// A message of the group is no longer in flight.
    pub(super) fn returned(&mut self, group: &str, number: Number) {
        if let Some(known) = self.by_name.get_mut(group) {
            known.in_flight.remove(&number);
            self.offer(group);
        }
    }

    /// A waiting message is gone.
    pub(super) fn forget(&mut self, group: &str, number: Number) {
        if let Some(known) = self.by_name.get_mut(group) {
            known.waiting.remove(&number);
            self.offer(group);
        }
    }

    /// Puts a group in the line of those that can be taken from, or drops it if it is empty.
    pub(super) fn offer(&mut self, group: &str) {
        let Some(known) = self.by_name.get_mut(group) else {
            return;
        };
        if known.waiting.is_empty() && known.in_flight.is_empty() {
            self.by_name.remove(group);
        } else if known.is_free() && !known.offered {
            known.offered = true;
            self.free.push_back(group.to_owned());
        }
    }

    /// Takes the next message: as many as there are of one group, then of the next.
    pub(super) fn take(&mut self, is_ready: impl Fn(Number) -> bool) -> Option<Number> {
        loop {
            if let Some(serving) = &self.serving
                && let Some(group) = self.by_name.get_mut(&serving.group)
                && let Some(first) = group.waiting.first().copied()
                && serving.until.is_none_or(|until| first < until)
                && is_ready(first)
            {
                group.waiting.remove(&first);
                return Some(first);
            }
            self.serving = Some(self.next_free()?);
        }
    }

    fn next_free(&mut self) -> Option<Serving> {
        while let Some(name) = self.free.pop_front() {
            if let Some(group) = self.by_name.get_mut(&name) {
                group.offered = false;
                if group.is_free() {
                    return Some(Serving { until: group.in_flight.first().copied(), group: name });
                }
            }
        }
        None
    }

    /// Ends a receive: the group that it last took from can be taken from again, unless the receive
    /// took its first message.
    pub(super) fn end_receive(&mut self) {
        if let Some(serving) = self.serving.take() {
            self.offer(&serving.group);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
