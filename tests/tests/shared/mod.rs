//! What everybody shows who serves DynamoDB, S3 and SQS: the embedded AWS, a container, an account.

pub(crate) mod missing;
pub(crate) mod queues;
