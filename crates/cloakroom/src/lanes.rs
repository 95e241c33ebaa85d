//! One message per partition at a time, in the order of arrival.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Mutex, MutexGuard, PoisonError},
};

use futures::channel::oneshot;

use crate::Partition;

/// Who waits for which partition. Partitions that nobody uses take no space.
#[derive(Debug, Default)]
pub(crate) struct Lanes(Mutex<BTreeMap<Partition, VecDeque<oneshot::Sender<()>>>>);

impl Lanes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Partition, VecDeque<oneshot::Sender<()>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place in the partition's lane. It is kept until the place is dropped.
    pub(crate) fn enter(&self, partition: Partition) -> Place<'_> {
        let mut lanes = self.lock();
        let turn = match lanes.get_mut(&partition) {
            None => {
                lanes.insert(partition.clone(), VecDeque::new());
                None
            }
            Some(waiting) => {
                let (call, turn) = oneshot::channel();
                waiting.push_back(call);
                Some(turn)
            }
        };
        Place { lanes: self, partition, turn }
    }
}

/// A place in a lane.
pub(crate) struct Place<'a> {
    lanes: &'a Lanes,
    partition: Partition,
    turn: Option<oneshot::Receiver<()>>,
}

impl Place<'_> {
    /// Waits for those who came before.
    pub(crate) async fn turn(&mut self) {
        if let Some(turn) = &mut self.turn {
            // The sender is dropped only with the lanes themselves.
            let _ = turn.await;
            self.turn = None;
        }
    }
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        // SUBTLE: a place whose turn was called but not noticed is at the head, too, and must call the next.
        let is_at_head = self.turn.as_mut().is_none_or(|turn| matches!(turn.try_recv(), Ok(Some(()))));
        if !is_at_head {
            return;
        }
        let mut lanes = self.lanes.lock();
        let Some(waiting) = lanes.get_mut(&self.partition) else { return };
        while let Some(next) = waiting.pop_front() {
            // Whoever was dropped while waiting is passed over.
            if next.send(()).is_ok() {
                return;
            }
        }
        lanes.remove(&self.partition);
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use super::*;

    #[test]
    fn a_partition_is_taken_in_order_of_arrival() {
        let lanes = Lanes::default();
        let mut first = lanes.enter("a".into());
        let mut second = lanes.enter("a".into());
        let mut third = lanes.enter("a".into());
        let mut other = lanes.enter("b".into());
        assert!(first.turn().now_or_never().is_some());
        assert!(other.turn().now_or_never().is_some(), "another partition does not wait");
        assert!(second.turn().now_or_never().is_none());
        drop(first);
        assert!(third.turn().now_or_never().is_none(), "the second comes before the third");
        assert!(second.turn().now_or_never().is_some());
    }

    #[test]
    fn who_is_dropped_holds_nobody_up() {
        let lanes = Lanes::default();
        let first = lanes.enter("a".into());
        let second = lanes.enter("a".into());
        let third = lanes.enter("a".into());
        let mut fourth = lanes.enter("a".into());
        drop(third);
        drop(first);
        // Called, but dropped before it noticed.
        drop(second);
        assert!(fourth.turn().now_or_never().is_some());
        drop(fourth);
        assert!(lanes.lock().is_empty());
    }
}
