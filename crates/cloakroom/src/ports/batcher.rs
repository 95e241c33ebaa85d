//! Batching: single calls that happen at the same time share a request.

pub(crate) mod waiting;

use std::{
    fmt, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::Poll,
    time::Duration,
};

use futures::{
    channel::oneshot,
    future::{Either, join_all, poll_fn, select},
};

use crate::{
    error::PortError,
    ports::{
        batcher::waiting::{Answer, Entry, Reply, Unanswered, Waiting},
        bounded::answer_within,
        clock::Clock,
        pace::Pace,
    },
};

/// The default time that an entry waits for the answer of a request that another caller sends.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// The maximum number of requests in flight for the entries of one caller.
const REQUESTS_AT_A_TIME: usize = 10;

/// A collector of single calls: calls wait a short time for other calls, and one request carries
/// several of them.
///
/// No task runs in the background. The first caller becomes the leader: it waits, and then sends
/// the entries of all callers that came after it. A caller whose entry makes a request full sends
/// the request at once. If a waiting leader is dropped, another caller takes over. If a caller is
/// dropped while its request is in flight, the other callers of this request get an error with an
/// unknown outcome.
///
/// A caller does not depend on the task of the caller that sends its entry. If that task is not
/// polled, the entry fails with an unknown outcome after [`answers_within`](Self::answers_within).
/// With [`one_or_alone`](Self::one_or_alone) it is then requested again, alone. The request itself
/// needs its own time limit.
///
/// An entry is in only one request, unless its caller enters it again.
///
/// ```
/// use std::time::Duration;
/// use cloakroom::{PortError, memory::Memory, ports::{Batcher, Pace}};
///
/// let memory = Memory::new();
/// let doubled = Batcher::new("doubling", 10, Pace::Prompt(Duration::from_millis(10)), memory.clock.clone());
/// let request = async |numbers: Vec<u32>| numbers.into_iter().map(|number| Ok(2 * number)).collect();
/// let answers: Vec<Result<u32, PortError>> = memory.run(doubled.all(vec![1, 2, 3], &request));
/// assert_eq!(answers.into_iter().collect::<Result<Vec<_>, _>>()?, [2, 4, 6]);
/// # Ok::<(), PortError>(())
/// ```
pub struct Batcher<T, A> {
    what: String,
    entries_max: usize,
    pace: Pace,
    answer_max: Duration,
    clock: Arc<dyn Clock>,
    waiting: Mutex<Waiting<T, A>>,
}

impl<T: Send, A: Send> Batcher<T, A> {
    /// Creates a batcher with up to `entries_max` entries in a request, at least one. `what` names
    /// the requests in errors.
    pub fn new(what: impl Into<String>, entries_max: usize, pace: Pace, clock: Arc<dyn Clock>) -> Self {
        let (what, entries_max, answer_max) = (what.into(), entries_max.max(1), ANSWER_MAX);
        Self { what, entries_max, pace, answer_max, clock, waiting: Mutex::default() }
    }

    /// Sets the time that an entry waits for the answer of a request that another caller sends.
    /// Default: 10 seconds.
    #[must_use]
    pub fn answers_within(self, answer_max: Duration) -> Self {
        Self { answer_max, ..self }
    }

    /// Enters one value, and returns the answer of its request for this value. `request` must
    /// return one answer for each value, in order.
    pub async fn one<F>(&self, value: T, request: &(impl Fn(Vec<T>) -> F + Sync)) -> Answer<A>
    where
        F: Future<Output = Vec<Answer<A>>> + Send,
    {
        if self.entries_max == 1 {
            return self.alone(value, request).await;
        }
        let slot = self.enter_one(&mut self.lock(), value);
        self.await_answer(slot, request).await.unwrap_or_else(|unanswered| Err(self.unknown(unanswered)))
    }

    /// Enters one value like [`one`](Self::one). If its request is not answered in time, or if its
    /// sender is dropped, the value is requested again, alone. For requests that may be repeated,
    /// such as reads.
    pub async fn one_or_alone<F>(&self, value: T, request: &(impl Fn(Vec<T>) -> F + Sync)) -> Answer<A>
    where
        F: Future<Output = Vec<Answer<A>>> + Send,
        T: Clone,
    {
        if self.entries_max == 1 {
            return self.alone(value, request).await;
        }
        let slot = self.enter_one(&mut self.lock(), value.clone());
        match self.await_answer(slot, request).await {
            Ok(answer) => answer,
            Err(_) => self.alone(value, request).await,
        }
    }

    async fn alone<F>(&self, value: T, request: &(impl Fn(Vec<T>) -> F + Sync)) -> Answer<A>
    where
        F: Future<Output = Vec<Answer<A>>> + Send,
    {
        request(vec![value]).await.pop().unwrap_or_else(|| Err(self.unknown(Unanswered::Dropped)))
    }

