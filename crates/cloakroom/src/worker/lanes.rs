//! Lanes: messages that are processed one at a time, in the order in which they were received.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use futures::{
    channel::oneshot,
    future::{Either, select},
};
use tracing::Span;

use crate::{
    engine::{intake::Incoming, not_finished::NotFinished},
    ports::fifo::is_fifo,
    protocol::step::Outcome,
};

/// The rule by which the messages of a queue share a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// A standard queue: by partition. Concurrent messages of one partition would only cause lost
    /// commits.
    ByPartition,
    /// A FIFO queue: by message group, so messages are processed in the order in which they were
    /// sent. The first failure stops the lane, and the waiting messages go back to the queue
    /// untried.
    ByGroup,
}

impl Order {
    /// Returns the order of the queue of this name. The groups of a standard queue ("fair queues")
    /// do not order messages.
    pub(crate) fn of(queue: &str) -> Self {
        if is_fifo(queue) { Self::ByGroup } else { Self::ByPartition }
    }

    /// Returns the lane of a message. `None` if its partition is not known. Then it waits for no
    /// other message.
    pub(crate) fn lane(self, incoming: &Incoming<'_>) -> Option<String> {
        match self {
            Self::ByPartition => incoming.partition().map(|partition| partition.as_str().to_owned()),
            Self::ByGroup => Some(incoming.delivery.group.clone().unwrap_or_default()),
        }
    }

    /// Returns whether a message that was not finished stops its lane.
    pub(crate) const fn stops_at_failure(self) -> bool {
        matches!(self, Self::ByGroup)
    }

    /// Returns whether the number of messages in flight of one lane is limited. A FIFO queue limits
    /// it itself: it delivers no more messages of a group until those of the last receive are
    /// finished or given back.
    pub(crate) const fn bounds_lanes(self) -> bool {
        matches!(self, Self::ByPartition)
    }

    /// Returns whether two messages of one lane may be committed together. A group may have
    /// messages of several partitions.
    pub(crate) fn may_fold(self, one: &Incoming<'_>, other: &Incoming<'_>) -> bool {
        match self {
            Self::ByPartition => true,
            Self::ByGroup => one.partition() == other.partition(),
        }
    }
}

/// The waiting messages of each lane. A lane without messages takes no space.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Mutex<BTreeMap<String, Lane>>);

/// The messages of one lane that wait behind the message at its head.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Waiter>,
    /// The number of messages that the message at the head has taken as followers.
    followers: usize,
}

/// A message that waits until it is at the head of its lane, or until the message at the head takes
/// it as a follower.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) incoming: Arc<Incoming<'static>>,
    pub(crate) span: Span,
    sender: oneshot::Sender<Signal>,
}

impl Waiter {
    /// Reports the result of the message. It is ignored if the message was dropped while it waited.
    pub(crate) fn report(self, done: Result<Outcome, NotFinished>) {
        let _ = self.sender.send(Signal::Finished(done));
    }
}

/// The signal to a waiting message.
#[derive(Debug)]
pub(crate) enum Signal {
    /// The message is now at the head of its lane.
    Start,
    /// Another task has processed the message, or has stopped the lane.
    Finished(Result<Outcome, NotFinished>),
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a message to the end of a lane. The message stays in the lane until its ticket is
    /// dropped.
    pub(crate) fn enter(&self, lane: String, incoming: &Arc<Incoming<'static>>, span: &Span) -> Ticket<'_> {
        let mut lanes = self.lock();
        let position = match lanes.get_mut(&lane) {
            None => {
                lanes.insert(lane.clone(), Lane::default());
                Position::AtHead
            }
            Some(lane) => {
                let (sender, receiver) = oneshot::channel();
                lane.waiting.push_back(Waiter { incoming: Arc::clone(incoming), span: span.clone(), sender });
                Position::Waiter(receiver)
            }
        };
        Ticket { lanes: self, lane, position }
    }
}

/// The place of a message in a lane.
pub(crate) struct Ticket<'a> {
    lanes: &'a Lanes,
    lane: String,
    position: Position,
}

enum Position {
    Waiter(oneshot::Receiver<Signal>),
    AtHead,
    Gone,
}

