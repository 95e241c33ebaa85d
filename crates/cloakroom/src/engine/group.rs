//! Messages of one partition that are committed together.

use std::collections::VecDeque;

use futures::future::join_all;
use serde_dynamo::Item;
use tracing::{Instrument as _, Span, debug_span};

use crate::{
    engine::{
        attempt::{Attempt, PassView},
        context::Context,
        dispatch::dispatch,
        handler_limit::HandlerLimit,
        not_finished::{AttemptResult, NotFinished},
    },
    error::{Error, ErrorKind, PortError},
    format::name::Partition,
    handler::registry::Handlers,
    observe::observer::Timed,
    ports::commit::{Embedded, StateWrite},
    protocol::{
        self, fold,
        step::{Consistency, Do, Saw},
        version::Version,
    },
};

/// The messages of one partition that are committed together, and those that wait for the next
/// group. See [`protocol::next_of_fold`].
pub(crate) struct CommitGroup<'a> {
    pub(super) endpoint: &'a Context,
    pub(super) partition: Partition,
    /// The version that the current pass has read.
    pub(super) version: Version,
    /// The state that the current pass has read.
    pub(super) state: Option<Item>,
    /// The embedded records that the current pass has read, without those that the commit may drop.
    pub(super) embedded: Embedded,
    /// The state that the last handler left. `None` before the first one.
    pub(super) draft: Option<StateWrite>,
    /// The number of messages whose handlers have accepted them in this pass.
    pub(super) accepted: usize,
    pub(super) members: Vec<Attempt<'a>>,
    /// Attempts for later groups.
    pub(super) waiting: VecDeque<Attempt<'a>>,
    /// Whether the messages are in order. Then the first failure stops the messages after it.
    pub(super) is_ordered: bool,
    /// The state was read with eventual consistency.
    pub(super) may_be_stale: bool,
    /// The minimum consistency of reads of the state.
    pub(super) reads: Consistency,
    /// A commit of several members was refused, or met a conflict on an item. From then on each
    /// group has one member.
    pub(super) is_one_by_one: bool,
    /// The number of commits in a row that were lost or whose outcome is unknown.
    pub(super) passes: u32,
    /// The group commits nothing. Then a read must not rely on the commit's condition to find a
    /// record.
    pub(super) is_finishing: bool,
    /// The time limit of each handler.
    pub(super) handler_limit: HandlerLimit,
}

impl<'a> CommitGroup<'a> {
    /// Creates the group of messages of one partition. If `is_ordered`, no message is started after
    /// a message that was not finished. `None` if there is no message.
    pub(crate) fn new(members: Vec<Attempt<'a>>, is_ordered: bool) -> Option<Self> {
        let Attempt { endpoint, envelope, .. } = members.first()?;
        let endpoint = *endpoint;
        Some(Self {
            endpoint,
            partition: envelope.partition.clone(),
            version: Version::ABSENT,
            state: None,
            embedded: Embedded::default(),
            draft: None,
            accepted: 0,
            members: Vec::with_capacity(members.len()),
            waiting: members.into(),
            is_ordered,
            may_be_stale: false,
            reads: endpoint.settings.state_reads,
            is_one_by_one: false,
            passes: 0,
            is_finishing: true,
            handler_limit: HandlerLimit::Unlimited,
        })
    }

    /// Sets the time limit of each handler.
    pub(crate) fn limited(self, handler_limit: HandlerLimit) -> Self {
        Self { handler_limit, ..self }
    }

    /// Follows the protocol to its end for all messages. Reports the result of each by its number,
    /// as soon as it is known.
    pub(crate) async fn process(mut self, handlers: &Handlers, mut report: impl FnMut(usize, AttemptResult)) {
        let mut is_stopped = false;
        self.is_finishing = false;
        while self.start_next_group() {
            if is_stopped {
                self.members.drain(..).for_each(|attempt| report(attempt.number, Err(NotFinished::Behind)));
                continue;
            }
            self.follow(Some(handlers)).await;
            for attempt in std::mem::take(&mut self.members) {
                let (number, done) = (attempt.number, attempt.conclude().await);
                is_stopped |= self.is_ordered && done.is_err();
                report(number, done);
            }
            // The next group has had no failed commit yet.
            self.passes = 0;
        }
    }

