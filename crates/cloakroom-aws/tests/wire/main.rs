//! The adapters on the wire: the SDK, its HTTP client and the services in between.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

mod faults;
mod laws;
mod missing;
mod provisioning;
mod queues;
mod resend;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cloakroom::{Clock, Timestamp};
use cloakroom_aws::{Aws, AwsSettings, Provisioning, ProvisioningSettings};
use cloakroom_local::LocalAws;

macro_rules! client {
    ($sdk:ident, $url:expr $(, $option:ident)?) => {{
        let config = $sdk::Config::builder()
            .behavior_version($sdk::config::BehaviorVersion::latest())
            .region($sdk::config::Region::new("us-east-1"))
            .credentials_provider($sdk::config::Credentials::new("AKIDTEST", "SECRETTEST", None, None, "test"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .endpoint_url($url)
            $(.$option(true))?;
        $sdk::Client::from_conf(config.build())
    }};
}

fn dynamodb(url: &str) -> aws_sdk_dynamodb::Client {
    client!(aws_sdk_dynamodb, url)
}

fn s3(url: &str) -> aws_sdk_s3::Client {
    client!(aws_sdk_s3, url, force_path_style)
}

fn sqs(url: &str) -> aws_sdk_sqs::Client {
    client!(aws_sdk_sqs, url)
}

/// Services of one test, and everything that uses them.
struct World {
    local: LocalAws,
    dynamodb: aws_sdk_dynamodb::Client,
    s3: aws_sdk_s3::Client,
    sqs: aws_sdk_sqs::Client,
    aws: Aws,
}

impl World {
    /// Services with nothing in them.
    async fn empty() -> Self {
        let local = LocalAws::builder().credentials("AKIDTEST", "SECRETTEST").start().await.unwrap();
        let (dynamodb, s3, sqs) = (dynamodb(&local.dynamodb_url()), s3(&local.s3_url()), sqs(&local.sqs_url()));
        let settings = AwsSettings::new("things", "coats");
        let aws = Aws::new(dynamodb.clone(), s3.clone(), sqs.clone(), settings).unwrap();
        Self { local, dynamodb, s3, sqs, aws }
    }

    /// Services with a table, a bucket and these queues.
    async fn with_queues(queues: &[&str]) -> Self {
        let world = Self::empty().await;
        world.provisioning(queues).apply().await.unwrap();
        world
    }

    fn provisioning(&self, queues: &[&str]) -> Provisioning {
        let queues = queues.iter().map(|queue| (*queue).to_owned()).collect();
        self.provisioning_of(ProvisioningSettings { queues, ..ProvisioningSettings::default() })
    }

    fn provisioning_of(&self, settings: ProvisioningSettings) -> Provisioning {
        Provisioning::new(&self.aws, settings).unwrap().with_clock(Arc::new(NoWait))
    }
}

/// A clock on which nobody waits.
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
