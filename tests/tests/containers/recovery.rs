//! Messages that ended in the dead-letter queue: what was committed is finished, what was not is left.

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
    altered::OneCutOff,
    site::Site,
    workflow::{orders, placing, stock},
};

const LEASE: Duration = Duration::from_secs(60);

/// An account in which SQS moves a message to the dead-letter queue after its fifth receive.
async fn impatient(site: &Site, name: &str) -> Aws {
    let aws = site.aws(name);
    let queues = vec!["orders".to_owned(), "stock".to_owned()];
    let settings =
        ProvisioningSettings { queues, attempts_max: 1, receives_max: Some(5), ..ProvisioningSettings::default() };
    Provisioning::new(&aws, settings).unwrap().apply().await.unwrap();
    aws
}

/// Receives, and gives back at once what `attempt` does not take, until SQS has moved it to the dead-letter queue.
async fn until_dead(aws: &Aws, attempt: impl AsyncFn(&Delivery)) -> (Arc<dyn Queue>, Delivery) {
    const LOOKS_MAX: usize = 60;
    let queues = aws.ports().queues;
    let queue = queues.open("orders").await.unwrap();
    let dead = queues.open(&dead_letter_queue("orders")).await.unwrap();
    for _ in 0..LOOKS_MAX {
        for delivery in queue.receive(1, Duration::from_secs(1), LEASE).await.unwrap() {
            attempt(&delivery).await;
            queue.extend(vec![delivery.receipt], Duration::ZERO).await.remove(0).unwrap();
        }
        if let Some(delivery) = dead.receive(1, Duration::from_secs(1), LEASE).await.unwrap().pop() {
            return (dead, delivery);
        }
    }
    panic!("the message did not get to the dead-letter queue");
}

async fn send_order(aws: &Aws) -> Endpoint {
    let queue = aws.ports().queues.open("orders").await.unwrap();
    queue.send(vec![placing(7)]).await.remove(0).unwrap();
    orders(aws.ports(), &Arc::new(Counters::default()))
}

/// A worker that commits, and then cannot send.
async fn commit_only(aws: &Aws, delivery: &Delivery) {
    let queues = Arc::new(OneCutOff { queues: aws.ports().queues, cut_off: "stock" });
    let cut_off = orders(Ports { queues, ..aws.ports() }, &Arc::new(Counters::default()));
    cut_off.process(delivery).await.expect_err("it commits, and cannot send");
}

/// What was stranded is sent, once, and can be processed, once.
async fn is_sent_and_processed_once(site: &Site, aws: &Aws) {
    assert_eq!(site.records(aws).await, 0, "nothing is left behind");
    let sent = aws.ports().queues.open("stock").await.unwrap();
    let sent = sent.receive(10, Duration::from_secs(10), LEASE).await.unwrap();
    assert_eq!(sent.len(), 1, "what it sends is sent");
    let stock = stock(aws.ports(), &Arc::new(Counters::default()));
    assert_eq!(stock.process(&sent[0]).await.unwrap(), Outcome::Processed, "and its payload is there");
    assert_eq!(stock.process(&sent[0]).await.unwrap(), Outcome::Duplicate);
}

pub(crate) async fn a_committed_message_is_finished_from_the_dead_letter_queue(site: Arc<Site>) {
    let aws = impatient(&site, "finish").await;
    let endpoint = send_order(&aws).await;
    let (dead, delivery) = until_dead(&aws, async |delivery| commit_only(&aws, delivery).await).await;
    assert_eq!(site.records(&aws).await, 1, "it was committed");
    assert_eq!(endpoint.finish(&delivery).await.unwrap(), Recovered::Finished(Outcome::Resumed));
    dead.delete(vec![delivery.receipt]).await.remove(0).unwrap();
    is_sent_and_processed_once(&site, &aws).await;
}

pub(crate) async fn a_message_that_was_never_committed_is_left(site: Arc<Site>) {
    let aws = impatient(&site, "left").await;
    let endpoint = send_order(&aws).await;
    let (_, delivery) = until_dead(&aws, async |_| ()).await;
    assert_eq!(endpoint.finish(&delivery).await.unwrap(), Recovered::NotCommitted);
    assert_eq!(site.items(&aws).await, 0, "finishing changes nothing");
}

pub(crate) async fn a_dead_letter_queue_is_finished_and_redriven(site: Arc<Site>) {
    let aws = impatient(&site, "letters").await;
    send_order(&aws).await;
    let (dead, committed) = until_dead(&aws, async |delivery| commit_only(&aws, delivery).await).await;
    dead.send(vec![placing(8)]).await.remove(0).unwrap();
    dead.extend(vec![committed.receipt], Duration::ZERO).await.remove(0).unwrap();

    let letters = DeadLetters::new(dead_letter_queue("orders"), "orders", aws.ports()).endpoint("orders");
    let mut fates = Vec::new();
    assert!(letters.treat(Treatment::Redrive, |letter| fates.push(letter.fate.clone())).await.unwrap());
    fates.sort_by_key(|fate| format!("{fate:?}"));
    assert_eq!(fates, [Fate::Finished, Fate::PutBack]);
    is_sent_and_processed_once(&site, &aws).await;
    // Beside the reply of the stock.
    let orders = aws.ports().queues.open("orders").await.unwrap();
    let back = orders.receive(10, Duration::from_secs(10), LEASE).await.unwrap();
    let ids = back.iter().map(|delivery| Envelope::decode(&delivery.body).unwrap().id);
    assert_eq!(ids.filter(|id| id.as_str() == "place-8").count(), 1, "the other one is back");
}

pub(crate) async fn what_a_purged_message_has_committed_is_swept(site: Arc<Site>) {
    let aws = impatient(&site, "sweep").await;
    send_order(&aws).await;
    let queue = aws.ports().queues.open("orders").await.unwrap();
    let delivery = queue.receive(1, Duration::from_secs(10), LEASE).await.unwrap().remove(0);
    commit_only(&aws, &delivery).await;
    queue.delete(vec![delivery.receipt]).await.remove(0).unwrap();

    let settings = SweepSettings { older_than_ms: 0, ..SweepSettings::default() };
    let sweep = Sweep::new(Arc::new(aws.records()), aws.ports(), settings).unwrap();
    let mut swept = Vec::new();
    let tell = |step: SweepStep<'_>| {
        if let SweepStep::Record(_, became) = step {
            swept.push(became.clone());
        }
    };
    assert!(sweep.run(None, tell).await.unwrap().is_at_end());
    assert_eq!(swept, [Swept::Finished]);
    is_sent_and_processed_once(&site, &aws).await;
}
