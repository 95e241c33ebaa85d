//! A contestant without deduplication: read, write, send, acknowledge.

use async_trait::async_trait;
use cloakroom::{
    Delivery, PortError,
    observe::Event,
    ports::{Queue, QueueMessage},
};

use crate::{
    contestants::{
        Contestant, INLINE_BYTES_MAX, Sent,
        consumer::{self, Process, consume},
        entities::Entities,
    },
    error::RunError,
    order::Order,
    site::Site,
    stop::Stop,
    workload::LoadSettings,
};

/// Processes a message each time that it is received. It uses optimistic concurrency, so it does
/// not overwrite a concurrent change. But it cannot detect that it has processed a message before.
#[derive(Clone, Copy, Debug)]
pub struct AtLeastOnce;

#[async_trait]
impl Contestant for AtLeastOnce {
    fn name(&self) -> &'static str {
        "at-least-once"
    }

    fn promise(&self) -> &'static str {
        "no loss; a message that is delivered twice counts twice"
    }

    fn payload_bytes_max(&self) -> usize {
        INLINE_BYTES_MAX
    }

    async fn message(&self, _: &Site, order: Order) -> Result<QueueMessage, PortError> {
        Ok(consumer::message(&order))
    }

    async fn work(&self, site: &Site, load: &LoadSettings, stop: Stop) -> Result<(), RunError> {
        consume(&Careful(Entities::new(site)), site, load, stop).await
    }

    fn sent(&self, delivery: &Delivery) -> Option<Sent> {
        // Its receiver also has no deduplication: it processes each message that was sent.
        consumer::sent(delivery, |_| delivery.id.clone())
    }
}

struct Careful<'a>(Entities<'a>);

#[async_trait]
impl Process for Careful<'_> {
    async fn process(&self, order: &Order, out: &dyn Queue) -> Result<Event, PortError> {
        self.0.apply(order).await?;
        consumer::send(out, consumer::reservation(order)).await?;
        Ok(Event::Processed)
    }
}
