//! DynamoDB, S3 and SQS behind the ports of [`cloakroom`].
//!
//! [`Aws`] takes the caller's own clients of the AWS SDK and gives [`cloakroom::Ports`]; [`Provisioning`] makes the
//! tables, the bucket and the queues, and [`Diagnosis`] finds out what is wrong with them. The components can be used one by
//! one: [`DynamoStore`], [`S3Payloads`], [`DynamoPayloads`], [`SqsQueues`] and [`TokioClock`]. With the feature `lambda`, the module `lambda` makes a
//! Lambda function of an endpoint.
//!
//! ```no_run
//! use cloakroom_aws::{Aws, AwsSettings, Provisioning, ProvisioningSettings};
//!
//! # async fn example(
//! #     dynamodb: aws_sdk_dynamodb::Client, s3: aws_sdk_s3::Client, sqs: aws_sdk_sqs::Client,
//! # ) -> Result<(), Box<dyn std::error::Error>> {
//! let aws = Aws::new(dynamodb, s3, sqs, AwsSettings::new("orders", "orders-payloads"))?;
//! let queues = vec!["orders".to_owned()];
//! Provisioning::new(&aws, ProvisioningSettings { queues, ..Default::default() })?.apply().await?;
//! let ports = aws.ports();
//! # Ok(())
//! # }
//! ```
//!
//! # Retries
//!
//! Three calls are sent at most once, whatever the client is configured for, because a repetition that nobody
//! sees could do harm: committing, checking a payload in, and sending. The engine repeats them where it is safe.
//! All other calls change nothing when they are repeated, and follow the client's configuration.
//!
//! # Errors
//!
//! Every failure tells whether it may have taken effect and whether repeating it can help. It shows the service's
//! own code, message and request id, never the body of a request or an answer. A table, bucket or queue that is
//! not there, and a permission that is lacking, are named.
//!
//! # Permissions
//!
//! | for | on | allow |
//! |---|---|---|
//! | endpoints | the table | `dynamodb:GetItem`, `dynamodb:BatchGetItem`, `dynamodb:Query`, `dynamodb:PutItem`, `dynamodb:DeleteItem`, `dynamodb:ConditionCheckItem` |
//! | endpoints | the payload table, if there is one | `dynamodb:GetItem`, `dynamodb:BatchGetItem`, `dynamodb:PutItem`, `dynamodb:DeleteItem`, `dynamodb:BatchWriteItem` |
//! | endpoints | the bucket | `s3:ListBucket`, without which a missing payload cannot be told from a forbidden one |
//! | endpoints | its objects | `s3:GetObject`, `s3:PutObject`, `s3:DeleteObject` |
//! | endpoints | each queue | `sqs:GetQueueUrl`, `sqs:SendMessage`, `sqs:ReceiveMessage`, `sqs:DeleteMessage`, `sqs:ChangeMessageVisibility` |
//! | recovery | the table | what endpoints need, and to find records `dynamodb:Scan` |
//! | provisioning | the table | `dynamodb:CreateTable`, `dynamodb:DescribeTable`, `dynamodb:DescribeTimeToLive`, `dynamodb:UpdateTimeToLive`; for recovery `dynamodb:DescribeContinuousBackups`, `dynamodb:UpdateContinuousBackups` |
//! | provisioning | the payload table, if there is one | `dynamodb:CreateTable`, `dynamodb:DescribeTable`, `dynamodb:DescribeTimeToLive`, `dynamodb:UpdateTimeToLive` |
//! | provisioning | the bucket | `s3:CreateBucket`, `s3:ListBucket`, `s3:GetBucketVersioning`, `s3:GetBucketPublicAccessBlock`, `s3:PutBucketPublicAccessBlock`, `s3:GetLifecycleConfiguration`, `s3:PutLifecycleConfiguration` |
//! | provisioning | each queue | `sqs:CreateQueue`, `sqs:GetQueueUrl`, `sqs:GetQueueAttributes`, `sqs:SetQueueAttributes` |
//! | diagnosis | the table | `dynamodb:DescribeTable`, `dynamodb:DescribeTimeToLive`, `dynamodb:DescribeContinuousBackups`, `dynamodb:Scan` (one page) |
//! | diagnosis | the payload table, if there is one | `dynamodb:DescribeTable`, `dynamodb:DescribeTimeToLive` |
//! | diagnosis | the bucket | `s3:ListBucket`, `s3:GetBucketVersioning`, `s3:GetBucketPublicAccessBlock`, `s3:GetLifecycleConfiguration`, `s3:GetEncryptionConfiguration`, `s3:GetBucketPolicy` |
//! | diagnosis | each queue | `sqs:GetQueueUrl`, `sqs:GetQueueAttributes` |
//!
//! On a [directory bucket](S3Payloads#s3-express-one-zone) endpoints need `s3express:CreateSession`, and nothing of the above.
//!
//! A diagnosis tries what endpoints need with the credentials that it has: give it theirs, and the rows above besides.

mod admin;
mod aws;
mod client;
mod clock;
mod dynamodb;
#[cfg(feature = "lambda")]
pub mod lambda;
mod s3;
#[cfg(test)]
mod scripted;
mod settings;
mod sqs;

pub use admin::diagnosis::{Diagnosis, DiagnosisSettings, Finding, Findings, Problem, Severity, UnknownProblem};
pub use admin::provisioning::{AttributeChange, Change, Plan, Provisioning, ProvisioningSettings};
pub use aws::Aws;
pub use aws::settings::AwsSettings;
pub use clock::TokioClock;
pub use dynamodb::attributes::{UnknownType, item_from_sdk};
pub use dynamodb::payload_table::DynamoPayloads;
pub use dynamodb::records::DynamoRecords;
pub use dynamodb::store::DynamoStore;
pub use s3::address::BucketAddress;
pub use s3::listing::{ListedPayload, PayloadPage};
pub use s3::payloads::S3Payloads;
pub use settings::{QueueSettings, SettingsError};
pub use sqs::queue::{SqsQueue, SqsQueues};
