//! Batches of ten out of single sends and deletes that happen at the same time.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures::{
    channel::oneshot,
    future::{Either, join_all, select},
};

use crate::{Clock, Delivery, PortError, Queue, QueueMessage, fifo};

/// What SQS takes in one request.
const BATCH: usize = 10;

/// How many entries of one caller are under way at a time.
const AT_A_TIME: usize = 10 * BATCH;

/// A queue whose sends and deletes wait a little for others, so that requests carry up to ten of them.
///
/// No task runs in the background: whoever comes first waits and sends for all who came after, and
/// whoever makes a batch full sends it at once. If the one who waits for others is dropped, another one takes
/// over; if that happens while it sends, the others are told that the outcome is unknown.
///
/// The order of a group on a FIFO queue is kept: see [`fifo`](crate::fifo).
#[derive(Debug)]
pub struct Coalesced {
    queue: Arc<dyn Queue>,
    clock: Arc<dyn Clock>,
    linger: Duration,
    sends: Batch<QueueMessage>,
    deletes: Batch<String>,
}

impl Coalesced {
    /// Lets sends and deletes on `queue` wait for up to `linger`.
    pub fn new(queue: Arc<dyn Queue>, clock: Arc<dyn Clock>, linger: Duration) -> Self {
        Self { queue, clock, linger, sends: Batch::default(), deletes: Batch::default() }
    }

    async fn submit<T: Send, F>(
        &self,
        batch: &Batch<T>,
        entries: Vec<T>,
        request: impl Fn(Vec<T>) -> F + Send + Sync,
    ) -> Vec<Answer>
    where
        F: Future<Output = Vec<Answer>> + Send,
    {
        let request = &request;
        let see_through = async |mut place| {
            loop {
                match self.wait(batch, place, request).await {
                    Told::Answer(answer) => return answer,
                    // Whoever was to send it is gone, and has not begun.
                    Told::Back(value) => place = batch.enter_one(value),
                }
            }
        };
        let mut answers = Vec::with_capacity(entries.len());
        let mut left = entries.into_iter();
        while left.len() > 0 {
            let some = left.by_ref().take(AT_A_TIME).collect();
            answers.extend(join_all(batch.enter(some).into_iter().map(see_through)).await);
        }
        answers
    }

    /// Waits for the answer; sends a batch, or leads one, if that fell to this place.
    async fn wait<T: Send, F>(
        &self,
        batch: &Batch<T>,
        place: Place<'_, T>,
        request: &(impl Fn(Vec<T>) -> F + Sync),
    ) -> Told<T>
    where
        F: Future<Output = Vec<Answer>> + Send,
    {
        let Place { mut told, duty } = place;
        match duty {
            // A leader that nobody polls leads nobody: those who follow do not wait for it much longer than it should.
            Duty::None => match select(&mut told, self.clock.sleep(self.linger * 2)).await {
                Either::Left((told, _)) => return told.unwrap_or_else(|_| self.unknown()),
                Either::Right(((), _)) => flush(batch.disband(), request).await,
            },
            Duty::Send(full) => flush(full, request).await,
            Duty::Lead(lead) => match select(&mut told, self.clock.sleep(self.linger)).await {
                // Sent with somebody else's full batch. Whoever came later is given back, and leads.
                Either::Left((told, _)) => return told.unwrap_or_else(|_| self.unknown()),
                Either::Right(((), _)) => flush(lead.end(), request).await,
            },
        }
        told.await.unwrap_or_else(|_| self.unknown())
    }

    fn unknown<T>(&self) -> Told<T> {
        let what = format!("batch to queue `{}`", self.name());
        Told::Answer(Err(PortError::new(what, "its sender was dropped").public()))
    }
}

