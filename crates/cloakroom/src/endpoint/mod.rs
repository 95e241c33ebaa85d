//! An endpoint: the handlers of one kind of entity, the routes of what they send, and the ports.

mod check;
pub(crate) mod producer;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tracing::{Instrument as _, Span};

use crate::{
    engine::{
        attempt::Attempt,
        context::{Context, Parking},
        group::CommitGroup,
        handler_limit::HandlerLimit,
        identify::identify,
        intake::{Incoming, Intake},
        not_finished::{AttemptResult, NotFinished, Recovered},
        settings::EndpointSettings,
    },
    error::Error,
    format::name::check_name,
    handler::{
        message::{Message, State},
        registry::Handlers,
        tx::{Replies, Routes},
        typed::{AnyHandler, Handler, Typed},
    },
    observe::{
        observer::{Event, Observer, Timed, Unobserved},
        trace,
    },
    ports::{bundle::Ports, queue::Delivery},
    protocol::step::Outcome,
};

/// Processes messages for the entities of one state type.
///
/// The same endpoint serves a [`Worker`](crate::Worker), a Lambda function and a test. It is cheap to clone.
///
/// ```
/// use cloakroom::{Delivery, Endpoint, Handled, Message, Outcome, Partition, Tx, format::Envelope, memory::Memory};
///
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Counter { total: u64 }
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Add { counter: String, amount: u64 }
///
/// impl Message for Add {
///     const TYPE: &'static str = "counter.add";
///     fn partition(&self) -> Partition { Partition::new(format!("counter#{}", self.counter)) }
/// }
///
/// async fn add(counter: &mut Counter, add: Add, _: &mut Tx) -> Handled {
///     counter.total += add.amount;
///     Ok(())
/// }
///
/// let memory = Memory::new();
/// let endpoint = Endpoint::builder::<Counter>("counters").on(add).build(memory.ports())?;
/// let mut envelope = Envelope::new("m-1".into(), "test", Add::TYPE, "counter#a".into());
/// envelope.data = Some(serde_json::json!({ "counter": "a", "amount": 5 }));
/// let delivery = Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() };
///
/// let outcomes = memory.run(async {
///     [endpoint.process(&delivery).await, endpoint.process(&delivery).await].map(Result::ok)
/// });
/// assert_eq!(outcomes, [Some(Outcome::Processed), Some(Outcome::Duplicate)]);
/// # Ok::<(), cloakroom::Error>(())
/// ```
#[derive(Clone)]
pub struct Endpoint {
    parts: Arc<Parts>,
}

/// An endpoint whose state type has been forgotten.
struct Parts {
    context: Context,
    handlers: Handlers,
    intake: Intake,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.parts.context.name)
            .field("handles", &self.parts.handlers.by_type.keys())
            .field("routes", &self.parts.handlers.routes)
            .finish_non_exhaustive()
    }
}

impl Endpoint {
    /// Begins an endpoint. Its name is part of the keys of its state and records: it must never change,
    /// and no other endpoint in the same table may have it.
    pub fn builder<S: State>(name: impl Into<String>) -> EndpointBuilder<S> {
        let name = name.into();
        EndpointBuilder {
            replies: Replies { queue: name.clone(), ..Replies::default() },
            dead_letters: None,
            name,
            handlers: Vec::new(),
            intake: Intake::default(),
            routes: Routes::new(),
            settings: EndpointSettings::default(),
            observer: Arc::new(Unobserved),
            state: std::marker::PhantomData,
        }
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.parts.context.name
    }

    pub(crate) fn context(&self) -> &Context {
        &self.parts.context
    }

