//! Messages of one partition that are committed together.

use std::collections::VecDeque;

use futures::future::join_all;
use serde_dynamo::Item;
use tracing::{Instrument as _, Span, debug_span};

use crate::{
    engine::{
        attempt::{Attempt, Pass},
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

/// Messages of one partition that are committed together: see [`protocol::next_of_fold`].
pub(crate) struct CommitGroup<'a> {
    pub(super) endpoint: &'a Context,
    pub(super) partition: Partition,
    /// As read by this pass.
    pub(super) version: Version,
    /// As read by this pass.
    pub(super) state: Option<Item>,
    /// As read by this pass, without those that may be dropped.
    pub(super) embedded: Embedded,
    /// What the handlers have made of the state so far, and how many of them.
    pub(super) draft: Option<StateWrite>,
    pub(super) accepted: usize,
    pub(super) members: Vec<Attempt<'a>>,
    /// Their turn comes when the others have come to their end.
    pub(super) aside: VecDeque<Attempt<'a>>,
    /// The first failure stops those behind it.
    pub(super) is_ordered: bool,
    /// That state was read with eventual consistency.
    pub(super) is_late: bool,
    /// How states are read at least.
    pub(super) reads: Consistency,
    /// They were refused together: from here on one goes after the other.
    pub(super) is_narrow: bool,
    /// Commits that were lost or stayed unknown so far.
    pub(super) passes: u32,
    /// Nothing is committed, so that no commit would be lost to a record that was not looked for.
    pub(super) is_finishing: bool,
    /// How long each handler may run.
    pub(super) handler_limit: HandlerLimit,
}

impl<'a> CommitGroup<'a> {
    /// Puts messages of one partition together. If they are ordered, none is begun behind one that was not finished.
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
            aside: members.into(),
            is_ordered,
            is_late: false,
            reads: endpoint.settings.state_reads,
            is_narrow: false,
            passes: 0,
            is_finishing: true,
            handler_limit: HandlerLimit::Unlimited,
        })
    }

    /// The same messages, with a limit for each of their handlers.
    pub(crate) fn limited(self, handler_limit: HandlerLimit) -> Self {
        Self { handler_limit, ..self }
    }

    /// Follows the protocol to its end for all of them. Each is told what became of it, by its number.
    pub(crate) async fn process(mut self, handlers: &Handlers, mut tell: impl FnMut(usize, AttemptResult)) {
        let mut is_stopped = false;
        self.is_finishing = false;
        while self.take_up() {
            if is_stopped {
                self.members.drain(..).for_each(|attempt| tell(attempt.number, Err(NotFinished::Behind)));
                continue;
            }
            self.follow(Some(handlers)).await;
            for attempt in std::mem::take(&mut self.members) {
                let (number, done) = (attempt.number, attempt.conclude().await);
                is_stopped |= self.is_ordered && done.is_err();
                tell(number, done);
            }
            // Those whose turn comes now have lost nothing.
            self.passes = 0;
        }
    }

    /// Takes up the messages that form the next group.
    pub(super) fn take_up(&mut self) -> bool {
        let identities: Vec<_> = self.aside.iter().map(|attempt| &attempt.identity).collect();
        let members = fold::group(&identities, self.is_narrow);
        for (position, attempt) in std::mem::take(&mut self.aside).into_iter().enumerate() {
            if members.contains(&position) {
                self.members.push(attempt);
            } else {
                self.aside.push_back(attempt);
            }
        }
        !self.members.is_empty()
    }

    pub(super) async fn follow(&mut self, handlers: Option<&Handlers>) {
        while let Some(step) = protocol::next_of_fold(self.members.iter().filter_map(Attempt::wants)) {
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

    /// Lets each that wants it take a step of its own.
    pub(super) async fn each(&mut self, step: Do) {
        let pass = Pass { embedded: &self.embedded, is_first: self.passes == 0 };
        let mut at_work = self.members.iter_mut().filter(|attempt| attempt.wants() == Some(step));
        let first = at_work.next();
        let others: Vec<_> = at_work.map(|attempt| attempt.step(pass)).collect();
        match first {
            Some(attempt) if others.is_empty() => attempt.step(pass).await,
            Some(attempt) => {
                futures::future::join(attempt.step(pass), join_all(others)).await;
            }
            None => {}
        }
    }

    /// Tells each that wants this step what was seen, in their order.
    pub(super) fn tell(&mut self, step: Do, answers: impl IntoIterator<Item = Result<Saw, Error>>) {
        let wanting = self.members.iter_mut().filter(|attempt| attempt.wants() == Some(step));
        wanting.zip(answers).for_each(|(attempt, saw)| attempt.saw(saw));
    }

    pub(super) fn wanting(&self, step: Do) -> impl Iterator<Item = &Attempt<'a>> {
        self.members.iter().filter(move |attempt| attempt.wants() == Some(step))
    }

    /// The span under which is done what is done for all that want this step: that of the first.
    pub(super) fn span(&self, step: Do) -> Span {
        self.wanting(step).next().map_or_else(Span::none, |attempt| attempt.span.clone())
    }

    /// Sends what they have to send together: so the messages to a queue stay in the order in which they were handled.
    async fn dispatch(&mut self) {
        self.refuse_outlived_records();
        let records: Vec<_> = self.wanting(Do::Dispatch).map(|attempt| (&attempt.record, attempt.resumed)).collect();
        if records.is_empty() {
            return;
        }
        let messages = records.iter().map(|(record, _)| record.messages.len()).sum::<usize>();
        let process = self.span(Do::Dispatch);
        let span = debug_span!(parent: &process, "dispatch", messages);
        let sending = async {
            let answers = dispatch(self.endpoint, &records).await;
            if answers.iter().all(Result::is_ok) { Ok(answers) } else { Err(answers) }
        };
        let kind = |answers: &Vec<Result<(), PortError>>| {
            let failed = answers.iter().find_map(|answer| answer.as_ref().err());
            failed.map_or(ErrorKind::RetryMessage, PortError::kind)
        };
        let (Ok(answers) | Err(answers)) =
            self.endpoint.timed(Timed::Dispatch, kind, sending).instrument(span).instrument(process).await;
        let saw = |answer: Result<(), PortError>| answer.map(|()| Saw::Dispatched).map_err(Error::from);
        self.tell(Do::Dispatch, answers.into_iter().map(saw));
    }
}
