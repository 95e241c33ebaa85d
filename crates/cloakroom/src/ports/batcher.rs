//! Requests out of single calls that happen at the same time.

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
        batcher::waiting::{Answer, Entry, Told, Unanswered, Waiting},
        bounded::answer_within,
        clock::Clock,
    },
};

/// How long an entry waits for the answer of a request that another caller sends, unless that is set.
const ANSWER_MAX: Duration = Duration::from_secs(10);

/// How many requests' worth of one caller's entries are under way at a time.
const REQUESTS_AT_A_TIME: usize = 10;

/// How long a request that is not full waits for more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// So long: where a request costs the same however full it is.
    Linger(Duration),
    /// Not at all: what is asked for in the same turn of the executor goes together. While another request is under way, it waits for
    /// that one, but no longer than so long. So requests are as full as the load makes them, and a single call does not wait.
    Prompt(Duration),
}

impl Pace {
    const fn longest(self) -> Duration {
        let (Self::Linger(time) | Self::Prompt(time)) = self;
        time
    }
}

/// Lets calls wait a little for others, so that requests carry several of them.
///
/// No task runs in the background: whoever comes first waits and sends for all who came after, and
/// whoever makes a request full sends it at once. If the one who waits for others is dropped, another one takes
/// over; if that happens while it sends, the others are told that the outcome is unknown.
///
/// A caller makes progress also while the task of the caller that sends is not polled: its entry fails with an unknown
/// outcome if the answer takes longer than [`answers_within`](Self::answers_within), or is requested again alone
/// ([`one_or_alone`](Self::one_or_alone)). The request itself needs a bound of its own.
///
/// An entry is in one request, and is in no other unless its caller enters it again.
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
    /// Puts up to `entries_max` entries, at least one, in a request. Errors call a request `what`.
    pub fn new(what: impl Into<String>, entries_max: usize, pace: Pace, clock: Arc<dyn Clock>) -> Self {
        let (what, entries_max, answer_max) = (what.into(), entries_max.max(1), ANSWER_MAX);
        Self { what, entries_max, pace, answer_max, clock, waiting: Mutex::default() }
    }

    /// Sets how long an entry waits for the answer of a request that another caller sends. Default: 10 seconds.
    #[must_use]
    pub fn answers_within(self, answer_max: Duration) -> Self {
        Self { answer_max, ..self }
    }

    /// Enters one value, and answers with what its request answers for it. `request` answers each value, in order.
    pub async fn one<F>(&self, value: T, request: &(impl Fn(Vec<T>) -> F + Sync)) -> Answer<A>
    where
        F: Future<Output = Vec<Answer<A>>> + Send,
    {
        if self.entries_max == 1 {
            return self.alone(value, request).await;
        }
        let place = self.place(&mut self.lock(), value);
        self.see_through(place, request).await.unwrap_or_else(|unanswered| Err(self.unknown(unanswered)))
    }

    /// Enters one value like [`one`](Self::one). If its request has no answer in time, or its sender was dropped, the
    /// value is requested again, alone. For requests that may be repeated, such as reads.
    pub async fn one_or_alone<F>(&self, value: T, request: &(impl Fn(Vec<T>) -> F + Sync)) -> Answer<A>
    where
        F: Future<Output = Vec<Answer<A>>> + Send,
        T: Clone,
    {
        if self.entries_max == 1 {
            return self.alone(value, request).await;
        }
        let place = self.place(&mut self.lock(), value.clone());
        match self.see_through(place, request).await {
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

    /// Enters values together, so that they share requests; answers in their order.
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
            let some: Vec<T> = left.by_ref().take(REQUESTS_AT_A_TIME * self.entries_max).collect();
            let places = self.enter(some);
            let told = join_all(places.into_iter().map(|place| self.see_through(place, request))).await;
            let answer = |told: Result<_, _>| told.unwrap_or_else(|unanswered| Err(self.unknown(unanswered)));
            answers.extend(told.into_iter().map(answer));
        }
        answers
    }

    async fn see_through<F>(
        &self,
        mut place: Place<'_, T, A>,
        request: &(impl Fn(Vec<T>) -> F + Sync),
    ) -> Result<Answer<A>, Unanswered>
    where
        F: Future<Output = Vec<Answer<A>>> + Send,
    {
        loop {
            match self.wait(place, request).await? {
                Told::Answer(answer) => return Ok(answer),
                // Whoever was to send it is gone, and has not begun.
                Told::Back(value) => place = self.place(&mut self.lock(), value),
            }
        }
    }

    /// Waits for the answer; sends a request, or leads one, if that fell to this place.
    ///
    /// SUBTLE: the answer is waited for with a timer of this place. (1) A leader sends for this place. (2) The request
    /// is answered, but the leader's task computes and does not poll it; or the connection is dead. (3) Without the
    /// timer this place would wait as long as the leader does
    /// (`follower_asks_alone_while_the_sender_is_not_polled`, `follower_of_an_unanswered_send_learns_that_the_outcome_is_unknown`).
    async fn wait<F>(
        &self,
        place: Place<'_, T, A>,
        request: &(impl Fn(Vec<T>) -> F + Sync),
    ) -> Result<Told<T, A>, Unanswered>
    where
        F: Future<Output = Vec<Answer<A>>> + Send,
    {
        let Place { mut told, duty } = place;
        let or_dropped = |told: Result<Told<T, A>, _>| told.map_err(|_| Unanswered::Dropped);
        match duty {
            // A leader that nobody polls leads nobody: those who follow do not wait for it much longer than it should.
            Duty::Follow(request_number) => match select(&mut told, self.clock.sleep(self.pace.longest() * 2)).await {
                Either::Left((told, _)) => return or_dropped(told),
                Either::Right(((), _)) => self.flush(self.disband(request_number), request).await,
            },
            Duty::Send(full) => self.flush(full, request).await,
            Duty::Lead(lead) => match select(&mut told, std::pin::pin!(self.gather())).await {
                // Sent with somebody else's full request. Whoever came later is given back, and leads.
                Either::Left((told, _)) => return or_dropped(told),
                Either::Right(((), _)) => self.flush(self.take(lead.number), request).await,
            },
        }
        let told = answer_within(&*self.clock, self.answer_max, told).await;
        told.map_or(Err(Unanswered::Late), or_dropped)
    }

    /// Ends when what has gathered is to go.
    async fn gather(&self) {
        match self.pace {
            Pace::Linger(time) => self.clock.sleep(time).await,
            Pace::Prompt(time) => {
                end_of_turn().await;
                if let Some(idle) = self.idle() {
                    select(idle, self.clock.sleep(time)).await;
                }
            }
        }
    }

    /// Sends a request and tells everybody.
    async fn flush<F>(&self, entries: Vec<Entry<T, A>>, request: &impl Fn(Vec<T>) -> F)
    where
        F: Future<Output = Vec<Answer<A>>>,
    {
        // Nobody waits any more for what a dropped caller wanted: whoever comes after it does it again.
        let wanted = entries.into_iter().filter(|entry| !entry.caller.is_canceled());
        let (values, callers): (Vec<T>, Vec<_>) = wanted.map(|entry| (entry.value, entry.caller)).unzip();
        if values.is_empty() {
            return;
        }
        let under_way = UnderWay::begin(self);
        let answers = request(values).await;
        drop(under_way);
        for (caller, answer) in callers.into_iter().zip(answers) {
            let _ = caller.send(Told::Answer(answer));
        }
    }

    fn unknown(&self, unanswered: Unanswered) -> PortError {
        let cause = match unanswered {
            Unanswered::Dropped => "its sender was dropped".to_owned(),
            Unanswered::Late => format!("no answer within {} ms", self.answer_max.as_millis()),
        };
        PortError::new(&*self.what, cause).public()
    }
}