    /// Reads what came.
    pub(crate) fn accept<'d>(&self, delivery: Cow<'d, Delivery>) -> Incoming<'d> {
        self.parts.intake.accept(&self.parts.context.ports.limits, delivery)
    }

    /// Processes one delivery, start to end but for the acknowledgement: after `Ok` the caller
    /// acknowledges it, after an error it does not. So it is with a message that its handler defers: this function knows no queue
    /// to send it to, and fails with [`ErrorKind::RetryMessage`](crate::ErrorKind); let the message come again.
    ///
    /// Safe to drop at any point, and to call again with the same or another delivery of the message, also
    /// at the same time.
    ///
    /// # Errors
    /// The message was not finished; the error's [`kind`](Error::kind) says what to do.
    pub async fn process(&self, delivery: &Delivery) -> Result<Outcome, Error> {
        self.process_in(&trace::process(self.name(), delivery), delivery).await
    }

    /// Processes a delivery in a span that its receiver goes on with.
    async fn process_in(&self, span: &Span, delivery: &Delivery) -> Result<Outcome, Error> {
        let told = Mutex::new(None);
        let tell = |_, done| *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
        let incoming = self.accept(Cow::Borrowed(delivery));
        identify(span, &incoming);
        let taken = Taken { queue: None, is_ordered: false, handler_limit: HandlerLimit::Unlimited };
        self.process_fold(&[(&incoming, span)], taken, tell).await;
        let done = told.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.unwrap_or(Err(NotFinished::Stopped)).map_err(Error::from)
    }

    /// Processes messages of one partition, in this order: what can be is committed together. `told` is told of each what became of
    /// it, by its number, as soon as that is known.
    pub(crate) async fn process_fold(
        &self,
        incoming: &[(&Incoming<'_>, &Span)],
        taken: Taken<'_>,
        told: impl Fn(usize, Result<Outcome, NotFinished>) + Send + Sync,
    ) {
        let Parts { context, handlers, .. } = &*self.parts;
        let Taken { queue, is_ordered, handler_limit } = taken;
        let began = context.ports.clock.monotonic();
        let tell = |number: usize, done: AttemptResult| {
            report(context, incoming[number].1, began, &done);
            told(number, done);
        };
        let mut members = Vec::with_capacity(incoming.len());
        let mut is_stopped = false;
        for (number, &(incoming, span)) in incoming.iter().enumerate() {
            match Attempt::open(context, incoming, queue) {
                _ if is_stopped => tell(number, Err(NotFinished::Behind)),
                Ok(attempt) => members.push(attempt.numbered(number, span.clone())),
                Err(reason) => {
                    let parked = context.park(&incoming.delivery, queue, &reason).instrument(span.clone()).await;
                    is_stopped = is_ordered && parked.is_err();
                    tell(number, parked.map_err(NotFinished::Failed));
                }
            }
        }
        if let Some(group) = CommitGroup::new(members, is_ordered) {
            group.limited(handler_limit).process(handlers, tell).await;
        }
    }

    /// Finishes a message from a dead-letter queue that was committed before it got there: sends what its record holds,
    /// and clears it. A message without a record is left as it is, be it that it was never processed, or that it was to
    /// the end; whether to put it back is for its owner to say.
    ///
    /// Safe while workers process the same message. [`Recovery`](crate::recovery::Recovery) does the same without the handlers.
    ///
    /// # Errors
    /// The message was not finished; the error's [`kind`](Error::kind) says what to do. It stays where it is.
    pub async fn finish(&self, delivery: &Delivery) -> Result<Recovered, Error> {
        self.context().finish(&self.accept(Cow::Borrowed(delivery))).await
    }
}

/// How messages are taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Taken<'q> {
    /// The queue that they came from, if that is known.
    pub(crate) queue: Option<&'q str>,
    /// Whether none is begun behind one that was not finished.
    pub(crate) is_ordered: bool,
    /// How long each handler may run.
    pub(crate) handler_limit: HandlerLimit,
}

/// Takes components one by one; see [`Endpoint::builder`].
#[must_use = "an endpoint is made by `build`"]
pub struct EndpointBuilder<S> {
    name: String,
    handlers: Vec<(&'static str, Box<dyn AnyHandler>)>,
    intake: Intake,
    routes: Routes,
    replies: Replies,
    dead_letters: Option<String>,
    settings: EndpointSettings,
    observer: Arc<dyn Observer>,
    state: std::marker::PhantomData<fn(S)>,
}

impl<S> fmt::Debug for EndpointBuilder<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EndpointBuilder").field("name", &self.name).finish_non_exhaustive()
    }
}

impl<S: State> EndpointBuilder<S> {
    /// Handles messages of type `M`, which the compiler reads from the handler's signature.
    pub fn on<M: Message>(mut self, handler: impl for<'a> Handler<'a, S, M>) -> Self {
        self.handlers.push((M::TYPE, Box::new(Typed::<S, M, _>::new(handler))));
        self.intake.add::<M>();
        self
    }

    /// Takes messages that are JSON, but no envelope, and say no type, for `M`s: those of producers that know nothing of
    /// CloudEvents. See [`intake`](crate::engine::intake) for what makes two of them the same. Without this they are parked.
    ///
    /// ```
    /// # use cloakroom::{Delivery, Endpoint, Handled, Message, Outcome, Partition, Tx, memory::Memory};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Upload { file: String }
    /// # impl Message for Upload {
    /// #     const TYPE: &'static str = "upload";
    /// #     fn partition(&self) -> Partition { Partition::new(format!("file#{}", self.file)) }
    /// # }
    /// # async fn upload(_: &mut std::collections::BTreeMap<String, u64>, _: Upload, _: &mut Tx) -> Handled { Ok(()) }
    /// # let memory = Memory::new();
    /// let endpoint = Endpoint::builder("uploads").on(upload).plain::<Upload>().build(memory.ports())?;
    /// let delivery = Delivery { id: "7c19-4d".to_owned(), body: r#"{"file":"a"}"#.to_owned(), ..Delivery::default() };
    /// assert_eq!(memory.run(endpoint.process(&delivery))?, Outcome::Processed);
    /// assert_eq!(memory.run(endpoint.process(&delivery))?, Outcome::Duplicate);
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn plain<M: Message>(mut self) -> Self {
        self.intake.take_plain::<M>();
        self
    }

