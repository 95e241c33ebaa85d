//! SQS: queues in memory behind the JSON protocol of the service.

pub(crate) mod address;
mod administer;
mod attempts;
mod attributes;
mod batch;
mod by_receipt;
mod dead_letter_queue;
mod deduplication;
mod error;
mod groups;
mod message;
mod move_messages;
mod move_task;
mod parameters;
mod queue;
mod queues;
mod receive;
mod receive_order;
mod records;
mod redrive;
mod repeated_receive;
mod send;
pub(crate) mod service;
mod settings;
mod visibility;

#[cfg(test)]
mod tests;
