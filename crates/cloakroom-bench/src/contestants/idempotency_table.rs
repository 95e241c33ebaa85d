//! A contestant with an idempotency item for each message, as in AWS Lambda Powertools.

use async_trait::async_trait;
use aws_sdk_dynamodb::{
    operation::put_item::PutItemError,
    types::{AttributeValue, ReturnValuesOnConditionCheckFailure},
};
use cloakroom::{
    Delivery, PortError,
    observe::Event,
    ports::{Queue, QueueMessage},
};

use crate::{
    contestants::{
        Contestant, INLINE_BYTES_MAX, Sent,
        consumer::{self, Process, consume},
        entities::{Attributes, Entities, failed, key, number},
    },
    error::RunError,
    order::Order,
    site::Site,
    stop::Stop,
    workload::LoadSettings,
};

/// The time to live of an idempotency item, in seconds: the default of Powertools.
const WINDOW_S: u64 = 3_600;
/// The time in seconds for which other workers do not process a message that is in progress: the
/// timeout of a function.
const IN_PROGRESS_S: u64 = 300;
const COMPLETED: &str = "COMPLETED";

/// Marks a message as in progress, processes it, and marks it as completed. State, reservation and
/// mark are three separate writes. If a worker crashes between them, a message can count twice.
#[derive(Clone, Copy, Debug)]
pub struct IdempotencyTable;

#[async_trait]
impl Contestant for IdempotencyTable {
    fn name(&self) -> &'static str {
        "idempotency-table"
    }

    fn promise(&self) -> &'static str {
        "a message that is delivered twice within 1 h counts once, unless a worker crashed while processing it"
    }

    fn payload_bytes_max(&self) -> usize {
        INLINE_BYTES_MAX
    }

    async fn message(&self, _: &Site, order: Order) -> Result<QueueMessage, PortError> {
        Ok(consumer::message(&order))
    }

    async fn work(&self, site: &Site, load: &LoadSettings, stop: Stop) -> Result<(), RunError> {
        consume(&Guarded(Entities::new(site)), site, load, stop).await
    }

    fn sent(&self, delivery: &Delivery) -> Option<Sent> {
        // Its receiver has such a table, too.
        consumer::sent(delivery, str::to_owned)
    }
}

struct Guarded<'a>(Entities<'a>);

#[async_trait]
impl Process for Guarded<'_> {
    async fn process(&self, order: &Order, out: &dyn Queue) -> Result<Event, PortError> {
        if !self.begin(order).await? {
            return Ok(Event::Duplicate);
        }
        let handled = async {
            self.0.apply(order).await?;
            consumer::send(out, consumer::reservation(order)).await
        };
        if let Err(error) = handled.await {
            self.forget(order).await?;
            return Err(error);
        }
        self.complete(order).await?;
        Ok(Event::Processed)
    }
}

impl Guarded<'_> {
    fn key(order: &Order) -> Attributes {
        key(&format!("idempotency#{}", order.id), "-")
    }

    /// Marks an order as in progress. Returns `false` if it was completed before.
    async fn begin(&self, order: &Order) -> Result<bool, PortError> {
        let now_s = self.0.now_s();
        let mut item = Self::key(order);
        item.insert("status".to_owned(), AttributeValue::S("INPROGRESS".to_owned()));
        item.insert("cloakroom_expires".to_owned(), number(now_s + WINDOW_S));
        item.insert("in_progress_until".to_owned(), number(now_s + IN_PROGRESS_S));
        let put = self.0.dynamodb().put_item().table_name(self.0.table()).set_item(Some(item));
        let put = put
            .condition_expression(
                "attribute_not_exists(pk) OR cloakroom_expires < :now OR (#status = :begun AND in_progress_until < :now)",
            )
            .expression_attribute_names("#status", "status")
            .expression_attribute_values(":begun", AttributeValue::S("INPROGRESS".to_owned()))
            .expression_attribute_values(":now", number(now_s))
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld);
        let Err(error) = put.send().await else { return Ok(true) };
        let Some(PutItemError::ConditionalCheckFailedException(found)) = error.as_service_error() else {
            return Err(failed("PutItem")(error));
        };
        let status = found.item().and_then(|item| item.get("status")?.as_s().ok());
        if status.is_some_and(|status| status == COMPLETED) {
            return Ok(false);
        }
        let what = format!("processing order {}", order.id);
        Err(PortError::new(what, "another worker has it in progress, or crashed while processing it").without_effect())
    }

    async fn complete(&self, order: &Order) -> Result<(), PortError> {
        let update = self.0.dynamodb().update_item().table_name(self.0.table()).set_key(Some(Self::key(order)));
        let update = update
            .update_expression("SET #status = :completed, cloakroom_expires = :expires, #result = :result")
            .expression_attribute_names("#status", "status")
            .expression_attribute_names("#result", "data")
            .expression_attribute_values(":completed", AttributeValue::S(COMPLETED.to_owned()))
            .expression_attribute_values(":expires", number(self.0.now_s() + WINDOW_S))
            .expression_attribute_values(":result", AttributeValue::S("null".to_owned()));
        update.send().await.map_err(failed("UpdateItem"))?;
        Ok(())
    }

    async fn forget(&self, order: &Order) -> Result<(), PortError> {
        let delete = self.0.dynamodb().delete_item().table_name(self.0.table()).set_key(Some(Self::key(order)));
        delete.send().await.map_err(failed("DeleteItem"))?;
        Ok(())
    }
}
