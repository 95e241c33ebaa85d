//! DynamoDB, S3 and SQS in one process on loopback, for demonstrations and tests.
//!
//! The three services speak AWS's own protocols over HTTP, so any AWS SDK can use them: point
//! it at their URLs and give it the credentials of [`LocalAws::environment`]. They keep what
//! they are given in memory or, if asked to, in a folder that survives the process being
//! killed. They can misbehave as AWS does under load ([`Faults`]), and they count what AWS
//! would bill ([`Usage`]).
//!
//! ```
//! use cloakroom_local::{Faults, LocalAws};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let aws = LocalAws::start().await?;
//! println!("queues are at {}", aws.sqs_url());
//!
//! // From now on, one request in ten is done, but its answer is lost.
//! aws.set_faults(Faults { lost_responses: 0.1, ..Faults::default() })?;
//!
//! println!("{:?}", aws.usage().sqs.requests);
//! aws.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What is there, and what is not
//!
//! - **DynamoDB** is the engine of the crate `dynoxide-rs`. Point-in-time recovery can be turned on, and restores nothing.
//! - **S3** has buckets, objects with conditions, ranges, metadata, tags and checksums,
//!   listings, copies and presigned requests, and keeps the common configurations of buckets; policies
//!   bind nobody.
//!   There are no multipart uploads and no versions; nothing expires by lifecycle rules.
//! - **SQS** has standard and FIFO queues with all their operations except permissions, in the
//!   JSON protocol that SDKs have used since 2023.
//! - **Lambda** has functions that a queue triggers ([`LocalAws::function`]): the Runtime API for
//!   processes of the caller's, and the event source that gives them batches.
//!
//! Everything listens on 127.0.0.1 only.

mod builder;
mod clock;
mod credentials;
mod dynamodb;
mod faults;
mod folder;
mod http;
mod identifier;
mod journal;
mod lambda;
mod local_aws;
mod random;
mod s3;
mod sqs;
mod start_error;
mod usage;

pub use builder::Builder;
pub use faults::{Faults, InvalidFaults};
pub use lambda::{Function, FunctionSettings, FunctionStats};
pub use local_aws::{AwsService, LocalAws};
pub use start_error::StartError;
pub use usage::{DynamoDbUsage, FaultCounts, Requests, S3Usage, SqsUsage, Units, Usage};

/// The region that everything is in.
pub(crate) const REGION: &str = "us-east-1";
