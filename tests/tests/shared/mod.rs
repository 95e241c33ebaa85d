//! Tests of every backend of DynamoDB, S3 and SQS: the embedded AWS, a container, or an account.

pub(crate) mod missing;
pub(crate) mod queues;
