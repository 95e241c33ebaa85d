//! Lanes: the messages of one lane go one at a time, in the order of arrival.

use std::{
    collections::{BTreeMap, VecDeque},
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::{
    channel::oneshot,
    future::{Either, select},
};
use tracing::Span;

use crate::{Error, ErrorKind, Outcome, fifo::is_fifo, intake::Arrival};

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
    pub(crate) fn lane(self, arrival: &Arrival<'_>) -> Option<String> {
        match self {
            Self::ByPartition => arrival.partition().map(|partition| partition.as_str().to_owned()),
            Self::ByGroup => Some(arrival.delivery.group.clone().unwrap_or_default()),
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
    pub(crate) fn may_fold(self, one: &Arrival<'_>, other: &Arrival<'_>) -> bool {
        match self {
            Self::ByPartition => true,
            Self::ByGroup => one.partition() == other.partition(),
        }
    }
}

/// Why a message was not finished, and has to be received again.
pub enum NotDone {
    /// It was tried.
    Failed(Error),
    /// It was not tried, because a message before it in its group was not finished. On FIFO queues only.
    Behind,
    /// It was dropped, or not begun, because the time was up.
    Stopped,
    /// It was not tried, because too many messages of its partition are in flight in this worker. It uses up no attempt.
    Crowded,
    /// Its handler [deferred](crate::HandlerError::defer) it for this time, and its queue takes no copy with a delay: it is a FIFO
    /// queue, or not known. It uses up no attempt.
    Deferred(Duration),
}

impl std::fmt::Display for NotDone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Behind => f.write_str("a message before it in its group was not finished; it is tried after that"),
            Self::Stopped => f.write_str("the time was up before it was finished"),
            Self::Crowded => f.write_str("too many messages of its partition are in flight; it is tried later"),
            Self::Deferred(delay) => write!(f, "its handler deferred it; let it come again in {delay:?}"),
        }
    }
}

crate::debug_is_display!(NotDone);

impl std::error::Error for NotDone {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(error) => error.source(),
            Self::Behind | Self::Stopped | Self::Crowded | Self::Deferred(_) => None,
        }
    }
}

impl From<NotDone> for Error {
    fn from(undone: NotDone) -> Self {
        match undone {
            NotDone::Failed(error) => error,
            NotDone::Behind | NotDone::Stopped | NotDone::Crowded | NotDone::Deferred(_) => {
                Self::new(ErrorKind::RetryMessage, undone.to_string())
            }
        }
    }
}

/// Who waits in which lane. Lanes that nobody uses take no space.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Mutex<BTreeMap<String, Lane>>);

/// The messages of one lane, besides the one at its head.
#[derive(Debug, Default)]
struct Lane {
    waiting: VecDeque<Waiting>,
    /// How many the one at the head has taken along.
    along: usize,
}

/// A message that waits for its turn, or to be taken along by the one whose turn it is.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) arrival: Arc<Arrival<'static>>,
    pub(crate) span: Span,
    call: oneshot::Sender<Turn>,
}

impl Waiting {
    /// Tells what became of it. Whoever was dropped while waiting needs no answer.
    pub(crate) fn tell(self, done: Result<Outcome, NotDone>) {
        let _ = self.call.send(Turn::Over(done));
    }
}

/// What those who wait are told.
#[derive(Debug)]
pub(crate) enum Turn {
    Yours,
    /// Somebody else has seen to it, or has stopped the lane.
    Over(Result<Outcome, NotDone>),
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Lane>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place in a lane. It is kept until the place is dropped.
    pub(crate) fn enter(&self, lane: String, arrival: &Arc<Arrival<'static>>, span: &Span) -> Place<'_> {
        let mut lanes = self.lock();
        let standing = match lanes.get_mut(&lane) {
            None => {
                lanes.insert(lane.clone(), Lane::default());
                Standing::AtHead
            }
            Some(lane) => {
                let (call, called) = oneshot::channel();
                lane.waiting.push_back(Waiting { arrival: Arc::clone(arrival), span: span.clone(), call });
                Standing::Waiting(called)
            }
        };
        Place { lanes: self, lane, standing }
    }
}

/// A place in a lane.
pub(crate) struct Place<'a> {
    lanes: &'a Lanes,
    lane: String,
    standing: Standing,
}

enum Standing {
    Waiting(oneshot::Receiver<Turn>),
    AtHead,
    Gone,
}

