//! The AWS account that an operator's command works on: whatever the SDK's own variables, profiles and roles say.

use std::{sync::Arc, time::Duration};

use aws_config::{BehaviorVersion, Region, SdkConfig};
use cloakroom::{Ports, ports::Bounded};
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
    #[arg(
        long,
        env = "CLOAKROOM_PAYLOAD_TTL_DAYS",
        value_name = "DAYS",
        default_value_t = AwsSettings::new("", "").payload_ttl_days
    )]
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
    /// The options that chose the account and the region, for commands that an operator is to copy.
    pub(crate) fn options(&self) -> String {
        let given = [("--profile", &self.profile), ("--region", &self.region)];
        let given = given.into_iter().filter_map(|(option, value)| value.as_deref().map(|value| (option, value)));
        given.map(|(option, value)| format!("{option} {}", quoted(value))).collect::<Vec<_>>().join(" ")
    }

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

/// A word of a command line as a shell takes it.
fn quoted(word: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/' | ':' | '@');
    if !word.is_empty() && word.chars().all(is_plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
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
    fn options_of_the_account_are_repeated_as_a_shell_takes_them() {
        assert_eq!(options(&[]), "");
        assert_eq!(options(&["--region", "eu-west-1"]), "--region eu-west-1");
        assert_eq!(options(&["--region=eu-west-1", "--profile", "prod"]), "--profile prod --region eu-west-1");
        assert_eq!(options(&["--profile", "Anna's account"]), r"--profile 'Anna'\''s account'");
    }
}
