//! The worker of those that are not Cloakroom: with as many receives and as many messages in hand as Cloakroom's own worker
//! has them. The writes of one entity take turns, see [`Entities`](super::entities::Entities).

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cloakroom::{
    Delivery, PortError,
    observe::{Event, Observer as _},
    ports::{Queue, QueueMessage},
};
use futures::{FutureExt as _, StreamExt as _, stream::FuturesUnordered};

use super::Sent;
use crate::{
    LoadSettings, RunError, Site, Stop,
    order::{Order, Reservation},
    site::{INCOMING, OUTGOING},
};

const RECEIVE_MAX: usize = 10;
const WAIT: Duration = Duration::from_secs(20);
/// Far longer than any message takes, so that nobody has to extend it.
const VISIBILITY: Duration = Duration::from_secs(300);
/// After a failure.
const PAUSE: Duration = Duration::from_secs(1);

/// What is done with one order.
#[async_trait]
pub(super) trait Process: Send + Sync {
    /// Sees an order through, but for its acknowledgement: `Processed`, or what else has become of it.
    async fn process(&self, order: &Order, out: &dyn Queue) -> Result<Event, PortError>;
}

/// Works until `stop`, and finishes what is in hand then.
pub(super) async fn consume(
    process: &dyn Process,
    site: &Site,
    load: &LoadSettings,
    stop: Stop,
) -> Result<(), RunError> {
    let (queue, out) = (site.queue(INCOMING).await?, site.queue(OUTGOING).await?);
    let shift = Shift { process, site, queue, out };
    let in_flight_max = load.in_flight_max;
    let wanted = RECEIVE_MAX.min(in_flight_max);
    let (mut at_work, mut receiving) = (FuturesUnordered::new(), FuturesUnordered::new());
    // As many receives as come back full; one waits when there is nothing.
    let mut receives_max = 1;
    loop {
        while receiving.len() < receives_max && at_work.len() + (receiving.len() + 1) * wanted <= in_flight_max {
            receiving.push(shift.receive(wanted));
        }
        tokio::select! {
            biased;
            () = stop.wait() => break,
            Some(deliveries) = receiving.next(), if !receiving.is_empty() => {
                receives_max = if deliveries.len() == wanted { receives_max + 1 } else { 1 };
                at_work.extend(deliveries.into_iter().map(|delivery| shift.see_through(delivery).boxed()));
            }
            Some(()) = at_work.next(), if !at_work.is_empty() => {}
        }
    }
    at_work.collect::<()>().await;
    Ok(())
}

struct Shift<'a> {
    process: &'a dyn Process,
    site: &'a Site,
    queue: Arc<dyn Queue>,
    out: Arc<dyn Queue>,
}

impl Shift<'_> {
    async fn receive(&self, max: usize) -> Vec<Delivery> {
        match self.queue.receive(max, WAIT, VISIBILITY).await {
            Ok(deliveries) => deliveries,
            Err(_) => {
                self.site.ports().clock.sleep(PAUSE).await;
                Vec::new()
            }
        }
    }

    async fn see_through(&self, delivery: Delivery) {
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
        // Who is not told finds out: the message comes again.
        drop(answers);
    }
}

/// An order as it travels without a claim.
pub(super) fn message(order: &Order) -> QueueMessage {
    let body = serde_json::to_string(order).expect("an order is JSON");
    QueueMessage { body, ..QueueMessage::default() }
}

/// The reservation for an order, as it is sent.
pub(super) fn reservation(order: &Order) -> String {
    serde_json::to_string(&Reservation::from(order.clone())).expect("a reservation is JSON")
}

pub(super) async fn send(out: &dyn Queue, body: String) -> Result<(), PortError> {
    let answers = out.send(vec![QueueMessage { body, ..QueueMessage::default() }]).await;
    answers.into_iter().collect()
}

/// What was sent; `identity` tells its receiver's way to recognise it.
pub(super) fn sent(delivery: &Delivery, identity: impl FnOnce(&str) -> String) -> Option<Sent> {
    let Reservation { id, .. } = serde_json::from_str(&delivery.body).ok()?;
    Some(Sent { order: id.parse().ok()?, identity: identity(&id) })
}
