//! The AWS services on which a benchmark runs.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::Credentials;
use cloakroom_bench::{Faults, Target};

use crate::{account, site::Failure};

/// The region in requests to a container.
const CONTAINER_REGION: &str = "us-east-1";

/// The services that a run uses.
#[derive(Clone, Debug)]
pub(super) enum Platform {
    /// Embedded AWS in this process.
    Embedded(Faults),
    /// Services at this address.
    Container(String),
    /// An AWS account, which costs money.
    Account(Box<SdkConfig>),
}

impl Platform {
    pub(super) fn container(url: &str) -> Result<Self, Failure> {
        let host = url.strip_prefix("http://").or_else(|| url.strip_prefix("https://"));
        if host.is_none_or(|host| host.is_empty() || host.contains(char::is_whitespace)) {
            return Err(Failure::new(format!(
                "`--endpoint-url` is `{url}`; it must be an address such as http://localhost:4566"
            )));
        }
        Ok(Self::Container(url.to_owned()))
    }

    pub(super) async fn account(profile: Option<&str>, region: Option<&str>) -> Result<Self, Failure> {
        let config = account::configuration(profile, region).await;
        if config.region().is_none() {
            return Err(Failure::new("no region is configured; give `--region`, or set `AWS_REGION`"));
        }
        Ok(Self::Account(Box::new(config)))
    }

    pub(super) const fn costs_money(&self) -> bool {
        matches!(self, Self::Account(_))
    }

    /// Returns the region of the account. `None` if the services are not those of an account.
    pub(super) fn region(&self) -> Option<String> {
        match self {
            Self::Account(config) => config.region().map(ToString::to_string),
            Self::Embedded(_) | Self::Container(_) => None,
        }
    }

    /// Returns the name for questions and reports.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Embedded(_) => "embedded AWS".to_owned(),
            Self::Container(url) => url.clone(),
            Self::Account(_) => format!("AWS, {}", self.region().unwrap_or_default()),
        }
    }

    /// Starts embedded AWS, or configures the clients of other services without a request to them.
    pub(super) async fn target(self) -> Result<Target, Failure> {
        let name = self.name();
        let target = match self {
            Self::Embedded(faults) => Target::embedded(faults).await,
            Self::Container(url) => {
                // A container accepts any credentials, and must not receive real ones.
                let loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
                    .http_client(cloakroom_aws::http_client())
                    .credentials_provider(Credentials::new("test", "test", None, None, "cloakroom"))
                    .region(Region::new(CONTAINER_REGION))
                    .endpoint_url(url);
                Target::configured(name, &loader.load().await)
            }
            Self::Account(config) => Target::configured(name, &config),
        };
        target.map_err(Failure::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn endpoint_url_must_be_an_http_address() {
        assert!(Platform::container("http://localhost:4566").is_ok_and(|platform| !platform.costs_money()));
        for wrong in ["localhost:4566", "http://", "ftp://x", "https://a b", ""] {
            let refusal = Platform::container(wrong).unwrap_err().to_string();
            assert!(refusal.contains(&format!("`{wrong}`")), "{refusal}");
        }
    }
}
