//! Lanes: the messages of one lane go one at a time, in the order of incoming.

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

/// Which messages of a queue share a lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Order {
    /// Those of one partition, on standard queues: side by side they would only lose commits to each other.
    ByPartition,
    /// Those of one message group, on FIFO queues: what their sender sent in order is processed in order. So the first
    /// failure stops the lane, and who waits in it goes back to the queue unprocessed.
    ByGroup,
}

impl Order {
    /// The order of the queue of this name. Groups on standard queues ("fair queues") order nothing.
    pub(crate) fn of(queue: &str) -> Self {
        if is_fifo(queue) { Self::ByGroup } else { Self::ByPartition }
    }

    /// The lane of a message. None if its partition cannot be told: such a message waits for nobody.
    pub(crate) fn lane(self, incoming: &Incoming<'_>) -> Option<String> {
        match self {
            Self::ByPartition => incoming.partition().map(|partition| partition.as_str().to_owned()),
            Self::ByGroup => Some(incoming.delivery.group.clone().unwrap_or_default()),
        }
    }

    /// Whether a message that was not finished stops its lane.
    pub(crate) const fn stops_at_failure(self) -> bool {
        matches!(self, Self::ByGroup)
    }

    /// Whether the messages that a lane has in flight are bounded. A FIFO queue bounds them itself: it gives out no more of a group
    /// than one receive brings.
    pub(crate) const fn bounds_lanes(self) -> bool {
        matches!(self, Self::ByPartition)
    }

    /// Whether two messages of one lane may be committed together. A group may have messages of several partitions.
    pub(crate) fn may_fold(self, one: &Incoming<'_>, other: &Incoming<'_>) -> bool {
        match self {
            Self::ByPartition => true,
            Self::ByGroup => one.partition() == other.partition(),
        }
    }
}

/// Who waits in which lane. Lanes that nobody uses take no space.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Mutex<BTreeMap<String, Lane>>);

/// The messages of one lane, besides the one at its head.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Waiter>,
    /// How many the one at the head has taken along.
    along: usize,
}

/// A message that waits for its turn, or to be taken along by the one whose turn it is.
#[derive(Debug)]
pub(crate) struct Waiter {
    pub(crate) incoming: Arc<Incoming<'static>>,
    pub(crate) span: Span,
    call: oneshot::Sender<Signal>,
}

impl Waiter {
    /// Tells what became of it. Whoever was dropped while waiting needs no answer.
    pub(crate) fn tell(self, done: Result<Outcome, NotFinished>) {
        let _ = self.call.send(Signal::Finished(done));
    }
}

/// What those who wait are told.
#[derive(Debug)]
pub(crate) enum Signal {
    /// The message is now at the head of its lane.
    Start,
    /// Another task processed the message, or stopped the lane.
    Finished(Result<Outcome, NotFinished>),
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place in a lane. It is kept until the place is dropped.
    pub(crate) fn enter(&self, lane: String, incoming: &Arc<Incoming<'static>>, span: &Span) -> Ticket<'_> {
        let mut lanes = self.lock();
        let position = match lanes.get_mut(&lane) {
            None => {
                lanes.insert(lane.clone(), Lane::default());
                Position::AtHead
            }
            Some(lane) => {
                let (call, called) = oneshot::channel();
                lane.waiting.push_back(Waiter { incoming: Arc::clone(incoming), span: span.clone(), call });
                Position::Waiter(called)
            }
        };
        Ticket { lanes: self, lane, position }
    }
}

/// A place in a lane.
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
    /// Waits for those who came before.
    pub(crate) async fn turn(&mut self) -> Signal {
        let Position::Waiter(called) = &mut self.position else {
            return if matches!(self.position, Position::AtHead) {
                Signal::Start
            } else {
                Signal::Finished(Err(NotFinished::Behind))
            };
        };
        // The sender is dropped only with whoever had taken this one along, or with the lanes themselves.
        let turn = called.await.unwrap_or(Signal::Finished(Err(NotFinished::Stopped)));
        self.position = if matches!(turn, Signal::Start) { Position::AtHead } else { Position::Gone };
        turn
    }

