//! A batch: messages that are received together and whose results are returned together, as in a
//! Lambda function.

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
    endpoint::{Endpoint, ProcessOptions},
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

/// Messages of one queue that must be processed by a certain time.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// The name of the queue, as routes use it. A name that ends with `.fifo` is that of a FIFO
    /// queue. Empty if the queue is not known. Then messages are grouped by partition, and parked
    /// in the dead-letter queue of the endpoint's name. A deferred message must be given back, as
    /// on a FIFO queue ([`NotFinished::Deferred`]).
    pub queue: &'a str,
    /// The messages, in the order in which they were received.
    pub deliveries: &'a [Delivery],
    /// The maximum number of messages that are processed at the same time. 0 counts as 1.
    pub in_flight_max: usize,
    /// The time when processing stops. A message that is not finished then is dropped at any point.
    /// A handler that uses most of the time is stopped earlier, so that its failure can be counted.
    pub until: Timestamp,
}

impl Endpoint {
    /// Processes a batch: messages of different partitions concurrently, and the messages of one
    /// partition in the order of the batch. Returns one result for each message, in order. The
    /// caller acknowledges the messages with `Ok`, and no others.
    ///
    /// On a FIFO queue, messages are grouped by message group instead. If a message of a group is
    /// not finished, the later messages of the group are not started. Their result is
    /// [`NotFinished::Behind`], so the queue delivers the group again from there, in order. A
    /// *parked* message is finished, and its group continues.
    ///
    /// It is safe to drop the future at any point, as with [`Endpoint::process`].
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
        // Each result is stored at once, because the time may be up before the other messages are
        // done.
        let done = Mutex::new(BTreeMap::new());
        let report = |number, result| {
            done.lock().unwrap_or_else(PoisonError::into_inner).insert(number, result);
        };
        let incoming: Vec<_> = deliveries.iter().map(|one| self.accept(Cow::Borrowed(one))).collect();
        let lanes = stream::iter(lanes(order, &incoming));
        let handler_limit = HandlerLimit::Until { began: clock.now(), ends: until };
        let known = Some(queue).filter(|queue| !queue.is_empty());
        let options = ProcessOptions { queue: known, is_ordered: order.stops_at_failure(), handler_limit };
        let work = lanes.for_each_concurrent(in_flight_max.max(1), |lane| {
            self.process_lane(order, options, deliveries, &incoming, lane, &report)
        });
        select(clock.sleep(until.since(clock.now())), pin!(work)).await;
        let mut done = std::mem::take(&mut *done.lock().unwrap_or_else(PoisonError::into_inner));
        (0..deliveries.len()).map(|number| done.remove(&number).unwrap_or(Err(NotFinished::Stopped))).collect()
    }

    /// Processes the messages of one lane.
    async fn process_lane(
        &self,
        order: Order,
        options: ProcessOptions<'_>,
        deliveries: &[Delivery],
        incoming: &[Incoming<'_>],
        lane: Vec<usize>,
        report: &(impl Fn(usize, AttemptResult) + Send + Sync),
    ) {
        let is_ordered = options.is_ordered;
        let (mut lane, is_stopped) = (VecDeque::from(lane), AtomicBool::new(false));
        while let Some(fold) = self.next_fold(order, incoming, &mut lane) {
            if is_stopped.load(Ordering::Relaxed) {
                fold.into_iter().for_each(|number| report(number, Err(NotFinished::Behind)));
                continue;
            }
            let spans: Vec<_> = fold.iter().map(|n| trace::process(self.name(), &deliveries[*n])).collect();
            fold.iter().zip(&spans).for_each(|(n, span)| identify(span, &incoming[*n]));
            let together: Vec<_> = fold.iter().map(|n| &incoming[*n]).zip(&spans).collect();
            let reported = |number: usize, done: AttemptResult| {
                is_stopped.fetch_or(is_ordered && done.is_err(), Ordering::Relaxed);
                report(fold[number], done);
            };
            self.process_fold(&together, options, reported).await;
        }
    }

    /// Removes the next messages of a lane that may be committed together. Returns their numbers.
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

/// Returns the numbers of the messages of each lane. Lanes and messages are in the order of the
/// batch.
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
