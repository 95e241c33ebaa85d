//! Consumption of requests, measured by an interceptor of the clients. The adapters do not know of
//! it, and it counts the SDK's retries like all other requests.

use std::{collections::HashMap, sync::Arc};

use aws_sdk_dynamodb::{
    operation as dynamodb,
    types::{CancellationReason, ConsumedCapacity, ReturnConsumedCapacity},
};
use aws_sdk_s3::operation as s3;
use aws_sdk_sqs::{operation as sqs, types::MessageAttributeValue};
use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{
            Intercept,
            context::{BeforeSerializationInterceptorContextMut, Error, FinalizerInterceptorContextRef, Input, Output},
        },
        orchestrator::Metadata,
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::config_bag::{ConfigBag, Storable, StoreReplace};
use cloakroom::observe::{Consumed, Observer, Service, Used};

/// The operations that are counted by name. All others are counted as `other`.
const OPERATIONS: [&str; 18] = [
    "GetItem",
    "BatchGetItem",
    "PutItem",
    "DeleteItem",
    "UpdateItem",
    "BatchWriteItem",
    "TransactWriteItems",
    "Query",
    "Scan",
    "GetObject",
    "PutObject",
    "DeleteObject",
    "GetQueueUrl",
    "GetQueueAttributes",
    "ReceiveMessage",
    "SendMessageBatch",
    "DeleteMessageBatch",
    "ChangeMessageVisibilityBatch",
];

/// The bytes that SQS bills as one request.
const SQS_CHUNK: u64 = 64 * 1024;

/// Reports every request of one client to an observer.
#[derive(Clone, Debug)]
pub(crate) struct Meter {
    service: Service,
    observer: Arc<dyn Observer>,
}

impl Meter {
    pub(crate) fn new(service: Service, observer: &Arc<dyn Observer>) -> Self {
        Self { service, observer: Arc::clone(observer) }
    }
}

/// Facts about a call that are recorded while its input is available.
#[derive(Clone, Copy, Debug)]
struct Asked {
    /// The service whose prices apply.
    service: Service,
    /// The lowest charge for a write whose condition fails. DynamoDB does not report it.
    lost_write_units: f64,
    message_bytes: u64,
}

impl Storable for Asked {
    type Storer = StoreReplace<Self>;
}

impl Intercept for Meter {
    fn name(&self) -> &'static str {
        "CloakroomConsumption"
    }

    fn modify_before_serialization(
        &self,
        context: &mut BeforeSerializationInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let input = context.input_mut();
        ask_for_capacity(input);
        config.interceptor_state().store_put(asked(self.service, input));
        Ok(())
    }

    /// Reports every attempt, also one without an answer.
    fn read_after_attempt(
        &self,
        context: &FinalizerInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        config: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let name = config.load::<Metadata>().map_or("", Metadata::name);
        let operation = OPERATIONS.into_iter().find(|known| *known == name).unwrap_or("other");
        let nothing = Asked { service: self.service, lost_write_units: 0.0, message_bytes: 0 };
        let Asked { service, lost_write_units, message_bytes } = config.load::<Asked>().copied().unwrap_or(nothing);
        let mut used = Used { requests: 1, bytes: bytes(context), ..Used::default() };
        match context.output_or_error() {
            Some(Ok(output)) => {
                (used.read_units, used.write_units) = units(output);
                used.messages = messages(output);
                if self.service == Service::Sqs {
                    used.requests = (message_bytes + received_bytes(output)).div_ceil(SQS_CHUNK).max(1);
                }
            }
            Some(Err(error)) if error.as_operation_error().is_some_and(is_lost) => used.write_units = lost_write_units,
            Some(Err(_)) | None => {}
        }
        self.observer.consumed(Consumed { service, operation, used });
        Ok(())
    }
}

/// The bytes of the bodies of request and response, if their lengths are known.
fn bytes(context: &FinalizerInterceptorContextRef<'_>) -> u64 {
    let sent = context.request().and_then(|request| request.body().content_length());
    let received = context.response().and_then(|response| {
        let header = response.headers().get("content-length").and_then(|digits| digits.parse().ok());
        header.or_else(|| response.body().content_length())
    });
    sent.unwrap_or(0) + received.unwrap_or(0)
}

/// Asks DynamoDB to report the capacity that it charges. That is free.
fn ask_for_capacity(input: &mut Input) {
    macro_rules! ask {
        ($($type:ty),+) => {
            $(if let Some(input) = input.downcast_mut::<$type>() {
                input.return_consumed_capacity = Some(ReturnConsumedCapacity::Total);
            })+
        };
    }
    ask!(
        dynamodb::get_item::GetItemInput,
        dynamodb::batch_get_item::BatchGetItemInput,
        dynamodb::put_item::PutItemInput,
        dynamodb::delete_item::DeleteItemInput,
        dynamodb::update_item::UpdateItemInput,
        dynamodb::batch_write_item::BatchWriteItemInput,
        dynamodb::transact_write_items::TransactWriteItemsInput,
        dynamodb::query::QueryInput,
        dynamodb::scan::ScanInput
    );
}

