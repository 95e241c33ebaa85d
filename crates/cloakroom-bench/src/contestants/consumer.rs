//! The worker of the baselines. It has as many receives and as many messages in flight as
//! Cloakroom's own worker. Writes to one entity are sequential, see
//! [`Entities`](super::entities::Entities).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cloakroom::{
    Delivery, PortError,
    observe::{Event, Observer as _},
    ports::{Queue, QueueMessage},
};
use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};

use crate::{
    contestants::Sent,
    error::RunError,
    order::{Order, Reservation},
    site::{INCOMING, OUTGOING, Site},
    stop::Stop,
    workload::LoadSettings,
};

const RECEIVE_MAX: usize = 10;
const WAIT: Duration = Duration::from_secs(20);
/// The visibility timeout. It is far longer than the processing of a message, so it need not be
/// extended.
const VISIBILITY: Duration = Duration::from_secs(300);
/// The pause after a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// The processing of one order.
#[async_trait]
pub(super) trait Process: Send + Sync {
    /// Processes an order without acknowledging it. Returns `Processed`, or another outcome.
    async fn process(&self, order: &Order, out: &dyn Queue) -> Result<Event, PortError>;
}

/// Processes orders until `stop`, and then finishes those in flight.
pub(super) async fn consume(
    process: &dyn Process,
    site: &Site,
    load: &LoadSettings,
    stop: Stop,
) -> Result<(), RunError> {
    let (queue, out) = (site.queue(INCOMING).await?, site.queue(OUTGOING).await?);
    let consumer = Consumer { process, site, queue, out };
    let in_flight_max = load.in_flight_max;
    let wanted = RECEIVE_MAX.min(in_flight_max);
    let (mut in_flight, mut receiving) = (FuturesUnordered::new(), FuturesUnordered::new());
    // One receive more after each full receive. After a receive that is not full, only one.
    let mut receives_max = 1;
    loop {
        while receiving.len() < receives_max && in_flight.len() + (receiving.len() + 1) * wanted <= in_flight_max {
            receiving.push(consumer.receive(wanted));
        }
        tokio::select! {
            biased;
            () = stop.wait() => break,
            Some(deliveries) = receiving.next(), if !receiving.is_empty() => {
                receives_max = if deliveries.len() == wanted { receives_max + 1 } else { 1 };
                in_flight.extend(deliveries.into_iter().map(|delivery| consumer.process_and_acknowledge(delivery).boxed()));
            }
            Some(()) = in_flight.next(), if !in_flight.is_empty() => {}
        }
    }
    in_flight.collect::<()>().await;
    Ok(())
}

struct Consumer<'a> {
    process: &'a dyn Process,
    site: &'a Site,
    queue: Arc<dyn Queue>,
    out: Arc<dyn Queue>,
}

impl Consumer<'_> {
    async fn receive(&self, max: usize) -> Vec<Delivery> {
        match self.queue.receive(max, WAIT, VISIBILITY).await {
            Ok(deliveries) => deliveries,
            Err(_) => {
                self.site.ports().clock.sleep(PAUSE).await;
                Vec::new()
            }
        }
    }

    async fn process_and_acknowledge(&self, delivery: Delivery) {
        let result = match serde_json::from_str::<Order>(&delivery.body) {
            Ok(order) => self.process.process(&order, &*self.out).await,
            Err(error) => Err(PortError::new("reading an order", error.to_string())),
        };
        let receipts = vec![delivery.receipt];
        let answers = match result {
            Ok(event) => {
                self.site.counters().observe(event);
                self.queue.delete(receipts).await
            }
            Err(_) => {
                self.site.counters().observe(Event::GivenBack);
                self.queue.extend(receipts, PAUSE).await
            }
        };
        // If SQS did not delete the message, it delivers the message again.
        drop(answers);
    }
}

/// Returns the message for an order, without a claim.
pub(super) fn message(order: &Order) -> QueueMessage {
    let body = serde_json::to_string(order).expect("an order is JSON");
    QueueMessage { body, ..QueueMessage::default() }
}

/// Returns the body of the reservation for an order.
pub(super) fn reservation(order: &Order) -> String {
    serde_json::to_string(&Reservation::from(order.clone())).expect("a reservation is JSON")
}

pub(super) async fn send(out: &dyn Queue, body: String) -> Result<(), PortError> {
    let answers = out.send(vec![QueueMessage { body, ..QueueMessage::default() }]).await;
    answers.into_iter().collect()
}

/// Returns the order of a reservation. `identity` returns the receiver's identity for an order id.
pub(super) fn sent(delivery: &Delivery, identity: impl FnOnce(&str) -> String) -> Option<Sent> {
    let Reservation { id, .. } = serde_json::from_str(&delivery.body).ok()?;
    Some(Sent { order: id.parse().ok()?, identity: identity(&id) })
}
