//! An embedded AWS and its clients.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cloakroom::{Timestamp, ports::Clock};
use cloakroom_aws::{Aws, AwsSettings, Provisioning, ProvisioningSettings};
use cloakroom_local::LocalAws;

mod clients;

pub(crate) use clients::{dynamodb, s3, sqs};

/// The services of one test, and their clients.
pub(crate) struct Embedded {
    pub(crate) local: LocalAws,
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) aws: Aws,
}

impl Embedded {
    /// Starts services without resources.
    pub(crate) async fn empty() -> Self {
        Self::of(AwsSettings::new("things", "coats")).await
    }

    /// Starts services without resources, used with these settings.
    pub(crate) async fn of(settings: AwsSettings) -> Self {
        let local =
            LocalAws::builder().credentials("AKIDTEST", "SECRETTEST").start().await.expect("the embedded AWS starts");
        let (dynamodb, s3, sqs) = (dynamodb(&local.dynamodb_url()), s3(&local.s3_url()), sqs(&local.sqs_url()));
        let aws = aws(&dynamodb, &s3, &sqs, settings);
        Self { local, dynamodb, s3, sqs, aws }
    }

    /// Returns an [`Aws`] on the same services, with other settings.
    pub(crate) fn aws_with(&self, settings: AwsSettings) -> Aws {
        aws(&self.dynamodb, &self.s3, &self.sqs, settings)
    }

    /// Starts services with a table, a bucket and these queues.
    pub(crate) async fn start(queues: &[&str]) -> Self {
        Self::start_as(AwsSettings::new("things", "coats"), queues).await
    }

    /// Starts services with the table and bucket of these settings, and these queues.
    pub(crate) async fn start_as(settings: AwsSettings, queues: &[&str]) -> Self {
        let embedded = Self::of(settings).await;
        embedded.provisioning(queues).apply().await.expect("provisioning succeeds");
        embedded
    }

    pub(crate) fn provisioning(&self, queues: &[&str]) -> Provisioning {
        let queues = queues.iter().map(|queue| (*queue).to_owned()).collect();
        self.provisioning_of(ProvisioningSettings { queues, ..ProvisioningSettings::default() })
    }

    pub(crate) fn provisioning_of(&self, settings: ProvisioningSettings) -> Provisioning {
        let provisioning = Provisioning::new(&self.aws, settings).expect("valid settings");
        provisioning.with_clock(Arc::new(NoWait))
    }
}

fn aws(
    dynamodb: &aws_sdk_dynamodb::Client,
    s3: &aws_sdk_s3::Client,
    sqs: &aws_sdk_sqs::Client,
    settings: AwsSettings,
) -> Aws {
    Aws::new(dynamodb.clone(), s3.clone(), sqs.clone(), settings).expect("valid settings")
}

/// Settings with a table for small payloads.
pub(crate) fn with_payload_table() -> AwsSettings {
    AwsSettings { payload_table: Some("slips".to_owned()), ..AwsSettings::new("things", "coats") }
}

/// A clock whose sleeps return after one yield.
#[derive(Debug)]
struct NoWait;

#[async_trait]
impl Clock for NoWait {
    fn now(&self) -> Timestamp {
        Timestamp::default()
    }

    async fn sleep(&self, _: Duration) {
        tokio::task::yield_now().await;
    }
}