/// Sends a batch and tells everybody.
async fn flush<T, F>(entries: Vec<Entry<T>>, request: &impl Fn(Vec<T>) -> F)
where
    F: Future<Output = Vec<Answer>>,
{
    // Nobody waits any more for what a dropped caller wanted: whoever comes after it does it again.
    let wanted = entries.into_iter().filter(|entry| !entry.caller.is_canceled());
    let (values, callers): (Vec<T>, Vec<_>) = wanted.map(|entry| (entry.value, entry.caller)).unzip();
    if values.is_empty() {
        return;
    }
    for (caller, answer) in callers.into_iter().zip(request(values).await) {
        let _ = caller.send(Told::Answer(answer));
    }
}

type Answer = Result<(), PortError>;

/// What the caller of an entry is told.
enum Told<T> {
    Answer(Answer),
    /// Not sent: here it is again.
    Back(T),
}

struct Entry<T> {
    value: T,
    caller: oneshot::Sender<Told<T>>,
}

/// A caller's place in a batch, and what the others expect of it.
struct Place<'a, T> {
    told: oneshot::Receiver<Told<T>>,
    duty: Duty<'a, T>,
}

enum Duty<'a, T> {
    None,
    /// It made this batch full.
    Send(Vec<Entry<T>>),
    /// It came first.
    Lead(Lead<'a, T>),
}

/// Entries that wait, and who leads them.
struct Batch<T>(Mutex<Waiting<T>>);

struct Waiting<T> {
    entries: Vec<Entry<T>>,
    /// The number of the leader, if there is one.
    leader: Option<u64>,
    /// How many leaders there were.
    leaders: u64,
}

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self(Mutex::new(Waiting { entries: Vec::new(), leader: None, leaders: 0 }))
    }
}

impl<T> std::fmt::Debug for Batch<T> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Batch").field(&self.lock().entries.len()).finish()
    }
}

impl<T> Batch<T> {
    fn lock(&self) -> MutexGuard<'_, Waiting<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters values together, so that they share batches.
    fn enter(&self, values: Vec<T>) -> Vec<Place<'_, T>> {
        let mut waiting = self.lock();
        values.into_iter().map(|value| self.place(&mut waiting, value)).collect()
    }

    /// Takes what has gathered, whoever leads it.
    fn disband(&self) -> Vec<Entry<T>> {
        let mut waiting = self.lock();
        waiting.leader = None;
        mem::take(&mut waiting.entries)
    }

    fn enter_one(&self, value: T) -> Place<'_, T> {
        self.place(&mut self.lock(), value)
    }

    fn place(&self, waiting: &mut Waiting<T>, value: T) -> Place<'_, T> {
        let (caller, told) = oneshot::channel();
        waiting.entries.push(Entry { value, caller });
        let duty = if waiting.entries.len() == BATCH {
            Duty::Send(mem::take(&mut waiting.entries))
        } else if waiting.leader.is_some() {
            Duty::None
        } else {
            waiting.leaders += 1;
            waiting.leader = Some(waiting.leaders);
            Duty::Lead(Lead { batch: self, number: waiting.leaders })
        };
        Place { told, duty }
    }
}

/// The duty to send what gathers. Dropped before it ended, it gives everybody back what they entered.
struct Lead<'a, T> {
    batch: &'a Batch<T>,
    number: u64,
}

impl<T> Lead<'_, T> {
    /// Takes what has gathered; whoever comes next leads anew.
    ///
    /// SUBTLE: nothing, if others did not wait for this leader and have another one by now. Were those given back, their
    /// leader would give back these, and so on for ever (`a_leader_who_comes_late_disturbs_nobody`).
    fn end(&self) -> Vec<Entry<T>> {
        let mut waiting = self.batch.lock();
        if waiting.leader != Some(self.number) {
            return Vec::new();
        }
        waiting.leader = None;
        mem::take(&mut waiting.entries)
    }
}

impl<T> Drop for Lead<'_, T> {
    fn drop(&mut self) {
        for Entry { value, caller } in self.end() {
            let _ = caller.send(Told::Back(value));
        }
    }
}

