//! An endpoint: the handlers of one kind of entity, the routes of their messages, and the ports.

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
/// One endpoint can serve a [`Worker`](crate::Worker), a Lambda function and a test. It is cheap to
/// clone.
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

/// The parts of an endpoint, without its state type.
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
    /// Returns a builder for an endpoint. The name is part of the keys of its states and records.
    /// It must never change, and no other endpoint in the same table may have it.
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

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.parts.context.name
    }

    pub(crate) fn context(&self) -> &Context {
        &self.parts.context
    }

    /// Decodes a delivery.
    pub(crate) fn accept<'d>(&self, delivery: Cow<'d, Delivery>) -> Incoming<'d> {
        self.parts.intake.accept(&self.parts.context.ports.limits, delivery)
    }

    /// Processes one delivery, except for its acknowledgement. The caller acknowledges the delivery
    /// after `Ok`, and does not after an error.
    ///
    /// A deferred message is an error of kind [`ErrorKind::RetryMessage`](crate::ErrorKind),
    /// because this function knows no queue to send the message to. The caller lets the message be
    /// delivered again.
    ///
    /// It is safe to drop the future at any point. It is also safe to call this again with the same
    /// or another delivery of the message, also concurrently.
    ///
    /// # Errors
    /// The message was not finished. The [`kind`](Error::kind) of the error shows what to do.
    pub async fn process(&self, delivery: &Delivery) -> Result<Outcome, Error> {
        self.process_in(&trace::process(self.name(), delivery), delivery).await
    }

    /// Processes a delivery in a span of the caller.
    async fn process_in(&self, span: &Span, delivery: &Delivery) -> Result<Outcome, Error> {
        let reported = Mutex::new(None);
        let report = |_, done| *reported.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
        let incoming = self.accept(Cow::Borrowed(delivery));
        identify(span, &incoming);
        let options = ProcessOptions { queue: None, is_ordered: false, handler_limit: HandlerLimit::Unlimited };
        self.process_fold(&[(&incoming, span)], options, report).await;
        let done = reported.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.unwrap_or(Err(NotFinished::Stopped)).map_err(Error::from)
    }

    /// Processes messages of one partition in this order, and commits them together where possible.
    /// Calls `reported` with the number and the result of each message as soon as the result is
    /// known.
    pub(crate) async fn process_fold(
        &self,
        incoming: &[(&Incoming<'_>, &Span)],
        options: ProcessOptions<'_>,
        reported: impl Fn(usize, Result<Outcome, NotFinished>) + Send + Sync,
    ) {
        let Parts { context, handlers, .. } = &*self.parts;
        let ProcessOptions { queue, is_ordered, handler_limit } = options;
        let began = context.ports.clock.monotonic();
        let report = |number: usize, done: AttemptResult| {
            observe_result(context, incoming[number].1, began, &done);
            reported(number, done);
        };
        let mut members = Vec::with_capacity(incoming.len());
        let mut is_stopped = false;
        for (number, &(incoming, span)) in incoming.iter().enumerate() {
            match Attempt::open(context, incoming, queue) {
                _ if is_stopped => report(number, Err(NotFinished::Behind)),
                Ok(attempt) => members.push(attempt.numbered(number, span.clone())),
                Err(reason) => {
                    let parked = context.park(&incoming.delivery, queue, &reason).instrument(span.clone()).await;
                    is_stopped = is_ordered && parked.is_err();
                    report(number, parked.map_err(NotFinished::Failed));
                }
            }
        }
        if let Some(group) = CommitGroup::new(members, is_ordered) {
            group.limited(handler_limit).process(handlers, report).await;
        }
    }

    /// Finishes a message of a dead-letter queue that was committed before it was parked or moved
    /// there. It sends the messages of its record and clears the record. A message without a record
    /// is left as it is: it was never processed, or it was processed completely. The owner of the
    /// message decides whether to put it back.
    ///
    /// It is safe to call this while workers process the same message.
    /// [`Recovery`](crate::recovery::Recovery) does the same without handlers.
    ///
    /// # Errors
    /// The message was not finished and stays where it is. The [`kind`](Error::kind) of the error
    /// shows what to do.
    pub async fn finish(&self, delivery: &Delivery) -> Result<Recovered, Error> {
        self.context().finish(&self.accept(Cow::Borrowed(delivery))).await
    }
}

/// How [`Endpoint::process_fold`] processes messages.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessOptions<'q> {
    /// The queue of the messages, if it is known.
    pub(crate) queue: Option<&'q str>,
    /// Whether no message is started after a message that was not finished.
    pub(crate) is_ordered: bool,
    /// The time limit of each handler.
    pub(crate) handler_limit: HandlerLimit,
}

