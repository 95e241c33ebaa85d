//! The order of a FIFO queue: by message group, one group blocked while it is being worked on.

use std::collections::{BTreeSet, HashMap, VecDeque};

use super::message::Number;

/// The message groups of a FIFO queue.
#[derive(Debug, Default)]
pub(super) struct Groups {
    by_name: HashMap<String, Group>,
    /// Groups from which something can be taken, in turn. May name groups that have become
    /// blocked or empty since: taking checks.
    free: VecDeque<String>,
    /// The group that the receive under way takes from.
    serving: Option<String>,
}

#[derive(Debug, Default)]
struct Group {
    /// Messages that are not in flight, in their order.
    waiting: BTreeSet<Number>,
    in_flight: usize,
    /// Whether it stands in line to be taken from.
    offered: bool,
}

impl Groups {
    /// A message has joined its group, or come back to its place in it.
    pub(super) fn wait(&mut self, group: &str, number: Number) {
        self.group(group).waiting.insert(number);
        self.offer(group);
    }

    /// A message of the group has been handed out: the group is blocked.
    pub(super) fn sent_out(&mut self, group: &str) {
        self.group(group).in_flight += 1;
    }

    fn group(&mut self, name: &str) -> &mut Group {
        self.by_name.entry(name.to_owned()).or_default()
    }

    /// A message of the group is no longer in flight.
    pub(super) fn returned(&mut self, group: &str) {
        if let Some(known) = self.by_name.get_mut(group) {
            known.in_flight = known.in_flight.saturating_sub(1);
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
        if known.in_flight > 0 {
            return;
        }
        if known.waiting.is_empty() {
            self.by_name.remove(group);
        } else if !known.offered {
            known.offered = true;
            self.free.push_back(group.to_owned());
        }
    }

    /// Takes the next message: as many as there are of one group, then of the next.
    pub(super) fn take(&mut self, is_ready: impl Fn(Number) -> bool) -> Option<Number> {
        loop {
            if let Some(serving) = &self.serving
                && let Some(group) = self.by_name.get_mut(serving)
                && let Some(first) = group.waiting.first().copied()
                && is_ready(first)
            {
                group.waiting.remove(&first);
                return Some(first);
            }
            self.serving = Some(self.next_free()?);
        }
    }

    fn next_free(&mut self) -> Option<String> {
        while let Some(name) = self.free.pop_front() {
            if let Some(group) = self.by_name.get_mut(&name) {
                group.offered = false;
                if group.in_flight == 0 {
                    return Some(name);
                }
            }
        }
        None
    }

    /// Ends a receive: the group that it last took from is free again if nothing of it is in
    /// flight.
    pub(super) fn end_receive(&mut self) {
        if let Some(serving) = self.serving.take() {
            self.offer(&serving);
        }
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }
}