    /// Takes along those next behind this ticket, which is at the head: up to so many, and no further than to the first that may not
    /// come. They are to be told what became of them.
    pub(crate) fn take_along(&self, max: usize, may_come: impl Fn(&Incoming<'_>) -> bool) -> Vec<Waiter> {
        let mut taken = Vec::new();
        let mut lanes = self.lanes.lock();
        let Some(lane) = lanes.get_mut(&self.lane) else { return taken };
        while taken.len() < max && lane.waiting.front().is_some_and(|next| may_come(&next.incoming)) {
            taken.extend(lane.waiting.pop_front().filter(|next| !next.call.is_canceled()));
        }
        lane.along = taken.len();
        taken
    }

    /// Waits for its turn. If `max` or more messages of the lane are in flight before this one, it waits only as long as `patience`
    /// and then leaves the lane.
    pub(crate) async fn turn_unless_crowded(&mut self, max: usize, patience: impl Future<Output = ()>) -> Signal {
        if self.before().is_some_and(|before| before >= max) {
            if let Either::Left((turn, _)) = select(pin!(self.turn()), pin!(patience)).await {
                return turn;
            }
            if self.before().is_some_and(|before| before >= max) {
                self.leave();
                return Signal::Finished(Err(NotFinished::Crowded));
            }
        }
        self.turn().await
    }

    /// How many messages of the lane are in flight before this one. `None` if its turn has come, or another one took it along.
    fn before(&self) -> Option<usize> {
        let Position::Waiter(called) = &self.position else { return None };
        let lanes = self.lanes.lock();
        let Lane { waiting, along } = lanes.get(&self.lane)?;
        let position = waiting.iter().position(|one| one.call.is_connected_to(called))?;
        Some(1 + along + position)
    }

    /// Leaves the lane without a turn.
    fn leave(&mut self) {
        let mut lanes = self.lanes.lock();
        self.position = Position::Gone;
        if let Some(lane) = lanes.get_mut(&self.lane) {
            lane.waiting.retain(|one| !one.call.is_canceled());
        }
    }

    /// Sends away all who wait behind this ticket, which is at the head. Whoever comes later is not concerned: a queue
    /// gives out nothing of a group before all of it that is in hand has come back.
    pub(crate) fn stop(self) {
        if let Some(lane) = self.lanes.lock().get_mut(&self.lane) {
            lane.waiting.drain(..).for_each(|next| next.tell(Err(NotFinished::Behind)));
        }
    }
}

impl Drop for Ticket<'_> {
    fn drop(&mut self) {
        // SUBTLE: a place whose turn was called but not noticed is at the head, too, and must call the next; one that was
        // sent away but has not noticed is not, and must not: the lane may be another one by now
        // (`who_is_dropped_holds_nobody_up`, `who_is_sent_away_leaves_a_later_lane_alone`).
        let is_at_head = match &mut self.position {
            Position::AtHead => true,
            Position::Gone => false,
            Position::Waiter(called) => matches!(called.try_recv(), Ok(Some(Signal::Start))),
        };
        if !is_at_head {
            return self.leave();
        }
        let mut lanes = self.lanes.lock();
        let Some(lane) = lanes.get_mut(&self.lane) else { return };
        lane.along = 0;
        while let Some(next) = lane.waiting.pop_front() {
            // Whoever was dropped while waiting is passed over.
            if next.call.send(Signal::Start).is_ok() {
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

    fn is_called(ticket: &mut Ticket<'_>) -> bool {
        matches!(ticket.turn().now_or_never(), Some(Signal::Start))
    }

    fn is_sent_away(ticket: &mut Ticket<'_>) -> bool {
        matches!(ticket.turn().now_or_never(), Some(Signal::Finished(Err(NotFinished::Behind))))
    }

    fn enter<'l>(lanes: &'l Lanes, lane: &str) -> Ticket<'l> {
        let incoming = Incoming { delivery: Cow::Owned(Delivery::default()), envelope: Err(String::new()) };
        lanes.enter(lane.to_owned(), &Arc::new(incoming), &Span::none())
    }

    #[test]
    fn a_lane_is_taken_in_order_of_arrival() {
        let lanes = Lanes::default();
        let [mut first, mut second, mut third] = [0; 3].map(|_| enter(&lanes, "a"));
        let mut other = enter(&lanes, "b");
        assert!(is_called(&mut first));
        assert!(is_called(&mut other), "another lane does not wait");
        assert!(!is_called(&mut second));
        drop(first);
        assert!(!is_called(&mut third), "the second comes before the third");
        assert!(is_called(&mut second));
    }

    #[test]
    fn who_is_dropped_holds_nobody_up() {
        let lanes = Lanes::default();
        let [first, second, third, mut fourth] = [0; 4].map(|_| enter(&lanes, "a"));
        drop(third);
        drop(first);
        // Called, but dropped before it noticed.
        drop(second);
        assert!(is_called(&mut fourth));
        drop(fourth);
        assert!(lanes.lock().is_empty());
    }

    #[test]
    fn a_stop_sends_away_who_waits_and_nobody_else() {
        let lanes = Lanes::default();
        let [first, mut second, mut third] = [0; 3].map(|_| enter(&lanes, "a"));
        let [other, mut behind_other] = [0; 2].map(|_| enter(&lanes, "b"));
        first.stop();
        assert!(is_sent_away(&mut second) && is_sent_away(&mut third));
        assert!(is_sent_away(&mut second), "and it stays so");
        drop(other);
        assert!(is_called(&mut behind_other));
        drop((second, third, behind_other));
        assert!(lanes.lock().is_empty());
    }

    #[test]
    fn who_is_taken_along_is_told_by_who_took_it() {
        let lanes = Lanes::default();
        let [first, mut second, third, mut fourth, mut fifth] = [0; 5].map(|_| enter(&lanes, "a"));
        drop(third);
        let taken = first.take_along(2, |_| true);
        assert_eq!(taken.len(), 2, "the second and the fourth");
        drop(first);
        assert!(is_called(&mut fifth));
        assert!(second.turn().now_or_never().is_none());
        for waiting in taken {
            waiting.tell(Ok(Outcome::Processed));
        }
        for ticket in [&mut second, &mut fourth] {
            assert!(matches!(ticket.turn().now_or_never(), Some(Signal::Finished(Ok(Outcome::Processed)))));
        }
        assert!(fifth.take_along(9, |_| true).is_empty());
        let mut sixth = enter(&lanes, "a");
        assert!(fifth.take_along(9, |_| false).is_empty(), "one that may not come");
        drop(fifth.take_along(9, |_| true));
        assert!(
            matches!(sixth.turn().now_or_never(), Some(Signal::Finished(Err(NotFinished::Stopped)))),
            "dropped with who took it"
        );
    }

    #[test]
    fn message_leaves_a_crowded_lane_when_its_patience_ends() {
        let lanes = Lanes::default();
        let [first, mut second, mut third, mut fourth] = [0; 4].map(|_| enter(&lanes, "a"));
        let is_crowded = |ticket: &mut Ticket<'_>, max| {
            let turn = ticket.turn_unless_crowded(max, std::future::ready(())).now_or_never();
            matches!(turn, Some(Signal::Finished(Err(NotFinished::Crowded))))
        };
        assert!(!is_crowded(&mut second, 2), "one message is before it");
        assert!(is_crowded(&mut third, 2), "two messages are before it");
        assert!(!is_crowded(&mut fourth, 3), "the third has left");
        let taken = first.take_along(1, |_| true);
        assert!(!is_crowded(&mut second, 1), "it was taken along");
        assert!(is_crowded(&mut fourth, 2), "the one that was taken along is in flight, too");
        assert_eq!(lanes.lock()["a"].waiting.len(), 0, "who has left takes no space");
        drop((taken, first, second, third, fourth));
        assert!(lanes.lock().is_empty());
    }

    #[test]
    fn who_is_sent_away_leaves_a_later_lane_alone() {
        let lanes = Lanes::default();
        let [first, noticed, unnoticed] = [0; 3].map(|_| enter(&lanes, "a"));
        first.stop();
        let mut noticed = noticed;
        assert!(is_sent_away(&mut noticed));
        let [mut head, mut next] = [0; 2].map(|_| enter(&lanes, "a"));
        drop((noticed, unnoticed));
        assert!(is_called(&mut head));
        assert!(!is_called(&mut next), "two at a time in one lane");
    }

    #[test]
    fn the_name_of_the_queue_decides_about_the_lane() {
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