    /// Enters several values, which share requests. Returns their answers in the order of the
    /// values.
    pub async fn all<F>(&self, values: Vec<T>, request: &(impl Fn(Vec<T>) -> F + Sync)) -> Vec<Answer<A>>
    where
        F: Future<Output = Vec<Answer<A>>> + Send,
    {
        let mut answers = Vec::with_capacity(values.len());
        let mut left = values.into_iter();
        if left.len() == 1 {
            let one = left.next().map(|value| self.one(value, request));
            return vec![one.expect("there is one").await];
        }
        while left.len() > 0 {
            let part: Vec<T> = left.by_ref().take(REQUESTS_AT_A_TIME * self.entries_max).collect();
            let slots = self.enter_all(part);
            let results = join_all(slots.into_iter().map(|slot| self.await_answer(slot, request))).await;
            let answer = |result: Result<_, _>| result.unwrap_or_else(|unanswered| Err(self.unknown(unanswered)));
            answers.extend(results.into_iter().map(answer));
        }
        answers
    }

    async fn await_answer<F>(
        &self,
        mut slot: Slot<'_, T, A>,
        request: &(impl Fn(Vec<T>) -> F + Sync),
    ) -> Result<Answer<A>, Unanswered>
    where
        F: Future<Output = Vec<Answer<A>>> + Send,
    {
        loop {
            match self.wait(slot, request).await? {
                Reply::Answer(answer) => return Ok(answer),
                // The caller that should have sent the value was dropped before it sent the
                // request.
                Reply::NotSent(value) => slot = self.enter_one(&mut self.lock(), value),
            }
        }
    }

    /// Waits for the answer. Before that it sends the request or leads its entries, if this is the
    /// role of the slot.
    ///
    /// SUBTLE: each slot waits for its answer with its own timer. (1) A leader sends the request of
    /// this slot. (2) The request is answered, but the leader's task is busy and does not poll it,
    /// or the connection is dead. Without the timer this slot would wait as long as the leader
    /// (`follower_repeats_its_request_alone_while_the_sender_is_not_polled`,
    /// `follower_of_an_unanswered_send_gets_an_unknown_outcome`).
    async fn wait<F>(
        &self,
        slot: Slot<'_, T, A>,
        request: &(impl Fn(Vec<T>) -> F + Sync),
    ) -> Result<Reply<T, A>, Unanswered>
    where
        F: Future<Output = Vec<Answer<A>>> + Send,
    {
        let Slot { mut reply, role } = slot;
        let or_dropped = |reply: Result<Reply<T, A>, _>| reply.map_err(|_| Unanswered::Dropped);
        match role {
            // The leader's task may not be polled. So a follower waits at most twice the pace for
            // it.
            Role::Follower(number) => match select(&mut reply, self.clock.sleep(self.pace.longest() * 2)).await {
                Either::Left((reply, _)) => return or_dropped(reply),
                Either::Right(((), _)) => self.flush(self.take_from_leader(number), request).await,
            },
            Role::Sender(full) => self.flush(full, request).await,
            Role::Leader(leader) => match select(&mut reply, std::pin::pin!(self.gather())).await {
                // Another caller has sent this entry in a full request. `leader` is dropped here.
                // That returns the entries that came later to their callers, and one of these
                // becomes the leader.
                Either::Left((reply, _)) => return or_dropped(reply),
                Either::Right(((), _)) => self.flush(self.take_as_leader(leader.number), request).await,
            },
        }
        let reply = answer_within(&*self.clock, self.answer_max, reply).await;
        reply.map_or(Err(Unanswered::Late), or_dropped)
    }

    /// Returns when the gathered entries must be sent.
    async fn gather(&self) {
        match self.pace {
            Pace::Linger(time) => self.clock.sleep(time).await,
            Pace::Prompt(time) => {
                end_of_executor_turn().await;
                if let Some(idle) = self.when_idle() {
                    select(idle, self.clock.sleep(time)).await;
                }
            }
        }
    }

    /// Sends a request and passes the answers to the callers.
    async fn flush<F>(&self, entries: Vec<Entry<T, A>>, request: &impl Fn(Vec<T>) -> F)
    where
        F: Future<Output = Vec<Answer<A>>>,
    {
        // The entry of a dropped caller is not sent, because no caller waits for its answer. If it
        // is still needed, another caller enters it again.
        let wanted = entries.into_iter().filter(|entry| !entry.caller.is_canceled());
        let (values, callers): (Vec<T>, Vec<_>) = wanted.map(|entry| (entry.value, entry.caller)).unzip();
        if values.is_empty() {
            return;
        }
        let in_flight = InFlight::begin(self);
        let answers = request(values).await;
        drop(in_flight);
        for (caller, answer) in callers.into_iter().zip(answers) {
            let _ = caller.send(Reply::Answer(answer));
        }
    }

    fn unknown(&self, unanswered: Unanswered) -> PortError {
        let cause = match unanswered {
            Unanswered::Dropped => "the caller that sent the request was dropped".to_owned(),
            Unanswered::Late => format!("no answer within {} ms", self.answer_max.as_millis()),
        };
        PortError::new(&*self.what, cause).public()
    }
}