impl Ticket<'_> {
    /// Waits until the message is at the head of its lane, or has a result.
    pub(crate) async fn turn(&mut self) -> Signal {
        let Position::Waiter(receiver) = &mut self.position else {
            return if matches!(self.position, Position::AtHead) {
                Signal::Start
            } else {
                Signal::Finished(Err(NotFinished::Behind))
            };
        };
        // The sender is dropped only with the task that took this message as a follower, or with
        // the lanes themselves.
        let turn = receiver.await.unwrap_or(Signal::Finished(Err(NotFinished::Stopped)));
        self.position = if matches!(turn, Signal::Start) { Position::AtHead } else { Position::Gone };
        turn
    }

    /// Removes up to `max` messages that wait next behind this ticket, as followers. Stops at the
    /// first one that is not allowed to follow. This ticket must be at the head. The caller must
    /// report the result of each follower.
    pub(crate) fn take_followers(&self, max: usize, may_follow: impl Fn(&Incoming<'_>) -> bool) -> Vec<Waiter> {
        let mut taken = Vec::new();
        let mut lanes = self.lanes.lock();
        let Some(lane) = lanes.get_mut(&self.lane) else { return taken };
        while taken.len() < max && lane.waiting.front().is_some_and(|next| may_follow(&next.incoming)) {
            taken.extend(lane.waiting.pop_front().filter(|next| !next.sender.is_canceled()));
        }
        lane.followers = taken.len();
        taken
    }

    /// Waits like [`turn`](Self::turn). But if `max` or more messages of the lane are in flight
    /// before this one, it waits at most until `timeout` is ready, and then leaves the lane.
    pub(crate) async fn turn_unless_crowded(&mut self, max: usize, timeout: impl Future<Output = ()>) -> Signal {
        if self.ahead().is_some_and(|ahead| ahead >= max) {
            if let Either::Left((turn, _)) = select(pin!(self.turn()), pin!(timeout)).await {
                return turn;
            }
            if self.ahead().is_some_and(|ahead| ahead >= max) {
                self.leave();
                return Signal::Finished(Err(NotFinished::Crowded));
            }
        }
        self.turn().await
    }

    /// Returns the number of messages of the lane that are in flight before this one. `None` if the
    /// message does not wait, or was taken as a follower.
    fn ahead(&self) -> Option<usize> {
        let Position::Waiter(receiver) = &self.position else { return None };
        let lanes = self.lanes.lock();
        let Lane { waiting, followers } = lanes.get(&self.lane)?;
        let position = waiting.iter().position(|one| one.sender.is_connected_to(receiver))?;
        Some(1 + followers + position)
    }

    /// Leaves the lane without processing.
    fn leave(&mut self) {
        let mut lanes = self.lanes.lock();
        self.position = Position::Gone;
        if let Some(lane) = lanes.get_mut(&self.lane) {
            lane.waiting.retain(|one| !one.sender.is_canceled());
        }
    }

    /// Stops the lane: all messages that wait behind this ticket get [`NotFinished::Behind`]. This
    /// ticket must be at the head. Messages that are received later are not affected, because the
    /// queue delivers no message of a group until those in flight are finished or given back.
    pub(crate) fn stop(self) {
        if let Some(lane) = self.lanes.lock().get_mut(&self.lane) {
            lane.waiting.drain(..).for_each(|next| next.report(Err(NotFinished::Behind)));
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        // SUBTLE: whether the ticket is at the head decides whether its drop starts the next
        // message. (1) The start signal was sent to this ticket, which is dropped before it reads
        // it. The ticket is at the head. If it did not start the next message, the lane would stop
        // forever. (2) A stop rejected this ticket, which is dropped before it reads the signal.
        // The ticket is not at the head, and the lane may be a new one by now. If it started the
        // next message, two messages of that lane would run at the same time
        // (`dropped_ticket_does_not_block_its_lane`, `rejected_waiter_does_not_advance_a_new_lane`).
        let is_at_head = match &mut self.position {
            Position::AtHead => true,
            Position::Gone => false,
            Position::Waiter(receiver) => matches!(receiver.try_recv(), Ok(Some(Signal::Start))),
        };
        if !is_at_head {
            return self.leave();
        }
        let mut lanes = self.lanes.lock();
        let Some(lane) = lanes.get_mut(&self.lane) else { return };
        lane.followers = 0;
        while let Some(next) = lane.waiting.pop_front() {
            // Messages that were dropped while they waited are skipped.
            if next.sender.send(Signal::Start).is_ok() {
                return;
            }
        }
        lanes.remove(&self.lane);
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use futures::FutureExt as _;

    use super::*;
    use crate::{format::envelope::Envelope, ports::queue::Delivery};

    fn is_at_head(ticket: &mut Ticket<'_>) -> bool {
        matches!(ticket.turn().now_or_never(), Some(Signal::Start))
    }

    fn is_rejected(ticket: &mut Ticket<'_>) -> bool {
        matches!(ticket.turn().now_or_never(), Some(Signal::Finished(Err(NotFinished::Behind))))
    }

    fn enter<'l>(lanes: &'l Lanes, lane: &str) -> Ticket<'l> {
        let incoming = Incoming { delivery: Cow::Owned(Delivery::default()), envelope: Err(String::new()) };
        lanes.enter(lane.to_owned(), &Arc::new(incoming), &Span::none())
    }

    #[test]
    fn lane_processes_messages_in_order_of_arrival() {
        let lanes = Lanes::default();
        let [mut first, mut second, mut third] = [0; 3].map(|_| enter(&lanes, "a"));
        let mut other = enter(&lanes, "b");
        assert!(is_at_head(&mut first));
        assert!(is_at_head(&mut other), "another lane does not wait");
        assert!(!is_at_head(&mut second));
        drop(first);
        assert!(!is_at_head(&mut third), "the second comes before the third");
        assert!(is_at_head(&mut second));
    }

    #[test]
    fn dropped_ticket_does_not_block_its_lane() {
        let lanes = Lanes::default();
        let [first, second, third, mut fourth] = [0; 4].map(|_| enter(&lanes, "a"));
        drop(third);
        drop(first);
        // It has the start signal, and is dropped before it reads it.
        drop(second);
        assert!(is_at_head(&mut fourth));
        drop(fourth);
        assert!(lanes.lock().is_empty());
    }

    #[test]
    fn stop_rejects_only_the_waiters_of_its_own_lane() {
        let lanes = Lanes::default();
        let [first, mut second, mut third] = [0; 3].map(|_| enter(&lanes, "a"));
        let [other, mut behind_other] = [0; 2].map(|_| enter(&lanes, "b"));
        first.stop();
        assert!(is_rejected(&mut second) && is_rejected(&mut third));
        assert!(is_rejected(&mut second), "it remains rejected");
        drop(other);
        assert!(is_at_head(&mut behind_other));
        drop((second, third, behind_other));
        assert!(lanes.lock().is_empty());
    }

    #[test]
    fn follower_gets_its_result_from_the_message_at_the_head() {
        let lanes = Lanes::default();
        let [first, mut second, third, mut fourth, mut fifth] = [0; 5].map(|_| enter(&lanes, "a"));
        drop(third);
        let taken = first.take_followers(2, |_| true);
        assert_eq!(taken.len(), 2, "the second and the fourth");
        drop(first);
        assert!(is_at_head(&mut fifth));
        assert!(second.turn().now_or_never().is_none());
        for waiting in taken {
            waiting.report(Ok(Outcome::Processed));
        }
        for ticket in [&mut second, &mut fourth] {
            assert!(matches!(ticket.turn().now_or_never(), Some(Signal::Finished(Ok(Outcome::Processed)))));
        }
        assert!(fifth.take_followers(9, |_| true).is_empty());
        let mut sixth = enter(&lanes, "a");
        assert!(fifth.take_followers(9, |_| false).is_empty(), "a message that is not allowed to follow");
        drop(fifth.take_followers(9, |_| true));
        assert!(
            matches!(sixth.turn().now_or_never(), Some(Signal::Finished(Err(NotFinished::Stopped)))),
            "dropped with the task that took it"
        );
    }

    #[test]
    fn message_leaves_a_crowded_lane_after_its_timeout() {
        let lanes = Lanes::default();
        let [first, mut second, mut third, mut fourth] = [0; 4].map(|_| enter(&lanes, "a"));
        let is_crowded = |ticket: &mut Ticket<'_>, max| {
            let turn = ticket.turn_unless_crowded(max, std::future::ready(())).now_or_never();
            matches!(turn, Some(Signal::Finished(Err(NotFinished::Crowded))))
        };
        assert!(!is_crowded(&mut second, 2), "one message is before it");
        assert!(is_crowded(&mut third, 2), "two messages are before it");
        assert!(!is_crowded(&mut fourth, 3), "the third has left");
        let taken = first.take_followers(1, |_| true);
        assert!(!is_crowded(&mut second, 1), "the second was taken as a follower");
        assert!(is_crowded(&mut fourth, 2), "the follower is in flight, too");
        assert_eq!(lanes.lock()["a"].waiting.len(), 0, "a message that has left takes no space");
        drop((taken, first, second, third, fourth));
        assert!(lanes.lock().is_empty());
    }

    #[test]
    fn rejected_waiter_does_not_advance_a_new_lane() {
        let lanes = Lanes::default();
        let [first, noticed, unnoticed] = [0; 3].map(|_| enter(&lanes, "a"));
        first.stop();
        let mut noticed = noticed;
        assert!(is_rejected(&mut noticed));
        let [mut head, mut next] = [0; 2].map(|_| enter(&lanes, "a"));
        drop((noticed, unnoticed));
        assert!(is_at_head(&mut head));
        assert!(!is_at_head(&mut next), "two at a time in one lane");
    }

    #[test]
    fn name_of_the_queue_determines_the_lane() {
        let envelope = |partition: &str| Ok(Arc::new(Envelope::new("1".into(), "s", "ping", partition.into())));
        let incoming = |envelope| Incoming {
            delivery: Cow::Owned(Delivery { group: Some("g".to_owned()), ..Delivery::default() }),
            envelope,
        };
        let readable = incoming(envelope("p"));
        let lane = |queue, incoming: &Incoming<'_>| Order::of(queue).lane(incoming);
        assert_eq!(lane("orders", &readable).as_deref(), Some("p"), "groups of fair queues order nothing");
        assert_eq!(lane("orders.fifo", &readable).as_deref(), Some("g"));
        let unreadable = incoming(Err("no JSON".to_owned()));
        assert_eq!(lane("orders", &unreadable), None);
        assert_eq!(lane("orders.fifo", &unreadable).as_deref(), Some("g"));

        let may_fold = |other| Order::ByGroup.may_fold(&readable, &incoming(other));
        assert!(may_fold(envelope("p")));
        assert!(!may_fold(envelope("q")), "a group has messages of several partitions");
    }
}