/// Collects the parts of an endpoint. See [`Endpoint::builder`].
#[must_use = "`build` creates the endpoint"]
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
    /// Adds the handler of messages of type `M`. The compiler infers `M` from the signature of the
    /// handler.
    pub fn on<M: Message>(mut self, handler: impl for<'a> Handler<'a, S, M>) -> Self {
        self.handlers.push((M::TYPE, Box::new(Typed::<S, M, _>::new(handler))));
        self.intake.add::<M>();
        self
    }

    /// Sets `M` as the type of messages that are JSON, are not envelopes, and name no type. They
    /// come from producers that do not use CloudEvents. See [`intake`](crate::engine::intake) for
    /// their identity. Default: such messages are parked.
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
        self.intake.set_plain::<M>();
        self
    }

    /// Adds a route: messages of type `M` are sent to this queue. If a type has several routes,
    /// each queue gets a message with its own claim. The queues must belong to different endpoints.
    pub fn route<M: Message>(mut self, queue: impl Into<String>) -> Self {
        self.routes.entry(M::TYPE).or_default().push(queue.into());
        self
    }

    /// Sets the queue for replies to messages of this endpoint. Default: the queue with the
    /// endpoint's name. Set it if the queue has another name, such as that of a FIFO queue.
    pub fn replies_to(mut self, queue: impl Into<String>) -> Self {
        self.replies.queue = queue.into();
        self
    }

    /// Allows foreign messages, that is, messages without a claim, to name this queue for
    /// [replies](crate::Tx::reply). Default: they can name only queues that are routed for the type
    /// of the reply.
    pub fn allow_replies_to(mut self, queue: impl Into<String>) -> Self {
        self.replies.allowed.insert(queue.into());
        self
    }

    /// Accepts foreign messages, that is, messages without a claim, only from this source. Further
    /// calls add sources. Foreign messages from other sources are parked. The source is the
    /// CloudEvents `source`, the source of a [`Producer`](crate::Producer), or the attribute
    /// [`cloakroom-source`](crate::engine::intake::SOURCE) of a plain message (`plain` without it).
    /// Default: any source.
    ///
    /// This filters out messages that were sent here by mistake. It does not prove the sender of a
    /// message: any sender that the queue's policy admits can write any source.
    pub fn accept_source(mut self, source: impl Into<String>) -> Self {
        self.intake.accept_source(source.into());
        self
    }

    /// Sets the queue for parked messages. Default:
    /// [the dead-letter queue](crate::engine::parking::dead_letter_queue) of the queue that a
    /// message came from. For [`Endpoint::process`] it is that of a queue with the endpoint's name.
    /// The dead-letter queue of a FIFO queue must be a FIFO queue, and that of a standard queue a
    /// standard queue. Otherwise a worker does not start.
    pub fn dead_letters(self, queue: impl Into<String>) -> Self {
        Self { dead_letters: Some(queue.into()), ..self }
    }

    /// Sets the settings.
    pub fn settings(self, settings: EndpointSettings) -> Self {
        Self { settings, ..self }
    }

    /// Sets the observer of events and measurements.
    pub fn observer(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer, ..self }
    }

    /// Creates the endpoint.
    ///
    /// # Errors
    /// A setting is out of range. The name is empty or contains `#` or `/`. There is no handler, or
    /// a type has two handlers. The type of [`plain`](Self::plain) messages has no handler. A type
    /// is routed twice to one queue.
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
                "endpoint `{}` accepts plain messages for `{kind}`, and has no handler for that type: add one with `on`",
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

/// Reports the result of a message to the observer and its span.
fn observe_result(context: &Context, span: &Span, began: Duration, done: &Result<Outcome, NotFinished>) {
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
    trace::record_end(span, event, error);
    context.observer.observe(event);
}