impl<T, A> Batcher<T, A> {
    fn lock(&self) -> MutexGuard<'_, Waiting<T, A>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter_all(&self, values: Vec<T>) -> Vec<Slot<'_, T, A>> {
        let mut waiting = self.lock();
        values.into_iter().map(|value| self.enter_one(&mut waiting, value)).collect()
    }

    /// Takes the entries that have gathered for this leader. The next caller becomes the new
    /// leader.
    ///
    /// SUBTLE: it takes nothing if there is another leader. (1) A follower does not wait for its
    /// leader any longer and sends the gathered entries. (2) New entries gather for a second
    /// leader. (3) The first leader ends, and would return these entries to their callers. (4) The
    /// second leader would do the same to the entries that follow. The leaders would return each
    /// other's entries forever (`late_leader_does_not_take_the_entries_of_a_new_leader`).
    fn take_as_leader(&self, leader: u64) -> Vec<Entry<T, A>> {
        let mut waiting = self.lock();
        if waiting.leader != Some(leader) {
            return Vec::new();
        }
        waiting.leader = None;
        waiting.take()
    }

    /// Takes the gathered entries from their leader, for a follower that has waited too long.
    ///
    /// SUBTLE: with [`Pace::Prompt`] it takes nothing if the follower's own request was already
    /// sent. (1) The request of the follower is in flight. (2) The entries of the next request
    /// gather. (3) The follower would send them and wait for their answer. It would wait although
    /// its own answer has arrived (`follower_in_flight_does_not_send_the_next_request`).
    ///
    /// With [`Pace::Linger`] it takes the entries in this case, too. A worker that has reduced its
    /// concurrency has few messages in flight, and these would wait for each other
    /// (`table_that_splits_is_no_longer_throttled`).
    fn take_from_leader(&self, request: u64) -> Vec<Entry<T, A>> {
        let mut waiting = self.lock();
        if matches!(self.pace, Pace::Prompt(_)) && waiting.request != request {
            return Vec::new();
        }
        waiting.leader = None;
        waiting.take()
    }

    fn enter_one(&self, waiting: &mut Waiting<T, A>, value: T) -> Slot<'_, T, A> {
        let (caller, reply) = oneshot::channel();
        waiting.entries.push(Entry { value, caller });
        let role = if waiting.entries.len() >= self.entries_max {
            Role::Sender(waiting.take())
        } else if waiting.leader.is_some() {
            Role::Follower(waiting.request)
        } else {
            waiting.leaders += 1;
            waiting.leader = Some(waiting.leaders);
            Role::Leader(Leader { batcher: self, number: waiting.leaders })
        };
        Slot { reply, role }
    }

    /// Returns a receiver that resolves when no request is in flight. `None` if there is no request
    /// in flight now.
    fn when_idle(&self) -> Option<oneshot::Receiver<()>> {
        let mut waiting = self.lock();
        (waiting.in_flight > 0).then(|| {
            let (sender, receiver) = oneshot::channel();
            waiting.idle = Some(sender);
            receiver
        })
    }
}

impl<T, A> fmt::Debug for Batcher<T, A> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, entries_max, pace, .. } = self;
        let waiting = self.lock().entries.len();
        f.debug_struct("Batcher")
            .field("what", what)
            .field("entries_max", entries_max)
            .field("pace", pace)
            .field("waiting", &waiting)
            .finish_non_exhaustive()
    }
}

/// Yields once, so that all other tasks that are ready run first.
async fn end_of_executor_turn() {
    let mut is_over = false;
    poll_fn(|context| {
        if mem::replace(&mut is_over, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// The slot of one entry in a request, and the role of its caller.
struct Slot<'a, T, A> {
    reply: oneshot::Receiver<Reply<T, A>>,
    role: Role<'a, T, A>,
}

enum Role<'a, T, A> {
    /// The caller waits for the request with this number.
    Follower(u64),
    /// The caller made this request full, and sends it.
    Sender(Vec<Entry<T, A>>),
    /// The caller was the first one of its request.
    Leader(Leader<'a, T, A>),
}

/// The caller that sends the gathered entries. If it is dropped before it has sent them, it returns
/// them to their callers.
struct Leader<'a, T, A> {
    batcher: &'a Batcher<T, A>,
    number: u64,
}

impl<T, A> Drop for Leader<'_, T, A> {
    fn drop(&mut self) {
        for Entry { value, caller } in self.batcher.take_as_leader(self.number) {
            let _ = caller.send(Reply::NotSent(value));
        }
    }
}

/// A request that is in flight, until it is answered or its sender is dropped.
struct InFlight<'a, T, A>(&'a Batcher<T, A>);

impl<'a, T, A> InFlight<'a, T, A> {
    fn begin(batcher: &'a Batcher<T, A>) -> Self {
        batcher.lock().in_flight += 1;
        Self(batcher)
    }
}

impl<T, A> Drop for InFlight<'_, T, A> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.in_flight -= 1;
        if waiting.in_flight == 0
            && let Some(leader) = waiting.idle.take()
        {
            let _ = leader.send(());
        }
    }
}

#[cfg(test)]
mod tests;
