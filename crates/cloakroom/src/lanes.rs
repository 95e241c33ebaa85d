//! Lanes: the messages of one lane go one at a time, in the order of arrival.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures::channel::oneshot;

use crate::{Delivery, Endpoint, Error, fifo::is_fifo};

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
    pub(crate) fn lane(self, endpoint: &Endpoint, delivery: &Delivery) -> Option<String> {
        match self {
            Self::ByPartition => endpoint.partition_of(delivery).map(|partition| partition.as_str().to_owned()),
            Self::ByGroup => Some(delivery.group.clone().unwrap_or_default()),
        }
    }

    /// Whether a message that was not finished stops its lane.
    pub(crate) const fn stops_at_failure(self) -> bool {
        matches!(self, Self::ByGroup)
    }
}

/// Why a message was not finished, and has to be received again.
#[derive(Debug)]
pub enum NotDone {
    /// It was tried.
    Failed(Error),
    /// It was not tried, because a message before it in its group was not finished. On FIFO queues only.
    Behind,
    /// It was dropped, or not begun, because the time was up.
    Stopped,
}

impl std::fmt::Display for NotDone {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Failed(error) => error.fmt(f),
            Self::Behind => f.write_str("a message before it in its group was not finished; it is tried after that"),
            Self::Stopped => f.write_str("the time was up before it was finished"),
        }
    }
}

impl std::error::Error for NotDone {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Failed(error) => error.source(),
            Self::Behind | Self::Stopped => None,
        }
    }
}

/// Who waits in which lane. Lanes that nobody uses take no space.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Mutex<BTreeMap<String, VecDeque<oneshot::Sender<Call>>>>);

/// What those who wait are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Call {
    YourTurn,
    Stopped,
}

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, VecDeque<oneshot::Sender<Call>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place in a lane. It is kept until the place is dropped.
    pub(crate) fn enter(&self, lane: String) -> Place<'_> {
        let mut lanes = self.lock();
        let standing = match lanes.get_mut(&lane) {
            None => {
                lanes.insert(lane.clone(), VecDeque::new());
                Standing::AtHead
            }
            Some(waiting) => {
                let (call, called) = oneshot::channel();
                waiting.push_back(call);
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
    Waiting(oneshot::Receiver<Call>),
    AtHead,
    Stopped,
}

impl Place<'_> {
    /// Waits for those who came before.
    ///
    /// # Errors
    /// One of them has stopped the lane.
    pub(crate) async fn turn(&mut self) -> Result<(), NotDone> {
        if let Standing::Waiting(called) = &mut self.standing {
            // The sender is dropped only with the lanes themselves.
            self.standing = match called.await {
                Ok(Call::YourTurn) => Standing::AtHead,
                Ok(Call::Stopped) | Err(oneshot::Canceled) => Standing::Stopped,
            };
        }
        if matches!(self.standing, Standing::Stopped) { Err(NotDone::Behind) } else { Ok(()) }
    }

    /// Sends away all who wait behind this place, which is at the head. Whoever comes later is not concerned: a queue
    /// gives out nothing of a group before all of it that is in hand has come back.
    pub(crate) fn stop(self) {
        if let Some(waiting) = self.lanes.lock().get_mut(&self.lane) {
            for call in waiting.drain(..) {
                // Whoever was dropped while waiting needs no answer.
                let _ = call.send(Call::Stopped);
            }
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
            Standing::Stopped => false,
            Standing::Waiting(called) => called.try_recv() == Ok(Some(Call::YourTurn)),
        };
        if !is_at_head {
            return;
        }
        let mut lanes = self.lanes.lock();
        let Some(waiting) = lanes.get_mut(&self.lane) else { return };
        while let Some(next) = waiting.pop_front() {
            // Whoever was dropped while waiting is passed over.
            if next.send(Call::YourTurn).is_ok() {
                return;
            }
        }
        lanes.remove(&self.lane);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;
    use crate::{Handled, Message, Partition, Tx, memory::Memory};

    fn is_called(place: &mut Place<'_>) -> bool {
        matches!(place.turn().now_or_never(), Some(Ok(())))
    }

    fn is_sent_away(place: &mut Place<'_>) -> bool {
        matches!(place.turn().now_or_never(), Some(Err(NotDone::Behind)))
    }

    #[test]
    fn a_lane_is_taken_in_order_of_arrival() {
        let lanes = Lanes::default();
        let [mut first, mut second, mut third] = [0; 3].map(|_| lanes.enter("a".into()));
        let mut other = lanes.enter("b".into());
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
        let [first, second, third, mut fourth] = [0; 4].map(|_| lanes.enter("a".into()));
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
        let [first, mut second, mut third] = [0; 3].map(|_| lanes.enter("a".into()));
        let [other, mut behind_other] = [0; 2].map(|_| lanes.enter("b".into()));
        first.stop();
        assert!(is_sent_away(&mut second) && is_sent_away(&mut third));
        assert!(is_sent_away(&mut second), "and it stays so");
        drop(other);
        assert!(is_called(&mut behind_other));
        drop((second, third, behind_other));
        assert!(lanes.lock().is_empty());
    }

    #[test]
    fn who_is_sent_away_leaves_a_later_lane_alone() {
        let lanes = Lanes::default();
        let [first, noticed, unnoticed] = [0; 3].map(|_| lanes.enter("a".into()));
        first.stop();
        let mut noticed = noticed;
        assert!(is_sent_away(&mut noticed));
        let [mut head, mut next] = [0; 2].map(|_| lanes.enter("a".into()));
        drop((noticed, unnoticed));
        assert!(is_called(&mut head));
        assert!(!is_called(&mut next), "two at a time in one lane");
    }

    #[test]
    fn the_name_of_the_queue_decides_about_the_lane() {
        #[derive(serde::Serialize, serde::Deserialize)]
        struct Ping;
        impl Message for Ping {
            const TYPE: &'static str = "ping";
            fn partition(&self) -> Partition {
                "p".into()
            }
        }
        async fn ping(_: &mut BTreeMap<String, u64>, _: Ping, _: &mut Tx) -> Handled {
            Ok(())
        }
        let endpoint = Endpoint::builder("pings").on(ping).build(Memory::new().ports()).expect("an endpoint");
        let lane = |queue, delivery| Order::of(queue).lane(&endpoint, delivery);

        let body = r#"{ "partitionkey": "p" }"#.to_owned();
        let delivery = Delivery { body, group: Some("g".to_owned()), ..Delivery::default() };
        assert_eq!(lane("orders", &delivery).as_deref(), Some("p"), "groups of fair queues order nothing");
        assert_eq!(lane("orders.fifo", &delivery).as_deref(), Some("g"));
        let unreadable = Delivery { body: "{".to_owned(), ..delivery.clone() };
        assert_eq!(lane("orders", &unreadable), None);
        assert_eq!(lane("orders.fifo", &unreadable).as_deref(), Some("g"));
    }
}
