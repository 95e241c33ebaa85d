//! An endpoint: the handlers of one kind of entity, the routes of what they send, and the ports.

mod check;
mod inner;

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError, atomic::AtomicU64},
};

use tracing::{Instrument as _, Span};

use crate::{
    Delivery, EndpointSettings, Error, Handler, Message, NotDone, Observer, Outcome, Ports, State,
    bounded::BoundedPorts,
    engine::{Desk, Done, Fold, HandlerLimit, Settled},
    handler::{AnyHandler, Typed},
    intake::{Arrival, Intake},
    observer::Unobserved,
    parking::Parking,
    settings::check_name,
    trace,
    tx::{Replies, Routes},
};

pub(crate) use inner::Inner;

/// Processes messages for the entities of one state type.
///
/// The same endpoint serves a [`Worker`](crate::Worker), a Lambda function and a test. It is cheap to clone.
///
/// ```
/// use cloakroom::{Delivery, Endpoint, Envelope, Handled, Message, Outcome, Partition, Tx, memory::Memory};
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
    pub(crate) inner: Arc<Inner>,
}

/// What became of a message in a dead-letter queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[must_use = "who finishes a message deletes it"]
pub enum DeadLetter {
    /// Nothing is left to be done for it: delete it from the dead-letter queue.
    Finished(Outcome),
    /// It has no record: do **not** delete it.
    Left,
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("name", &self.inner.name)
            .field("handles", &self.inner.handlers.keys())
            .field("routes", &self.inner.routes)
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
        &self.inner.name
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
        self.process_in(&trace::process(&self.inner.name, delivery), delivery).await
    }

    /// Processes a delivery in a span that its receiver goes on with.
    async fn process_in(&self, span: &Span, delivery: &Delivery) -> Result<Outcome, Error> {
        let told = Mutex::new(None);
        let tell = |_, done| *told.lock().unwrap_or_else(PoisonError::into_inner) = Some(done);
        let arrival = self.inner.accept(Cow::Borrowed(delivery));
        trace::identify(span, &arrival);
        let taken = Taken { queue: None, is_ordered: false, handler_limit: HandlerLimit::Unlimited };
        self.process_fold(&[(&arrival, span)], taken, tell).await;
        let done = told.into_inner().unwrap_or_else(PoisonError::into_inner);
        done.unwrap_or(Err(NotDone::Stopped)).map_err(Error::from)
    }

    /// Processes messages of one partition, in this order: what can be is committed together. `told` is told of each what became of
    /// it, by its number, as soon as that is known.
    pub(crate) async fn process_fold(
        &self,
        arrivals: &[(&Arrival<'_>, &Span)],
        taken: Taken<'_>,
        told: impl Fn(usize, Result<Outcome, NotDone>) + Send + Sync,
    ) {
        let inner = &*self.inner;
        let Taken { queue, is_ordered, handler_limit } = taken;
        let began = inner.ports.clock.monotonic();
        let tell = |number: usize, done: Done| {
            // Only who finishes leaves a message; it then stays where parked messages are.
            let done = done.map(|outcome| outcome.unwrap_or(Outcome::Parked));
            inner.note(arrivals[number].1, began, &done);
            told(number, done);
        };
        let mut desks = Vec::with_capacity(arrivals.len());
        let mut is_stopped = false;
        for (number, &(arrival, span)) in arrivals.iter().enumerate() {
            match Desk::open(inner, arrival, queue) {
                _ if is_stopped => tell(number, Err(NotDone::Behind)),
                Ok(desk) => desks.push(desk.numbered(number, span.clone())),
                Err(reason) => {
                    let parked = inner.park(&arrival.delivery, queue, &reason).instrument(span.clone()).await;
                    is_stopped = is_ordered && parked.is_err();
                    tell(number, parked.map(Some).map_err(NotDone::Failed));
                }
            }
        }
        if let Some(fold) = Fold::new(desks, is_ordered) {
            fold.limited(handler_limit).process(tell).await;
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
    pub async fn finish(&self, delivery: &Delivery) -> Result<DeadLetter, Error> {
        self.inner.finish(delivery).await
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
    /// CloudEvents. See [`intake`](crate::intake) for what makes two of them the same. Without this they are parked.
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
    /// [`cloakroom-source`](crate::intake::SOURCE) of a plain message (`plain` without it). Default: any source.
    ///
    /// This sorts out messages that were sent here by mistake. It does not prove who has sent a message: any sender that the
    /// queue's policy admits can write any source.
    pub fn accept_source(mut self, source: impl Into<String>) -> Self {
        self.intake.accept_source(source.into());
        self
    }

    /// The queue that takes parked messages. Default: [the one that belongs to the queue](crate::parking::dead_letter_queue) that a
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
        let inner = Inner {
            name: self.name.into(),
            handlers,
            routes: Arc::new(self.routes),
            replies: Arc::new(self.replies),
            ports: BoundedPorts::new(ports, self.settings.call_max()),
            settings: self.settings,
            observer: self.observer,
            parking: Parking::new(self.dead_letters),
            intake: self.intake,
            settled: Settled::default(),
            throttled: AtomicU64::default(),
            queues: Mutex::default(),
        };
        Ok(Endpoint { inner: Arc::new(inner) })
    }
}
