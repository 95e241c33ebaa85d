//! Batches of ten out of single sends and deletes that happen at the same time.

use std::{
    mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use futures::{
    channel::oneshot,
    future::{join, join_all},
};

use crate::{Clock, Delivery, PortError, Queue, QueueMessage};

/// What SQS takes in one request.
const BATCH: usize = 10;

/// A queue whose sends and deletes wait a little for others, so that requests carry up to ten of them.
///
/// No task runs in the background: whoever comes first waits and sends for all who came after, and
/// whoever makes a batch full sends it at once. If the one who sends for others is dropped, they are
/// told that the outcome is unknown.
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
        let flush = async |full: Vec<Entry<T>>| {
            let (entries, callers): (Vec<T>, Vec<_>) =
                full.into_iter().map(|entry| (entry.value, entry.caller)).unzip();
            if entries.is_empty() {
                return;
            }
            for (caller, answer) in callers.into_iter().zip(request(entries).await) {
                // A caller that is gone needs no answer.
                let _ = caller.send(answer);
            }
        };
        let (answers, full, lead) = batch.enter(entries);
        let full = join_all(full.into_iter().map(&flush));
        let rest = async {
            if let Some(lead) = lead {
                self.clock.sleep(self.linger).await;
                flush(lead.take()).await;
            }
        };
        let answers = join_all(answers.into_iter().map(async |answer| {
            let unknown =
                || PortError::new(format!("batch to queue `{}`", self.queue.name()), "its sender was dropped");
            answer.await.unwrap_or_else(|_| Err(unknown()))
        }));
        join(join(full, rest), answers).await.1
    }
}

type Answer = Result<(), PortError>;

#[derive(Debug)]
struct Entry<T> {
    value: T,
    caller: oneshot::Sender<Answer>,
}

/// Entries that wait, and whether somebody is waiting to send them.
#[derive(Debug)]
struct Batch<T>(Mutex<(Vec<Entry<T>>, bool)>);

impl<T> Default for Batch<T> {
    fn default() -> Self {
        Self(Mutex::new((Vec::new(), false)))
    }
}

impl<T> Batch<T> {
    fn lock(&self) -> MutexGuard<'_, (Vec<Entry<T>>, bool)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds entries. Returns their answers to be, the batches that became full, and the lead over the rest if
    /// nobody has it.
    fn enter(&self, values: Vec<T>) -> (Vec<oneshot::Receiver<Answer>>, Vec<Vec<Entry<T>>>, Option<Lead<'_, T>>) {
        let mut state = self.lock();
        let (waiting, led) = &mut *state;
        let mut answers = Vec::with_capacity(values.len());
        let mut full = Vec::new();
        for value in values {
            let (caller, answer) = oneshot::channel();
            answers.push(answer);
            waiting.push(Entry { value, caller });
            if waiting.len() == BATCH {
                full.push(mem::take(waiting));
            }
        }
        let lead = (!waiting.is_empty() && !mem::replace(led, true)).then(|| Lead(self));
        (answers, full, lead)
    }
}

/// The duty to send what waits. Dropped unfulfilled, it drops what waits, which tells the callers.
struct Lead<'a, T>(&'a Batch<T>);

impl<T> Lead<'_, T> {
    fn take(&self) -> Vec<Entry<T>> {
        mem::take(&mut self.0.lock().0)
    }
}

impl<T> Drop for Lead<'_, T> {
    fn drop(&mut self) {
        let mut state = self.0.lock();
        state.1 = false;
        let left = mem::take(&mut state.0);
        drop(state);
        drop(left);
    }
}

#[async_trait]
impl Queue for Coalesced {
    fn name(&self) -> &str {
        self.queue.name()
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Answer> {
        self.submit(&self.sends, messages, |messages| self.queue.send(messages)).await
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
