//! Messages in the dead-letter queue. Committed messages are finished, and other messages are left.

use std::{sync::Arc, time::Duration};

use cloakroom::engine::parking::dead_letter_queue;
use cloakroom::{
    Delivery, Endpoint, Outcome, Ports,
    engine::Recovered,
    format::Envelope,
    observe::Counters,
    ports::Queue,
    recovery::{DeadLetters, Fate, Sweep, SweepSettings, SweepStep, Swept, Treatment},
};
use cloakroom_aws::{Aws, Provisioning, ProvisioningSettings};

use crate::{
    altered::OneFailingQueue,
    site::Site,
    workflow::{order_message, orders, stock},
};

const VISIBILITY: Duration = Duration::from_secs(60);

/// Provisions queues of which SQS moves a message to the dead-letter queue after its fifth receive.
async fn provisioned_with_five_receives(site: &Site, name: &str) -> Aws {
    let aws = site.aws(name);
    let queues = vec!["orders".to_owned(), "stock".to_owned()];
    let settings =
        ProvisioningSettings { queues, attempts_max: 1, receives_max: Some(5), ..ProvisioningSettings::default() };
    Provisioning::new(&aws, settings).unwrap().apply().await.unwrap();
    aws
}

/// Receives the message, runs `attempt` on it and releases it, until SQS moves it to the
/// dead-letter queue. Returns that queue and the message as received from it.
async fn receive_until_dead(aws: &Aws, attempt: impl AsyncFn(&Delivery)) -> (Arc<dyn Queue>, Delivery) {
    const RECEIVES_MAX: usize = 60;
    let queues = aws.ports().queues;
    let queue = queues.open("orders").await.unwrap();
    let dead = queues.open(&dead_letter_queue("orders")).await.unwrap();
    for _ in 0..RECEIVES_MAX {
        for delivery in queue.receive(1, Duration::from_secs(1), VISIBILITY).await.unwrap() {
            attempt(&delivery).await;
            queue.extend(vec![delivery.receipt], Duration::ZERO).await.remove(0).unwrap();
        }
        if let Some(delivery) = dead.receive(1, Duration::from_secs(1), VISIBILITY).await.unwrap().pop() {
            return (dead, delivery);
        }
    }
    panic!("SQS did not move the message to the dead-letter queue");
}

async fn send_order(aws: &Aws) -> Endpoint {
    let queue = aws.ports().queues.open("orders").await.unwrap();
    queue.send(vec![order_message(7)]).await.remove(0).unwrap();
    orders(aws.ports(), &Arc::new(Counters::default()))
}

/// Lets a worker commit the message and fail at the dispatch.
async fn commit_without_dispatch(aws: &Aws, delivery: &Delivery) {
    let queues = Arc::new(OneFailingQueue { queues: aws.ports().queues, failing: "stock" });
    let endpoint = orders(Ports { queues, ..aws.ports() }, &Arc::new(Counters::default()));
    endpoint.process(delivery).await.expect_err("the message is committed, and every send fails");
}

/// Asserts that the outgoing message of the committed order was sent once and is processed once.
async fn assert_sent_and_processed_once(site: &Site, aws: &Aws) {
    assert_eq!(site.records(aws).await, 0, "no record is left");
    let sent = aws.ports().queues.open("stock").await.unwrap();
    let sent = sent.receive(10, Duration::from_secs(10), VISIBILITY).await.unwrap();
    assert_eq!(sent.len(), 1, "its outgoing message was sent once");
    let stock = stock(aws.ports(), &Arc::new(Counters::default()));
    assert_eq!(
        stock.process(&sent[0]).await.unwrap(),
        Outcome::Processed,
        "the payload of the outgoing message exists"
    );
    assert_eq!(stock.process(&sent[0]).await.unwrap(), Outcome::Duplicate);
}

pub(crate) async fn a_committed_message_is_finished_from_the_dead_letter_queue(site: Arc<Site>) {
    let aws = provisioned_with_five_receives(&site, "finish").await;
    let endpoint = send_order(&aws).await;
    let (dead, delivery) =
        receive_until_dead(&aws, async |delivery| commit_without_dispatch(&aws, delivery).await).await;
    assert_eq!(site.records(&aws).await, 1, "the message was committed");
    assert_eq!(endpoint.finish(&delivery).await.unwrap(), Recovered::Finished(Outcome::Resumed));
    dead.delete(vec![delivery.receipt]).await.remove(0).unwrap();
    assert_sent_and_processed_once(&site, &aws).await;
}

pub(crate) async fn a_message_that_was_never_committed_is_left(site: Arc<Site>) {
    let aws = provisioned_with_five_receives(&site, "left").await;
    let endpoint = send_order(&aws).await;
    let (_, delivery) = receive_until_dead(&aws, async |_| ()).await;
    assert_eq!(endpoint.finish(&delivery).await.unwrap(), Recovered::NotCommitted);
    assert_eq!(site.items(&aws).await, 0, "finishing changes nothing");
}

pub(crate) async fn a_dead_letter_queue_is_finished_and_redriven(site: Arc<Site>) {
    let aws = provisioned_with_five_receives(&site, "letters").await;
    send_order(&aws).await;
    let (dead, committed) =
        receive_until_dead(&aws, async |delivery| commit_without_dispatch(&aws, delivery).await).await;
    dead.send(vec![order_message(8)]).await.remove(0).unwrap();
    dead.extend(vec![committed.receipt], Duration::ZERO).await.remove(0).unwrap();

    let dead_letters = DeadLetters::new(dead_letter_queue("orders"), "orders", aws.ports()).endpoint("orders");
    let mut fates = Vec::new();
    assert!(dead_letters.treat(Treatment::Redrive, |letter| fates.push(letter.fate.clone())).await.unwrap());
    fates.sort_by_key(|fate| format!("{fate:?}"));
    assert_eq!(fates, [Fate::Finished, Fate::PutBack]);
    assert_sent_and_processed_once(&site, &aws).await;
    // The queue also holds the reply of `stock`.
    let orders = aws.ports().queues.open("orders").await.unwrap();
    let received = orders.receive(10, Duration::from_secs(10), VISIBILITY).await.unwrap();
    let ids = received.iter().map(|delivery| Envelope::decode(&delivery.body).unwrap().id);
    assert_eq!(ids.filter(|id| id.as_str() == "place-8").count(), 1, "the message that was not committed was redriven");
}

pub(crate) async fn sweep_finishes_a_commit_whose_message_was_purged(site: Arc<Site>) {
    let aws = provisioned_with_five_receives(&site, "sweep").await;
    send_order(&aws).await;
    let queue = aws.ports().queues.open("orders").await.unwrap();
    let delivery = queue.receive(1, Duration::from_secs(10), VISIBILITY).await.unwrap().remove(0);
    commit_without_dispatch(&aws, &delivery).await;
    queue.delete(vec![delivery.receipt]).await.remove(0).unwrap();

    let settings = SweepSettings { older_than_ms: 0, ..SweepSettings::default() };
    let sweep = Sweep::new(Arc::new(aws.records()), aws.ports(), settings).unwrap();
    let mut swept = Vec::new();
    let on_step = |step: SweepStep<'_>| {
        if let SweepStep::Record(_, result) = step {
            swept.push(result.clone());
        }
    };
    assert!(sweep.run(None, on_step).await.unwrap().is_at_end());
    assert_eq!(swept, [Swept::Finished]);
    assert_sent_and_processed_once(&site, &aws).await;
}
