//! Read, write, send, acknowledge; and nothing else.

use async_trait::async_trait;
use cloakroom::{
    Delivery, PortError,
    observe::Event,
    ports::{Queue, QueueMessage},
};

use super::{
    Contestant, INLINE_BYTES_MAX, Sent,
    consumer::{self, Process, consume},
    entities::Entities,
};
use crate::{LoadSettings, Order, RunError, Site, Stop};

/// Processes a message each time that it is received. It is a careful one: what others have changed meanwhile it does
/// not overwrite. It only cannot know what it has done already.
#[derive(Clone, Copy, Debug)]
pub struct AtLeastOnce;

#[async_trait]
impl Contestant for AtLeastOnce {
    fn name(&self) -> &'static str {
        "at-least-once"
    }

    fn promise(&self) -> &'static str {
        "no loss; a message that comes twice counts twice"
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
        // Its receiver is as forgetful: of each message that was sent it makes something.
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