    /// Moves the messages of the next group from `waiting` to `members`. Returns `false` if there
    /// are none.
    pub(super) fn start_next_group(&mut self) -> bool {
        let identities: Vec<_> = self.waiting.iter().map(|attempt| &attempt.identity).collect();
        let members = fold::group(&identities, self.is_one_by_one);
        for (position, attempt) in std::mem::take(&mut self.waiting).into_iter().enumerate() {
            if members.contains(&position) {
                self.members.push(attempt);
            } else {
                self.waiting.push_back(attempt);
            }
        }
        !self.members.is_empty()
    }

    pub(super) async fn follow(&mut self, handlers: Option<&Handlers>) {
        while let Some(step) = protocol::next_of_fold(self.members.iter().filter_map(Attempt::pending_step)) {
            tracing::trace!(?step);
            match step {
                Do::ReadState(consistency) => self.read_state(consistency).await,
                Do::ReadRecord => self.read_records().await,
                Do::ReadPayload => self.read_payloads().await,
                Do::Handle => self.handle(handlers).await,
                Do::Commit(expected) => self.commit(expected).await,
                Do::Dispatch => self.dispatch().await,
                Do::Park
                | Do::SendAgain
                | Do::CheckIn
                | Do::StoreClaims
                | Do::Settle
                | Do::Clear
                | Do::Acknowledge(_)
                | Do::Leave => self.each(step).await,
            }
        }
    }

    /// Takes a step for each member that is at it, concurrently.
    pub(super) async fn each(&mut self, step: Do) {
        let pass = PassView { embedded: &self.embedded, is_first: self.passes == 0 };
        let mut pending = self.members.iter_mut().filter(|attempt| attempt.pending_step() == Some(step));
        let first = pending.next();
        let others: Vec<_> = pending.map(|attempt| attempt.step(pass)).collect();
        match first {
            Some(attempt) if others.is_empty() => attempt.step(pass).await,
            Some(attempt) => {
                futures::future::join(attempt.step(pass), join_all(others)).await;
            }
            None => {}
        }
    }

    /// Reports to each member that is at this step what was seen, in the order of the members.
    pub(super) fn report(&mut self, step: Do, seen: impl IntoIterator<Item = Result<Saw, Error>>) {
        let pending = self.members.iter_mut().filter(|attempt| attempt.pending_step() == Some(step));
        pending.zip(seen).for_each(|(attempt, saw)| attempt.saw(saw));
    }

    pub(super) fn pending(&self, step: Do) -> impl Iterator<Item = &Attempt<'a>> {
        self.members.iter().filter(move |attempt| attempt.pending_step() == Some(step))
    }

    /// Returns the span for work that is done once for all members at this step: the span of the
    /// first of them.
    pub(super) fn span(&self, step: Do) -> Span {
        self.pending(step).next().map_or_else(Span::none, |attempt| attempt.span.clone())
    }

    /// Sends the outgoing messages of all members together. So the messages to each queue keep the
    /// order in which they were handled.
    async fn dispatch(&mut self) {
        self.refuse_outlived_records();
        let records: Vec<_> = self.pending(Do::Dispatch).map(|attempt| (&attempt.record, attempt.resumed)).collect();
        if records.is_empty() {
            return;
        }
        let messages = records.iter().map(|(record, _)| record.messages.len()).sum::<usize>();
        let process = self.span(Do::Dispatch);
        let span = debug_span!(parent: &process, "dispatch", messages);
        let sending = async {
            let results = dispatch(self.endpoint, &records).await;
            if results.iter().all(Result::is_ok) { Ok(results) } else { Err(results) }
        };
        let kind = |results: &Vec<Result<(), PortError>>| {
            let failed = results.iter().find_map(|result| result.as_ref().err());
            failed.map_or(ErrorKind::RetryMessage, PortError::kind)
        };
        let (Ok(results) | Err(results)) =
            self.endpoint.timed(Timed::Dispatch, kind, sending).instrument(span).instrument(process).await;
        let saw = |result: Result<(), PortError>| result.map(|()| Saw::Dispatched).map_err(Error::from);
        self.report(Do::Dispatch, results.into_iter().map(saw));
    }
}
