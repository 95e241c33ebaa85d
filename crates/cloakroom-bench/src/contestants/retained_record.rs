//! A contestant with an outbox record for each message that stays until it expires, as in
//! NServiceBus.

use async_trait::async_trait;
use aws_sdk_dynamodb::{
    operation::transact_write_items::TransactWriteItemsError,
    types::{AttributeValue, Put, TransactWriteItem},
};
use cloakroom::{
    Delivery, PortError,
    observe::Event,
    ports::{Queue, QueueMessage},
};

use crate::{
    contestants::{
        Contestant, ITEM_BYTES_MAX, Sent,
        consumer::{self, Process, consume},
        entities::{Attributes, Entities, applied, failed, key, number, too_many_conflicts},
    },
    error::RunError,
    order::Order,
    site::Site,
    stop::Stop,
    workload::LoadSettings,
};

/// The time to live of a record, in seconds: the default of NServiceBus.
const WINDOW_S: u64 = 7 * 24 * 3_600;

/// Writes state and record in one transaction, sends the message in the record, and marks the
/// record as dispatched. Until the record expires, it proves that the message was processed.
#[derive(Clone, Copy, Debug)]
pub struct RetainedRecord;

#[async_trait]
impl Contestant for RetainedRecord {
    fn name(&self) -> &'static str {
        "retained-record"
    }

    fn promise(&self) -> &'static str {
        "a message that is delivered twice within 7 days counts once"
    }

    fn payload_bytes_max(&self) -> usize {
        ITEM_BYTES_MAX
    }

    async fn message(&self, _: &Site, order: Order) -> Result<QueueMessage, PortError> {
        Ok(consumer::message(&order))
    }

    async fn work(&self, site: &Site, load: &LoadSettings, stop: Stop) -> Result<(), RunError> {
        consume(&Outbox(Entities::new(site)), site, load, stop).await
    }

    fn sent(&self, delivery: &Delivery) -> Option<Sent> {
        // Its receiver has such records, too, and each worker sends the message with the same id.
        consumer::sent(delivery, str::to_owned)
    }
}

struct Outbox<'a>(Entities<'a>);

#[async_trait]
impl Process for Outbox<'_> {
    async fn process(&self, order: &Order, out: &dyn Queue) -> Result<Event, PortError> {
        for pass in Entities::passes() {
            if let Some(record) = self.0.get(Self::key(order)).await? {
                let Some(body) = record.get("message").and_then(|body| body.as_s().ok()) else {
                    return Ok(Event::Duplicate);
                };
                self.dispatch(order, out, body.clone()).await?;
                return Ok(Event::Resumed);
            }
            let body = consumer::reservation(order);
            if self.0.in_turn(order.entity, self.commit(order, &body)).await? {
                self.dispatch(order, out, body).await?;
                return Ok(Event::Processed);
            }
            self.0.wait_after_conflict(pass).await;
        }
        Err(too_many_conflicts(order))
    }
}

impl Outbox<'_> {
    /// Returns the key of the record. It is not in the entity's partition. A transaction can span
    /// partitions, and a hot entity's partition keeps more of its throughput.
    fn key(order: &Order) -> Attributes {
        key(&format!("record#{}", order.id), "-")
    }

    /// Commits state and record. Returns `false` if another worker has committed this message or
    /// another one of the entity.
    async fn commit(&self, order: &Order, body: &str) -> Result<bool, PortError> {
        let before = self.0.read(order.entity).await?;
        let state = self.0.write(order.entity, before, applied(before, order));
        let mut item = Self::key(order);
        item.insert("message".to_owned(), AttributeValue::S(body.to_owned()));
        item.insert("dispatched".to_owned(), AttributeValue::Bool(false));
        let record = Put::builder().table_name(self.0.table()).set_item(Some(item));
        let record = record.condition_expression("attribute_not_exists(pk)").build().expect("table and item are set");
        let items = [state, record].map(|put| TransactWriteItem::builder().put(put).build());
        let request = self.0.dynamodb().transact_write_items().set_transact_items(Some(items.to_vec()));
        let Err(error) = request.send().await else { return Ok(true) };
        if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.as_service_error() {
            let codes = ["ConditionalCheckFailed", "TransactionConflict"];
            if cancelled
                .cancellation_reasons()
                .iter()
                .any(|reason| codes.iter().any(|code| reason.code() == Some(code)))
            {
                return Ok(false);
            }
        }
        Err(failed("TransactWriteItems")(error))
    }

    async fn dispatch(&self, order: &Order, out: &dyn Queue, body: String) -> Result<(), PortError> {
        consumer::send(out, body).await?;
        let update = self.0.dynamodb().update_item().table_name(self.0.table()).set_key(Some(Self::key(order)));
        let update = update
            .update_expression("SET dispatched = :yes, cloakroom_expires = :expires REMOVE message")
            .expression_attribute_values(":yes", AttributeValue::Bool(true))
            .expression_attribute_values(":expires", number(self.0.now_s() + WINDOW_S));
        update.send().await.map_err(failed("UpdateItem"))?;
        Ok(())
    }
}
