//! DynamoDB, S3 and SQS in one process on loopback, for demonstrations and tests.
//!
//! The services use AWS's own protocols over HTTP, so any AWS SDK can use them. Set the SDK's
//! endpoint URLs and credentials from [`LocalAws::environment`]. The services keep their data in
//! memory or, on request, in a folder. Data in a folder survives when the process is killed. The
//! services can inject the faults that AWS shows under load ([`Faults`]), and they count what AWS
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
//! // From now on, one request in ten is performed, but its response is lost.
//! aws.set_faults(Faults { lost_responses: 0.1, ..Faults::default() })?;
//!
//! println!("{:?}", aws.usage().sqs.requests);
//! aws.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! # What is supported
//!
//! - **DynamoDB** is the engine of the crate `dynoxide-rs`. Point-in-time recovery can be enabled,
//!   but nothing can be restored.
//! - **S3** has buckets, objects with conditions, ranges, metadata, tags and checksums, listings,
//!   copies and presigned requests. It stores the common configurations of buckets. Bucket policies
//!   are stored but not enforced. There are no multipart uploads and no versions. Lifecycle rules
//!   delete nothing.
//! - **SQS** has standard and FIFO queues with all their operations except permissions, in the JSON
//!   protocol that SDKs have used since 2023.
//! - **Lambda** has functions that a queue triggers ([`LocalAws::function`]). It provides the
//!   Runtime API for processes that the caller starts, and the event source that passes batches of
//!   messages to them.
//!
//! All services listen on 127.0.0.1 only.

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

/// The region of all resources.
pub(crate) const REGION: &str = "us-east-1";