/// Returns the read and write units of a successful call.
fn units(output: &Output) -> (f64, f64) {
    macro_rules! charged {
        ($($type:ty),+; $($batch:ty),*) => {{
            $(if let Some(output) = output.downcast_ref::<$type>() {
                return Some(sum(output.consumed_capacity.as_slice()));
            })+
            $(if let Some(output) = output.downcast_ref::<$batch>() {
                return Some(sum(output.consumed_capacity()));
            })*
            None
        }};
    }
    let read = || {
        charged!(
            dynamodb::get_item::GetItemOutput,
            dynamodb::query::QueryOutput,
            dynamodb::scan::ScanOutput;
            dynamodb::batch_get_item::BatchGetItemOutput
        )
    };
    let write = || {
        charged!(
            dynamodb::put_item::PutItemOutput,
            dynamodb::delete_item::DeleteItemOutput,
            dynamodb::update_item::UpdateItemOutput;
            dynamodb::batch_write_item::BatchWriteItemOutput,
            dynamodb::transact_write_items::TransactWriteItemsOutput
        )
    };
    (read().unwrap_or(0.0), write().unwrap_or(0.0))
}

fn sum(capacities: &[ConsumedCapacity]) -> f64 {
    capacities.iter().filter_map(|capacity| capacity.capacity_units).sum()
}

/// Whether a condition failed. DynamoDB charges for that, but does not report how much.
fn is_lost(error: &Error) -> bool {
    use dynamodb::{
        delete_item::DeleteItemError, put_item::PutItemError, transact_write_items::TransactWriteItemsError,
        update_item::UpdateItemError,
    };
    let is = |reason: &CancellationReason| reason.code() == Some("ConditionalCheckFailed");
    if let Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) = error.downcast_ref() {
        return cancelled.cancellation_reasons().iter().any(is);
    }
    error.downcast_ref().is_some_and(PutItemError::is_conditional_check_failed_exception)
        || error.downcast_ref().is_some_and(DeleteItemError::is_conditional_check_failed_exception)
        || error.downcast_ref().is_some_and(UpdateItemError::is_conditional_check_failed_exception)
}

fn asked(service: Service, input: &Input) -> Asked {
    let items = input.downcast_ref::<dynamodb::transact_write_items::TransactWriteItemsInput>();
    let lost_write_units = items.map_or(1.0, |input| 2.0 * input.transact_items().len() as f64);
    let entries = input.downcast_ref::<sqs::send_message_batch::SendMessageBatchInput>();
    let message_bytes = entries.map_or(0, |input| {
        input.entries().iter().map(|entry| bytes_of(Some(entry.message_body()), entry.message_attributes())).sum()
    });
    Asked { service: billed_as(service, input), lost_write_units, message_bytes }
}

/// The service whose prices apply to this bucket or queue, which their names show.
fn billed_as(service: Service, input: &Input) -> Service {
    macro_rules! if_named {
        ($suffix:literal, $own:expr, $($type:ty => $name:ident),+) => {
            $(if let Some(input) = input.downcast_ref::<$type>() {
                return if input.$name.as_ref().is_some_and(|name| name.ends_with($suffix)) { $own } else { service };
            })+
        };
    }
    if_named!(
        "--x-s3",
        Service::S3Express,
        s3::get_object::GetObjectInput => bucket,
        s3::put_object::PutObjectInput => bucket,
        s3::delete_object::DeleteObjectInput => bucket,
        s3::list_objects_v2::ListObjectsV2Input => bucket
    );
    if_named!(
        ".fifo",
        Service::SqsFifo,
        sqs::receive_message::ReceiveMessageInput => queue_url,
        sqs::send_message_batch::SendMessageBatchInput => queue_url,
        sqs::delete_message_batch::DeleteMessageBatchInput => queue_url,
        sqs::change_message_visibility_batch::ChangeMessageVisibilityBatchInput => queue_url
    );
    service
}

/// Returns the number of messages of SQS that were received, sent, deleted or extended.
fn messages(output: &Output) -> u64 {
    macro_rules! through {
        ($($type:ty => $messages:ident),+) => {
            $(if let Some(output) = output.downcast_ref::<$type>() {
                return output.$messages().len() as u64;
            })+
        };
    }
    through!(
        sqs::receive_message::ReceiveMessageOutput => messages,
        sqs::send_message_batch::SendMessageBatchOutput => successful,
        sqs::delete_message_batch::DeleteMessageBatchOutput => successful,
        sqs::change_message_visibility_batch::ChangeMessageVisibilityBatchOutput => successful
    );
    0
}

fn received_bytes(output: &Output) -> u64 {
    let received = output.downcast_ref::<sqs::receive_message::ReceiveMessageOutput>();
    received.map_or(0, |output| {
        output.messages().iter().map(|message| bytes_of(message.body(), message.message_attributes())).sum()
    })
}

/// The size of a message as SQS counts it: its body, and the names, types and values of its
/// attributes.
fn bytes_of(body: Option<&str>, attributes: Option<&HashMap<String, MessageAttributeValue>>) -> u64 {
    let attribute = |(name, value): (&String, &MessageAttributeValue)| {
        let text = value.string_value().map_or(0, str::len);
        name.len() + value.data_type().len() + text + value.binary_value().map_or(0, |bytes| bytes.as_ref().len())
    };
    let attributes: usize = attributes.into_iter().flatten().map(attribute).sum();
    (body.map_or(0, str::len) + attributes) as u64
}

#[cfg(test)]
mod tests;