impl<T, A> Batcher<T, A> {
    fn lock(&self) -> MutexGuard<'_, Waiting<T, A>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, values: Vec<T>) -> Vec<Place<'_, T, A>> {
        let mut waiting = self.lock();
        values.into_iter().map(|value| self.place(&mut waiting, value)).collect()
    }

    /// Takes what has gathered for this leader; whoever comes next leads anew.
    ///
    /// SUBTLE: nothing, if others did not wait for this leader and have another one by now. Were those given back, their
    /// leader would give back these, and so on for ever (`a_leader_who_comes_late_disturbs_nobody`).
    fn take(&self, leader: u64) -> Vec<Entry<T, A>> {
        let mut waiting = self.lock();
        if waiting.leader != Some(leader) {
            return Vec::new();
        }
        waiting.leader = None;
        waiting.take()
    }

    /// Takes what has gathered, whoever leads it, for one who follows and has waited for too long.
    ///
    /// SUBTLE: nothing, if its own request is under way and none should wait. It would see to the next one, while its own answer is there
    /// (`who_is_sent_already_sends_for_nobody_else`). Where requests linger it sends what has gathered meanwhile: a worker that holds back
    /// has few messages, and they would wait for each other (`a_table_that_splits_gets_over_it`).
    fn disband(&self, request: u64) -> Vec<Entry<T, A>> {
        let mut waiting = self.lock();
        if matches!(self.pace, Pace::Prompt(_)) && waiting.request != request {
            return Vec::new();
        }
        waiting.leader = None;
        waiting.take()
    }

