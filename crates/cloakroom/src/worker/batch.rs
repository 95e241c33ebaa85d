//! A batch: messages that came together and are answered together, as a Lambda function gets them.

use std::{
    borrow::Cow,
    collections::{BTreeMap, VecDeque},
    pin::pin,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use futures::{StreamExt as _, future::select, stream};

use crate::{
    endpoint::{Endpoint, Taken},
    engine::{
        handler_limit::HandlerLimit,
        identify::identify,
        intake::Incoming,
        not_finished::{AttemptResult, NotFinished},
    },
    format::timestamp::Timestamp,
    observe::trace,
    ports::queue::Delivery,
    protocol::step::Outcome,
    worker::lanes::Order,
};

/// Messages of one queue that are to be processed by a certain time.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The queue that they came from, by the name that routes use. A name that ends with `.fifo` is that of a FIFO queue. Empty if
    /// the queue is not known: then messages go by partition, what is parked goes to the dead-letter queue of the endpoint's name,
    /// and a deferred message has to be given back, as on FIFO queues ([`NotFinished::Deferred`]).
    pub queue: &'a str,
    /// The messages, in the order in which the queue gave them.
    pub deliveries: &'a [Delivery],
    /// How many are processed at a time; at least one is.
    pub in_flight_max: usize,
    /// When work stops. What is not finished by then is dropped, wherever it is. A handler that uses up most of the time is stopped
    /// before, so that its failure is counted.
    pub until: Timestamp,
}

impl Endpoint {
    /// Processes a batch: partitions side by side, the messages of one partition in the order of the batch. Results
    /// with one result for each message, in order; the caller acknowledges those that are `Ok`, and no others.
    ///
    /// On FIFO queues messages go by group instead. After the first message of a group that is not finished the rest of the
    /// group is not begun, and is [`NotFinished::Behind`]: so the group is received again from there, in its order. A
    /// message that is *parked* is finished, and its group goes on.
    ///
    /// Safe to drop at any point, as [`Endpoint::process`] is.
    ///
    /// ```
    /// # use cloakroom::{Endpoint, Handled, Message, Partition, Tx};
    /// # #[derive(serde::Serialize, serde::Deserialize)] struct Ping;
    /// # impl Message for Ping {
    /// #     const TYPE: &'static str = "ping";
    /// #     fn partition(&self) -> Partition { "p".into() }
    /// # }
    /// # async fn ping(_: &mut std::collections::BTreeMap<String, u64>, _: Ping, _: &mut Tx) -> Handled { Ok(()) }
    /// use cloakroom::{Delivery, Outcome, format::Envelope, memory::Memory, ports::Clock as _, worker::Batch};
    /// use std::time::Duration;
    ///
    /// let memory = Memory::new();
    /// let endpoint = Endpoint::builder("pings").on(ping).build(memory.ports())?;
    /// let mut envelope = Envelope::new("m-1".into(), "test", Ping::TYPE, "p".into());
    /// envelope.data = Some(serde_json::Value::Null);
    /// let twice = [0; 2].map(|_| Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() });
    ///
    /// let until = memory.clock.now().after(Duration::from_secs(60));
    /// let batch = Batch { queue: "pings", deliveries: &twice, in_flight_max: 10, until };
    /// let results = memory.run(endpoint.process_batch(batch));
    /// assert!(matches!(results[..], [Ok(Outcome::Processed), Ok(Outcome::Duplicate)]));
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub async fn process_batch(&self, batch: Batch<'_>) -> Vec<Result<Outcome, NotFinished>> {
        let Batch { queue, deliveries, in_flight_max, until } = batch;
        let order = Order::of(queue);
        let clock = &self.context().ports.clock;
        // What is done is told at once: the time may be up before the rest is.
        let done = Mutex::new(BTreeMap::new());
        let tell = |number, result| {
            done.lock().unwrap_or_else(PoisonError::into_inner).insert(number, result);
        };
        let incoming: Vec<_> = deliveries.iter().map(|one| self.accept(Cow::Borrowed(one))).collect();
        let lanes = stream::iter(lanes(order, &incoming));
        let handler_limit = HandlerLimit::Until { began: clock.now(), ends: until };
        let known = Some(queue).filter(|queue| !queue.is_empty());
        let taken = Taken { queue: known, is_ordered: order.stops_at_failure(), handler_limit };
        let work = lanes.for_each_concurrent(in_flight_max.max(1), |lane| {
            self.in_turn(order, taken, deliveries, &incoming, lane, &tell)
        });
        select(clock.sleep(until.since(clock.now())), pin!(work)).await;
        let mut done = std::mem::take(&mut *done.lock().unwrap_or_else(PoisonError::into_inner));
        (0..deliveries.len()).map(|number| done.remove(&number).unwrap_or(Err(NotFinished::Stopped))).collect()
    }

    /// Processes one lane.
    async fn in_turn(
        &self,
        order: Order,
        taken: Taken<'_>,
        deliveries: &[Delivery],
        incoming: &[Incoming<'_>],
        lane: Vec<usize>,
        tell: &(impl Fn(usize, AttemptResult) + Send + Sync),
    ) {
        let is_ordered = taken.is_ordered;
        let (mut lane, is_stopped) = (VecDeque::from(lane), AtomicBool::new(false));
        while let Some(fold) = self.next_fold(order, incoming, &mut lane) {
            if is_stopped.load(Ordering::Relaxed) {
                fold.into_iter().for_each(|number| tell(number, Err(NotFinished::Behind)));
                continue;
            }
            let spans: Vec<_> = fold.iter().map(|n| trace::process(self.name(), &deliveries[*n])).collect();
            fold.iter().zip(&spans).for_each(|(n, span)| identify(span, &incoming[*n]));
            let together: Vec<_> = fold.iter().map(|n| &incoming[*n]).zip(&spans).collect();
            let told = |number: usize, done: AttemptResult| {
                is_stopped.fetch_or(is_ordered && done.is_err(), Ordering::Relaxed);
                tell(fold[number], done);
            };
            self.process_fold(&together, taken, told).await;
        }
    }

    /// The numbers of the next messages of a lane that may be committed together.
    fn next_fold(&self, order: Order, incoming: &[Incoming<'_>], lane: &mut VecDeque<usize>) -> Option<Vec<usize>> {
        let first = lane.pop_front()?;
        let mut fold = vec![first];
        while fold.len() < self.context().settings.fold_max
            && lane.front().is_some_and(|next| order.may_fold(&incoming[first], &incoming[*next]))
        {
            fold.extend(lane.pop_front());
        }
        Some(fold)
    }
}

/// The numbers of the messages by lane, both in the order of the batch.
fn lanes(order: Order, incoming: &[Incoming<'_>]) -> Vec<Vec<usize>> {
    let mut lanes: Vec<Vec<usize>> = Vec::new();
    let mut known: BTreeMap<String, usize> = BTreeMap::new();
    for (number, incoming) in incoming.iter().enumerate() {
        let next = lanes.len();
        let lane = order.lane(incoming).map_or(next, |lane| *known.entry(lane).or_insert(next));
        if lane == next {
            lanes.push(Vec::new());
        }
        lanes[lane].push(number);
    }
    lanes
}
