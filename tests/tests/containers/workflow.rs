//! Two endpoints that send to each other, while workers are dropped in mid-flight and every order comes twice.

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
/// Fewer than the receives after which SQS itself moves a message to the dead-letter queue.
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

/// Takes orders from queue `orders`, and sends to queue `stock`.
pub(crate) fn orders(ports: Ports, counters: &Arc<Counters>) -> Endpoint {
    let builder = Endpoint::builder::<Order>("orders").on(place).on(reserved).route::<Reserve>("stock");
    builder.observer(Arc::clone(counters) as _).build(ports).unwrap()
}

/// Takes what `orders` sends, and replies.
pub(crate) fn stock(ports: Ports, counters: &Arc<Counters>) -> Endpoint {
    Endpoint::builder::<Stock>("stock").on(reserve).observer(Arc::clone(counters) as _).build(ports).unwrap()
}

/// An order as somebody sends it who knows nothing of claims.
pub(crate) fn placing(number: usize) -> QueueMessage {
    let mut envelope = Envelope::new(format!("place-{number}").into(), "website", Place::TYPE, order(number));
    envelope.data = Some(serde_json::json!(Place { order: number }));
    QueueMessage { body: envelope.encode(), ..QueueMessage::default() }
}

pub(crate) async fn orders_survive_crashes_and_copies(site: Arc<Site>) {
    let aws = site.provisioned("workflow", &["orders", "stock"]).await;
    let counters = Arc::new(Counters::default());
    let queue = aws.ports().queues.open("orders").await.unwrap();
    for answer in queue.send((0..2 * ORDERS).map(|number| placing(number % ORDERS)).collect()).await {
        answer.unwrap();
    }
    let mut crashes = 0;
    for _ in 0..CRASHES {
        let polls = 20 + SystemRandom.bits() % 200;
        crashes += usize::from(crashed(polls, work(&aws, &counters, std::future::pending)).await);
    }
    assert_eq!(crashes, CRASHES, "no worker ends by itself");
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

/// Two workers for each endpoint, until they are told to stop.
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

/// Drops `work` after so many steps, wherever it is: that is what a crash looks like from outside. False if it ended
/// before.
async fn crashed(polls: u128, work: impl Future<Output = ()>) -> bool {
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

/// Waits until every order is reserved, and nothing is left to be done for any message.
async fn wait_until_done(site: &Site, aws: &Aws) {
    const LOOKS_MAX: usize = 600;
    let mut seen = String::new();
    for _ in 0..LOOKS_MAX {
        let orders: Vec<Order> = states(aws, "orders", (0..ORDERS).map(order)).await;
        let open = orders.iter().filter(|order| order.reserved == 0).count();
        let (records, messages) = (site.records(aws).await, site.messages(aws, &["orders", "stock"]).await);
        if open + records + messages == 0 {
            return;
        }
        seen = format!("{open} orders are open, {records} records and {messages} messages are left");
        TokioClock.sleep(Duration::from_millis(200)).await;
    }
    panic!("it does not end: {seen}");
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

/// Every message counted once, whatever happened.
async fn audit(aws: &Aws, counters: &Counters) {
    let orders: Vec<Order> = states(aws, "orders", (0..ORDERS).map(order)).await;
    let wrong: BTreeMap<usize, (u32, u32)> =
        orders.iter().map(|order| (order.placed, order.reserved)).enumerate().collect();
    assert!(wrong.values().all(|counts| *counts == (1, 1)), "placed and reserved, by order: {wrong:?}");
    let stock: Vec<Stock> = states(aws, "stock", (0..SKUS).map(sku)).await;
    let taken: Vec<u32> = stock.iter().map(|stock| stock.taken).collect();
    assert_eq!(taken, [(ORDERS / SKUS) as u32; SKUS], "taken of each");
    let counts = counters.counts();
    // Not one for each copy: a worker that is dropped after the deletion has not counted it.
    assert!(counts.duplicate + counts.resumed > 0, "every order came twice: {counts:?}");
    assert_eq!(counts.parked, 0, "{counts:?}");
}