    fn place(&self, waiting: &mut Waiting<T, A>, value: T) -> Place<'_, T, A> {
        let (caller, told) = oneshot::channel();
        waiting.entries.push(Entry { value, caller });
        let duty = if waiting.entries.len() >= self.entries_max {
            Duty::Send(waiting.take())
        } else if waiting.leader.is_some() {
            Duty::Follow(waiting.request)
        } else {
            waiting.leaders += 1;
            waiting.leader = Some(waiting.leaders);
            Duty::Lead(Lead { coalescer: self, number: waiting.leaders })
        };
        Place { told, duty }
    }

    /// Is told when no request is under way any more; none if that is so.
    fn idle(&self) -> Option<oneshot::Receiver<()>> {
        let mut waiting = self.lock();
        (waiting.under_way > 0).then(|| {
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

/// Lets everybody else go on who can.
async fn end_of_turn() {
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

/// A caller's place in a request, and what the others expect of it.
struct Place<'a, T, A> {
    told: oneshot::Receiver<Told<T, A>>,
    duty: Duty<'a, T, A>,
}

enum Duty<'a, T, A> {
    /// It waits for the request of this number.
    Follow(u64),
    /// It made this request full.
    Send(Vec<Entry<T, A>>),
    /// It came first.
    Lead(Lead<'a, T, A>),
}

/// The duty to send what gathers. Dropped before it ended, it gives everybody back what they entered.
struct Lead<'a, T, A> {
    coalescer: &'a Batcher<T, A>,
    number: u64,
}

impl<T, A> Drop for Lead<'_, T, A> {
    fn drop(&mut self) {
        for Entry { value, caller } in self.coalescer.take(self.number) {
            let _ = caller.send(Told::Back(value));
        }
    }
}

/// A request that is under way, until it is answered or its sender is dropped.
struct UnderWay<'a, T, A>(&'a Batcher<T, A>);

impl<'a, T, A> UnderWay<'a, T, A> {
    fn begin(coalescer: &'a Batcher<T, A>) -> Self {
        coalescer.lock().under_way += 1;
        Self(coalescer)
    }
}

impl<T, A> Drop for UnderWay<'_, T, A> {
    fn drop(&mut self) {
        let mut waiting = self.0.lock();
        waiting.under_way -= 1;
        if waiting.under_way == 0
            && let Some(leader) = waiting.idle.take()
        {
            let _ = leader.send(());
        }
    }
}

#[cfg(test)]
mod tests;