impl Place<'_> {
    /// Waits for those who came before.
    pub(crate) async fn turn(&mut self) -> Turn {
        let Standing::Waiting(called) = &mut self.standing else {
            return if matches!(self.standing, Standing::AtHead) {
                Turn::Yours
            } else {
                Turn::Over(Err(NotDone::Behind))
            };
        };
        // The sender is dropped only with whoever had taken this one along, or with the lanes themselves.
        let turn = called.await.unwrap_or(Turn::Over(Err(NotDone::Stopped)));
        self.standing = if matches!(turn, Turn::Yours) { Standing::AtHead } else { Standing::Gone };
        turn
    }

    /// Takes along those next behind this place, which is at the head: up to so many, and no further than to the first that may not
    /// come. They are to be told what became of them.
    pub(crate) fn take_along(&self, max: usize, may_come: impl Fn(&Arrival<'_>) -> bool) -> Vec<Waiting> {
        let mut taken = Vec::new();
        let mut lanes = self.lanes.lock();
        let Some(lane) = lanes.get_mut(&self.lane) else { return taken };
        while taken.len() < max && lane.waiting.front().is_some_and(|next| may_come(&next.arrival)) {
            taken.extend(lane.waiting.pop_front().filter(|next| !next.call.is_canceled()));
        }
        lane.along = taken.len();
        taken
    }

    /// Waits for its turn. If `max` or more messages of the lane are in flight before this one, it waits only as long as `patience`
    /// and then leaves the lane.
    pub(crate) async fn turn_unless_crowded(&mut self, max: usize, patience: impl Future<Output = ()>) -> Turn {
        if self.before().is_some_and(|before| before >= max) {
            if let Either::Left((turn, _)) = select(pin!(self.turn()), pin!(patience)).await {
                return turn;
            }
            if self.before().is_some_and(|before| before >= max) {
                self.leave();
                return Turn::Over(Err(NotDone::Crowded));
            }
        }
        self.turn().await
    }

    /// How many messages of the lane are in flight before this one. `None` if its turn has come, or another one took it along.
    fn before(&self) -> Option<usize> {
        let Standing::Waiting(called) = &self.standing else { return None };
        let lanes = self.lanes.lock();
        let Lane { waiting, along } = lanes.get(&self.lane)?;
        let position = waiting.iter().position(|one| one.call.is_connected_to(called))?;
        Some(1 + along + position)
    }

    /// Leaves the lane without a turn.
    fn leave(&mut self) {
        let mut lanes = self.lanes.lock();
        self.standing = Standing::Gone;
        if let Some(lane) = lanes.get_mut(&self.lane) {
            lane.waiting.retain(|one| !one.call.is_canceled());
        }
    }

    /// Sends away all who wait behind this place, which is at the head. Whoever comes later is not concerned: a queue
    /// gives out nothing of a group before all of it that is in hand has come back.
    pub(crate) fn stop(self) {
        if let Some(lane) = self.lanes.lock().get_mut(&self.lane) {
            lane.waiting.drain(..).for_each(|next| next.tell(Err(NotDone::Behind)));
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // SUBTLE: a place whose turn was called but not noticed is at the head, too, and must call the next; one that was
        // sent away but has not noticed is not, and must not: the lane may be another one by now
        // (`who_is_dropped_holds_nobody_up`, `who_is_sent_away_leaves_a_later_lane_alone`).
        let is_at_head = match &mut self.standing {
            Standing::AtHead => true,
            Standing::Gone => false,
            Standing::Waiting(called) => matches!(called.try_recv(), Ok(Some(Turn::Yours))),
        };
        if !is_at_head {
            return self.leave();
        }
        let mut lanes = self.lanes.lock();
        let Some(lane) = lanes.get_mut(&self.lane) else { return };
        lane.along = 0;
        while let Some(next) = lane.waiting.pop_front() {
            // Whoever was dropped while waiting is passed over.
            if next.call.send(Turn::Yours).is_ok() {
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
    use crate::{Delivery, Envelope};

    fn is_called(place: &mut Place<'_>) -> bool {
        matches!(place.turn().now_or_never(), Some(Turn::Yours))
    }

    fn is_sent_away(place: &mut Place<'_>) -> bool {
        matches!(place.turn().now_or_never(), Some(Turn::Over(Err(NotDone::Behind))))
    }

    fn enter<'l>(lanes: &'l Lanes, lane: &str) -> Place<'l> {
        let arrival = Arrival { delivery: Cow::Owned(Delivery::default()), envelope: Err(String::new()) };
        lanes.enter(lane.to_owned(), &Arc::new(arrival), &Span::none())
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
        for place in [&mut second, &mut fourth] {
            assert!(matches!(place.turn().now_or_never(), Some(Turn::Over(Ok(Outcome::Processed)))));
        }
        assert!(fifth.take_along(9, |_| true).is_empty());
        let mut sixth = enter(&lanes, "a");
        assert!(fifth.take_along(9, |_| false).is_empty(), "one that may not come");
        drop(fifth.take_along(9, |_| true));
        assert!(
            matches!(sixth.turn().now_or_never(), Some(Turn::Over(Err(NotDone::Stopped)))),
            "dropped with who took it"
        );
    }

    #[test]
    fn message_leaves_a_crowded_lane_when_its_patience_ends() {
        let lanes = Lanes::default();
        let [first, mut second, mut third, mut fourth] = [0; 4].map(|_| enter(&lanes, "a"));
        let is_crowded = |place: &mut Place<'_>, max| {
            let turn = place.turn_unless_crowded(max, std::future::ready(())).now_or_never();
            matches!(turn, Some(Turn::Over(Err(NotDone::Crowded))))
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
        let arrival = |envelope| Arrival {
            delivery: Cow::Owned(Delivery { group: Some("g".to_owned()), ..Delivery::default() }),
            envelope,
        };
        let readable = arrival(envelope("p"));
        let lane = |queue, arrival: &Arrival<'_>| Order::of(queue).lane(arrival);
        assert_eq!(lane("orders", &readable).as_deref(), Some("p"), "groups of fair queues order nothing");
        assert_eq!(lane("orders.fifo", &readable).as_deref(), Some("g"));
        let unreadable = arrival(Err("no JSON".to_owned()));
        assert_eq!(lane("orders", &unreadable), None);
        assert_eq!(lane("orders.fifo", &unreadable).as_deref(), Some("g"));

        let may_fold = |other| Order::ByGroup.may_fold(&readable, &arrival(other));
        assert!(may_fold(envelope("p")));
        assert!(!may_fold(envelope("q")), "a group has messages of several partitions");
    }
}
