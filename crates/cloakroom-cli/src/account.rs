//! The AWS account that an operator's command works on: whatever the SDK's own variables, profiles and roles say.

use std::{sync::Arc, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use cloakroom::{Bounded, Ports};
use cloakroom_aws::{Aws, AwsSettings, QueueSettings, S3Payloads};

use crate::site::Failure;

/// Where Cloakroom keeps what.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Account {
    /// The table
    #[arg(long, env = "CLOAKROOM_TABLE")]
    pub(crate) table: String,
    /// The bucket for payloads
    #[arg(long, env = "CLOAKROOM_BUCKET")]
    pub(crate) bucket: String,
    /// The table for small payloads, where there is one
    #[arg(long, env = "CLOAKROOM_PAYLOAD_TABLE")]
    pub(crate) payload_table: Option<String>,
    /// After how many days what is in the payload table expires; as the endpoints have it
    #[arg(long, env = "CLOAKROOM_PAYLOAD_TTL_DAYS", value_name = "DAYS", default_value_t = 45)]
    payload_ttl_days: u32,
    /// The largest payload that is read, in bytes; as the endpoints have it
    #[arg(long, env = "CLOAKROOM_PAYLOAD_BYTES_MAX", value_name = "BYTES", default_value_t = S3Payloads::BYTES_MAX)]
    payload_bytes_max: usize,
    /// What the names of all queues begin with
    #[arg(long, env = "CLOAKROOM_QUEUE_PREFIX", default_value = "")]
    pub(crate) queue_prefix: String,
    /// The profile of the AWS configuration; credentials, region and endpoints come from the AWS SDK's own variables and files
    #[arg(long)]
    profile: Option<String>,
    /// The region, if it is not that of the profile or of `AWS_REGION`
    #[arg(long)]
    region: Option<String>,
}

/// How long a payload may take to be read.
const READ_MAX: Duration = Duration::from_secs(120);

/// The ports of an account, where the reading of a payload has an end.
pub(crate) fn bounded_ports(aws: &Aws) -> Ports {
    let ports = aws.ports();
    Ports { payloads: Arc::new(Bounded::new(ports.payloads, Arc::clone(&ports.clock), READ_MAX)), ..ports }
}

impl Account {
    /// Clients and settings. Nothing is asked of AWS, unless credentials have to be.
    pub(crate) async fn aws(&self) -> Result<Aws, Failure> {
        let config = configuration(self.profile.as_deref(), self.region.as_deref()).await;
        let queues = QueueSettings { prefix: self.queue_prefix.clone(), ..QueueSettings::default() };
        let Self { table, bucket, payload_table, payload_ttl_days, payload_bytes_max, .. } = self.clone();
        let settings = AwsSettings {
            payload_table,
            payload_ttl_days,
            payload_bytes_max,
            queues,
            ..AwsSettings::new(table, bucket)
        };
        Aws::configured(&config, settings).map_err(Failure::new)
    }
}

/// What the SDK's own variables and files say; of this profile, and in this region, if they are named.
pub(crate) async fn configuration(profile: Option<&str>, region: Option<&str>) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12());
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    loader.load().await
}
