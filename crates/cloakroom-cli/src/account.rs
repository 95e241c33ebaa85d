//! The AWS account that an operator's command works on. The AWS SDK's own variables, profiles and
//! roles select it.

use std::{sync::Arc, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use cloakroom::{Ports, ports::Bounded};
use cloakroom_aws::{Aws, AwsSettings, QueueSettings, S3Payloads};

use crate::site::Failure;

/// The tables, the bucket and the queues of Cloakroom, and the account that has them.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Account {
    /// The table for states and records
    #[arg(long, env = "CLOAKROOM_TABLE")]
    pub(crate) table: String,
    /// The bucket for payloads
    #[arg(long, env = "CLOAKROOM_BUCKET")]
    pub(crate) bucket: String,
    /// The table for small payloads, if there is one
    #[arg(long, env = "CLOAKROOM_PAYLOAD_TABLE")]
    pub(crate) payload_table: Option<String>,
    /// Days until items of the payload table expire; must be the value that the endpoints use
    #[arg(
        long,
        env = "CLOAKROOM_PAYLOAD_TTL_DAYS",
        value_name = "DAYS",
        default_value_t = AwsSettings::new("", "").payload_ttl_days
    )]
    payload_ttl_days: u32,
    /// The largest payload that is read, in bytes; must be the value that the endpoints use
    #[arg(long, env = "CLOAKROOM_PAYLOAD_BYTES_MAX", value_name = "BYTES", default_value_t = S3Payloads::BYTES_MAX)]
    payload_bytes_max: usize,
    /// The prefix of the names of all queues
    #[arg(long, env = "CLOAKROOM_QUEUE_PREFIX", default_value = "")]
    pub(crate) queue_prefix: String,
    /// The profile of the AWS configuration; credentials, region and endpoints come from the AWS
    /// SDK's own variables and files
    #[arg(long)]
    profile: Option<String>,
    /// The region; by default that of the profile or of `AWS_REGION`
    #[arg(long)]
    region: Option<String>,
}

/// The time limit for reading one payload.
const READ_MAX: Duration = Duration::from_secs(120);

/// Returns the ports of an account, with a time limit of [`READ_MAX`] for each call to the payload
/// store.
pub(crate) fn bounded_ports(aws: &Aws) -> Ports {
    let ports = aws.ports();
    Ports { payloads: Arc::new(Bounded::new(ports.payloads, Arc::clone(&ports.clock), READ_MAX)), ..ports }
}

impl Account {
    /// Returns the options that selected the account and the region, for printed commands that an
    /// operator copies.
    pub(crate) fn options(&self) -> String {
        let given = [("--profile", &self.profile), ("--region", &self.region)];
        let given = given.into_iter().filter_map(|(option, value)| value.as_deref().map(|value| (option, value)));
        given.map(|(option, value)| format!("{option} {}", quoted(value))).collect::<Vec<_>>().join(" ")
    }

    /// Returns the clients with their settings. Sends no request to AWS, except to get credentials.
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

/// Quotes a word for a shell, if it needs quotes.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '@');
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// Loads the configuration from the SDK's own variables and files, with this profile and this
/// region if they are given.
pub(crate) async fn configuration(profile: Option<&str>, region: Option<&str>) -> SdkConfig {
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(cloakroom_aws::http_client());
    if let Some(profile) = profile {
        loader = loader.profile_name(profile);
    }
    if let Some(region) = region {
        loader = loader.region(Region::new(region.to_owned()));
    }
    loader.load().await
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        account: Account,
    }

    fn options(more: &[&str]) -> String {
        let words = ["cloakroom", "--table", "things", "--bucket", "coats"];
        Command::parse_from([&words[..], more].concat()).account.options()
    }

    #[test]
    fn account_options_are_quoted_for_a_shell() {
        assert_eq!(options(&[]), "");
        assert_eq!(options(&["--region", "eu-west-1"]), "--region eu-west-1");
        assert_eq!(options(&["--region=eu-west-1", "--profile", "prod"]), "--profile prod --region eu-west-1");
        assert_eq!(options(&["--profile", "Anna's account"]), r"--profile 'Anna'\''s account'");
    }
}