    /// Sends messages of type `M` to this queue. With several routes for a type each queue gets a message,
    /// and each message a claim of its own. The queues must belong to different endpoints.
    pub fn route<M: Message>(mut self, queue: impl Into<String>) -> Self {
        self.routes.entry(M::TYPE).or_default().push(queue.into());
        self
    }

    /// The queue that takes replies to what this endpoint sends. Default: one that is called as the endpoint is; name it if the
    /// endpoint's queue is called otherwise, as a FIFO queue is.
    pub fn replies_to(mut self, queue: impl Into<String>) -> Self {
        self.replies.queue = queue.into();
        self
    }

    /// Lets foreign messages, which are those without a claim, name this queue for [replies](crate::Tx::reply). Default: they can name only
    /// queues that are routed for the type of the reply.
    pub fn allow_replies_to(mut self, queue: impl Into<String>) -> Self {
        self.replies.allowed.insert(queue.into());
        self
    }

    /// Accepts foreign messages, which are those without a claim, from this source only; may be repeated for further sources. Others are
    /// parked. The source is the CloudEvents `source`, that of a [`Producer`](crate::Producer), or the attribute
    /// [`cloakroom-source`](crate::engine::intake::SOURCE) of a plain message (`plain` without it). Default: any source.
    ///
    /// This sorts out messages that were sent here by mistake. It does not prove who has sent a message: any sender that the
    /// queue's policy admits can write any source.
    pub fn accept_source(mut self, source: impl Into<String>) -> Self {
        self.intake.accept_source(source.into());
        self
    }

    /// The queue that takes parked messages. Default: [the one that belongs to the queue](crate::engine::parking::dead_letter_queue) that a
    /// message came from, and, for [`Endpoint::process`], to a queue that is called as the endpoint is. To a FIFO queue belongs a
    /// FIFO queue, and no other: a worker does not start otherwise.
    pub fn dead_letters(self, queue: impl Into<String>) -> Self {
        Self { dead_letters: Some(queue.into()), ..self }
    }

    /// Settings other than the defaults.
    pub fn settings(self, settings: EndpointSettings) -> Self {
        Self { settings, ..self }
    }

    /// Who is told what happens to messages.
    pub fn observer(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer, ..self }
    }

    /// Makes the endpoint.
    ///
    /// # Errors
    /// Settings out of range, a name that is empty or has a `#` or `/` in it, two handlers for one type, no
    /// handler at all, none for what is taken for [`plain`](Self::plain) messages, a type routed twice to one queue.
    pub fn build(self, ports: Ports) -> Result<Endpoint, Error> {
        self.settings.validate()?;
        ports.limits.validate()?;
        check_name(&self.name)?;
        let mut handlers = BTreeMap::new();
        for (kind, handler) in self.handlers {
            if handlers.insert(kind, handler).is_some() {
                return Err(Error::misconfigured(format!("endpoint `{}` has two handlers for `{kind}`", self.name)));
            }
        }
        if handlers.is_empty() {
            return Err(Error::misconfigured(format!("endpoint `{}` has no handler: add one with `on`", self.name)));
        }
        if let Some(kind) = self.intake.unhandled() {
            return Err(Error::misconfigured(format!(
                "endpoint `{}` takes plain messages for `{kind}`, and has no handler for them: add one with `on`",
                self.name
            )));
        }
        for (kind, queues) in &self.routes {
            if let Some(twice) = queues.iter().find(|one| queues.iter().filter(|other| other == one).count() > 1) {
                return Err(Error::misconfigured(format!("`{kind}` is routed twice to queue `{twice}`")));
            }
        }
        let parking = Parking::new(self.dead_letters);
        let context = Context::new(self.name, ports, self.settings, self.observer, parking);
        let handlers = Handlers { by_type: handlers, routes: Arc::new(self.routes), replies: Arc::new(self.replies) };
        Ok(Endpoint { parts: Arc::new(Parts { context, handlers, intake: self.intake }) })
    }
}

/// Reports what became of a message that was begun.
fn report(context: &Context, span: &Span, began: Duration, done: &Result<Outcome, NotFinished>) {
    let (event, error) = match done {
        Ok(Outcome::Processed) => (Event::Processed, None),
        Ok(Outcome::Resumed) => (Event::Resumed, None),
        Ok(Outcome::Duplicate) => (Event::Duplicate, None),
        Ok(Outcome::Parked) => (Event::Parked, None),
        Ok(Outcome::Deferred) | Err(NotFinished::Deferred(_)) => (Event::Deferred, None),
        Err(NotFinished::Failed(error)) => (Event::GivenBack, Some(error)),
        Err(NotFinished::Behind | NotFinished::Stopped | NotFinished::Crowded) => return,
    };
    let duration = context.ports.clock.monotonic().saturating_sub(began);
    context.observer.took(Timed::Process, duration, error.map(Error::kind));
    trace::ended(span, event, error);
    context.observer.observe(event);
}
