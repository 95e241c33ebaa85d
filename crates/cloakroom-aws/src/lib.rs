//! The ports of [`cloakroom`] on DynamoDB, S3 and SQS.
//!
//! [`Aws`] takes clients of the AWS SDK and returns [`cloakroom::Ports`]. [`Provisioning`] creates
//! the tables, the bucket and the queues. [`Diagnosis`] reports what is wrong with them. The
//! components can also be used on their own: [`DynamoStore`], [`S3Payloads`], [`DynamoPayloads`],
//! [`SqsQueues`] and [`TokioClock`]. With the feature `lambda`, the module `lambda` runs an
//! endpoint as a Lambda function.
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
//! Three calls are sent at most once, without the client's retries: committing, checking in a
//! payload, and sending. A retry by the SDK, which the engine does not know of, could do harm. The
//! engine retries these calls where it is safe. All other calls can be repeated without harm, and
//! follow the client's configuration.
//!
//! # Errors
//!
//! Every error says whether the call may have taken effect, and whether a retry can help. It
//! contains the service's code, message and request id, but never the body of a request or of a
//! response. If a table, a bucket, a queue or a permission is missing, the error names it.
//!
//! # Permissions
//!
//! | for | on | allow |
//! |---|---|---|
//! | endpoints | the table | `dynamodb:GetItem`, `dynamodb:BatchGetItem`, `dynamodb:Query`, `dynamodb:PutItem`, `dynamodb:DeleteItem`, `dynamodb:ConditionCheckItem` |
//! | endpoints | the payload table, if there is one | `dynamodb:GetItem`, `dynamodb:BatchGetItem`, `dynamodb:PutItem`, `dynamodb:DeleteItem`, `dynamodb:BatchWriteItem` |
//! | endpoints | the bucket | `s3:ListBucket`; without it S3 answers "access denied" for a missing payload |
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
//! On a [directory bucket](S3Payloads#s3-express-one-zone) endpoints need `s3express:CreateSession`
//! instead of the permissions of S3 above.
//!
//! A diagnosis tries the permissions of endpoints with its own credentials. Run it with the
//! permissions of an endpoint and, in addition, those of the diagnosis rows.

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
pub use client::http::http_client;
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
