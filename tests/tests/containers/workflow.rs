//! Two endpoints send to each other. Their workers are dropped at random points, and every order is
//! sent twice.

use std::{collections::BTreeMap, future::poll_fn, pin::pin, sync::Arc, task::Poll, time::Duration};

use cloakroom::{
    Endpoint, Handled, Message, Partition, Ports, State, Tx, Worker, WorkerSettings,
    format::Envelope,
    observe::Counters,
    ports::{Backoff, Clock as _, QueueMessage, Random as _, SystemRandom},
};
use cloakroom_aws::{Aws, TokioClock};
use futures::future::join_all;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::site::Site;

const ORDERS: usize = 24;
const SKUS: usize = 3;
/// Less than the receive count at which SQS moves a message to the dead-letter queue.
const CRASHES: usize = 8;

#[derive(Default, Serialize, Deserialize)]
struct Order {
    placed: u32,
    reserved: u32,
}

#[derive(Default, Serialize, Deserialize)]
struct Stock {
    taken: u32,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Place {
    pub(crate) order: usize,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct Reserve {
    order: usize,
}

#[derive(Serialize, Deserialize)]
struct Reserved {
    order: usize,
}

fn order(number: usize) -> Partition {
    Partition::new(format!("order#{number}"))
}

fn sku(number: usize) -> Partition {
    Partition::new(format!("sku#{}", number % SKUS))
}

impl Message for Place {
    const TYPE: &'static str = "orders.place";
    fn partition(&self) -> Partition {
        order(self.order)
    }
}

impl Message for Reserve {
    const TYPE: &'static str = "stock.reserve";
    fn partition(&self) -> Partition {
        sku(self.order)
    }
}

impl Message for Reserved {
    const TYPE: &'static str = "stock.reserved";
    fn partition(&self) -> Partition {
        order(self.order)
    }
}

async fn place(state: &mut Order, message: Place, tx: &mut Tx) -> Handled {
    state.placed += 1;
    tx.send(Reserve { order: message.order });
    Ok(())
}

async fn reserve(state: &mut Stock, message: Reserve, tx: &mut Tx) -> Handled {
    state.taken += 1;
    tx.reply(Reserved { order: message.order });
    Ok(())
}

async fn reserved(state: &mut Order, _: Reserved, _: &mut Tx) -> Handled {
    state.reserved += 1;
    Ok(())
}

/// Returns the endpoint that processes queue `orders` and sends to queue `stock`.
pub(crate) fn orders(ports: Ports, counters: &Arc<Counters>) -> Endpoint {
    let builder = Endpoint::builder::<Order>("orders").on(place).on(reserved).route::<Reserve>("stock");
    builder.observer(Arc::clone(counters) as _).build(ports).unwrap()
}

/// Returns the endpoint that processes the messages of `orders` and replies.
pub(crate) fn stock(ports: Ports, counters: &Arc<Counters>) -> Endpoint {
    Endpoint::builder::<Stock>("stock").on(reserve).observer(Arc::clone(counters) as _).build(ports).unwrap()
}

/// Returns an order as a foreign producer sends it, without a claim.
pub(crate) fn order_message(number: usize) -> QueueMessage {
    let mut envelope = Envelope::new(format!("place-{number}").into(), "website", Place::TYPE, order(number));
    envelope.data = Some(serde_json::json!(Place { order: number }));
    QueueMessage { body: envelope.encode(), ..QueueMessage::default() }
}

pub(crate) async fn orders_survive_crashes_and_copies(site: Arc<Site>) {
    let aws = site.provisioned("workflow", &["orders", "stock"]).await;
    let counters = Arc::new(Counters::default());
    let queue = aws.ports().queues.open("orders").await.unwrap();
    for result in queue.send((0..2 * ORDERS).map(|number| order_message(number % ORDERS)).collect()).await {
        result.unwrap();
    }
    let mut crashes = 0;
    for _ in 0..CRASHES {
        let polls = 20 + SystemRandom.bits() % 200;
        crashes += usize::from(crash_after(polls, work(&aws, &counters, std::future::pending)).await);
    }
    assert_eq!(crashes, CRASHES, "no worker ended before its crash");
    let (stop, stopped) = watch::channel(false);
    let until_stopped = || {
        let mut stopped = stopped.clone();
        async move {
            let _ = stopped.wait_for(|stopped| *stopped).await;
        }
    };
    let watching = async {
        wait_until_done(&site, &aws).await;
        stop.send_replace(true);
    };
    futures::join!(work(&aws, &counters, until_stopped), watching);
    audit(&aws, &counters).await;
}

/// Runs two workers for each endpoint until `stop`.
async fn work<F: Future<Output = ()> + Send>(aws: &Aws, counters: &Arc<Counters>, stop: impl Fn() -> F) {
    let settings = WorkerSettings {
        receive_wait_ms: 1_000,
        visibility_ms: 4_000,
        retry: Backoff { first_ms: 100, max_ms: 1_000 },
        ..WorkerSettings::default()
    };
    let workers = (0..4).map(|number| {
        let ports = aws.ports();
        let endpoint = if number % 2 == 0 { orders(ports, counters) } else { stock(ports, counters) };
        let queue = endpoint.name().to_owned();
        Worker::new(endpoint, queue).settings(settings.clone()).run(stop())
    });
    for result in join_all(workers).await {
        result.unwrap();
    }
}

/// Drops `work` after this many polls, which has the same effects as a crash. Returns whether it
/// was still running.
async fn crash_after(polls: u128, work: impl Future<Output = ()>) -> bool {
    let (mut left, mut work) = (polls, pin!(work));
    poll_fn(|context| {
        if left == 0 {
            return Poll::Ready(true);
        }
        left -= 1;
        work.as_mut().poll(context).map(|()| false)
    })
    .await
}

/// Waits until every order is reserved and no record or message is left.
async fn wait_until_done(site: &Site, aws: &Aws) {
    const CHECKS_MAX: usize = 600;
    let mut remaining = String::new();
    for _ in 0..CHECKS_MAX {
        let orders: Vec<Order> = states(aws, "orders", (0..ORDERS).map(order)).await;
        let open = orders.iter().filter(|order| order.reserved == 0).count();
        let (records, messages) = (site.records(aws).await, site.messages(aws, &["orders", "stock"]).await);
        if open + records + messages == 0 {
            return;
        }
        remaining = format!("{open} orders are open, {records} records and {messages} messages are left");
        TokioClock.sleep(Duration::from_millis(200)).await;
    }
    panic!("the workflow does not end: {remaining}");
}

async fn states<S: State>(aws: &Aws, endpoint: &str, partitions: impl Iterator<Item = Partition>) -> Vec<S> {
    let store = aws.ports().store;
    let mut states = Vec::new();
    for partition in partitions {
        let state =
            store.read_state(&partition, endpoint, cloakroom::protocol::Consistency::Strong).await.unwrap().state;
        states.push(state.map(|item| serde_dynamo::from_item(item).unwrap()).unwrap_or_default());
    }
    states
}

/// Asserts that every message counted once.
async fn audit(aws: &Aws, counters: &Counters) {
    let orders: Vec<Order> = states(aws, "orders", (0..ORDERS).map(order)).await;
    let counts_by_order: BTreeMap<usize, (u32, u32)> =
        orders.iter().map(|order| (order.placed, order.reserved)).enumerate().collect();
    assert!(
        counts_by_order.values().all(|counts| *counts == (1, 1)),
        "placed and reserved, by order: {counts_by_order:?}"
    );
    let stock: Vec<Stock> = states(aws, "stock", (0..SKUS).map(sku)).await;
    let taken: Vec<u32> = stock.iter().map(|stock| stock.taken).collect();
    assert_eq!(taken, [(ORDERS / SKUS) as u32; SKUS], "units taken of each article");
    let counts = counters.counts();
    // There may be fewer duplicates than copies, because a worker that is dropped after the delete
    // has not counted it.
    assert!(counts.duplicate + counts.resumed > 0, "every order was sent twice: {counts:?}");
    assert_eq!(counts.parked, 0, "{counts:?}");
}
