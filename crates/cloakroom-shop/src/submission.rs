//! Places the orders: plain messages of a producer that knows nothing of claims. Each has the order's id for
//! its own, so that an order that is placed again, after the demonstration was killed, is not placed twice.

use std::time::Duration;

use cloakroom::{Clock, Envelope, Message, MessageId, PortError, Ports, Queue, QueueMessage};
use futures::{StreamExt, TryStreamExt, stream};

use crate::{Service, orders::PlaceOrder};

const TRIES_MAX: u32 = 20;

/// Sends every order to the orders service; those that failed again.
///
/// An order that is submitted twice is placed once: its message has the order's id for its own.
///
/// # Errors
/// The queue cannot be opened, or still does not take some of the orders after 20 tries. The others are sent: submit
/// them all again.
pub async fn submit(ports: &Ports, orders: &[PlaceOrder]) -> Result<(), PortError> {
    let Ports { queues, clock, .. } = ports;
    let mut tried = 0;
    let queue = loop {
        match queues.open(Service::Orders.name()).await {
            Err(error) if error.may_be_repeated() && tried < TRIES_MAX => tried += 1,
            result => break result?,
        }
        clock.sleep(Duration::from_millis(50)).await;
    };
    let batches = orders.chunks(10).map(|batch| {
        let messages = batch.iter().map(message).collect();
        send(&*queue, &**clock, messages)
    });
    stream::iter(batches).buffer_unordered(2).try_collect().await
}

async fn send(queue: &dyn Queue, clock: &dyn Clock, mut left: Vec<QueueMessage>) -> Result<(), PortError> {
    for _ in 0..TRIES_MAX {
        let results = queue.send(left.clone()).await;
        let failed = left.into_iter().zip(results).filter_map(|(message, result)| result.is_err().then_some(message));
        left = failed.collect();
        if left.is_empty() {
            return Ok(());
        }
        clock.sleep(Duration::from_millis(50)).await;
    }
    let what = format!("sending {} orders to queue `{}`", left.len(), queue.name());
    Err(PortError::new(what, format!("none of {TRIES_MAX} tries succeeded; submit them again")))
}

fn message(order: &PlaceOrder) -> QueueMessage {
    let id = MessageId::new(format!("place-{}", order.order));
    let mut envelope = Envelope::new(id, "website", PlaceOrder::TYPE, order.partition());
    envelope.data = Some(serde_json::json!(order));
    QueueMessage { body: envelope.encode(), ..QueueMessage::default() }
}