#[async_trait]
impl Queue for Coalesced {
    fn name(&self) -> &str {
        self.queue.name()
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Answer> {
        let send = |messages| self.submit(&self.sends, messages, |messages| self.queue.send(messages));
        match fifo::is_fifo(self.name()) {
            // SUBTLE: batches overtake each other, so a caller's next message of a group enters one only when the one before
            // it was taken (`a_group_keeps_its_order_whatever_fails`). Batches fill up across groups and callers.
            true => fifo::in_turn(self.name(), messages, send).await,
            false => send(messages).await,
        }
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        self.queue.receive(max, wait, visibility).await
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Answer> {
        self.submit(&self.deletes, receipts, |receipts| self.queue.delete(receipts)).await
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Answer> {
        self.queue.extend(receipts, visibility).await
    }
}

#[cfg(test)]
mod tests {
    use futures::FutureExt as _;

    use futures::future::join;

    use super::*;
    use crate::memory::Memory;

    fn message(text: &str) -> QueueMessage {
        QueueMessage { body: text.to_owned(), ..QueueMessage::default() }
    }

    fn coalesced(memory: &Memory) -> Coalesced {
        Coalesced::new(memory.queues.get("q"), memory.clock.clone(), Duration::from_millis(10))
    }

    #[test]
    fn when_the_leader_is_dropped_another_takes_over() {
        let memory = Memory::new();
        let queue = coalesced(&memory);
        let mut leader = queue.send(vec![message("leader")]);
        let mut second = queue.send(vec![message("second")]);
        let mut third = queue.send(vec![message("third")]);
        memory.run(async {
            assert!((&mut leader).now_or_never().is_none());
            assert!((&mut second).now_or_never().is_none());
            assert!((&mut third).now_or_never().is_none());
            drop(leader);
            assert!(join(second, third).await.0[0].is_ok());
        });
        let mut sent: Vec<_> = memory.queues.get("q").messages().into_iter().map(|message| message.body).collect();
        sent.sort();
        assert_eq!(sent, ["second", "third"], "what nobody waits for is not sent");
    }

    #[test]
    fn a_leader_that_nobody_polls_holds_up_nobody() {
        let memory = Memory::new();
        let queue = coalesced(&memory);
        let mut frozen = queue.send(vec![message("leader")]);
        memory.run(async {
            assert!((&mut frozen).now_or_never().is_none());
            assert!(queue.send(vec![message("second")]).await[0].is_ok());
            assert!(frozen.await[0].is_ok());
        });
        assert_eq!(memory.queues.get("q").len(), 2);
    }

    #[test]
    fn a_leader_who_comes_late_disturbs_nobody() {
        let memory = Memory::new();
        let queue = coalesced(&memory);
        let send = |text: &str| queue.send(vec![message(text)]);
        let mut late = send("late");
        memory.run(async {
            assert!((&mut late).now_or_never().is_none());
            // Does not wait for the leader, who is sent, too, and does not know yet.
            assert!(send("hasty").await[0].is_ok());
            let mut second = send("second");
            assert!((&mut second).now_or_never().is_none());
            assert!(late.await[0].is_ok());
            let mut third = send("third");
            assert!((&mut third).now_or_never().is_none());
            // Bounded: each could make the other one begin anew, for ever.
            let (mut both, mut polls) = (join(second, third), 0);
            let both = std::future::poll_fn(|context| {
                polls += 1;
                assert!(polls < 100, "they keep each other from being sent");
                both.poll_unpin(context)
            });
            let (second, third) = both.await;
            assert!(second[0].is_ok() && third[0].is_ok());
        });
        assert_eq!(memory.queues.get("q").len(), 4);
    }

    #[test]
    fn a_full_batch_does_not_wait() {
        let memory = Memory::new();
        let queue = coalesced(&memory);
        let before = memory.clock.now();
        memory.run(join_all((0..20).map(|number| queue.send(vec![message(&number.to_string())]))));
        assert_eq!(memory.queues.get("q").len(), 20);
        assert_eq!(memory.clock.now(), before);
    }
}
