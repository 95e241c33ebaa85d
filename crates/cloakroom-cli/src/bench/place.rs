//! Where it takes place.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_dynamodb::config::Credentials;
use cloakroom_bench::{Faults, Target};

use crate::{account, site::Failure};

/// The region that containers are told.
const CONTAINER_REGION: &str = "us-east-1";

/// Services that a run may use.
#[derive(Clone, Debug)]
pub(super) enum Place {
    /// In this process.
    Embedded(Faults),
    /// At this address.
    Container(String),
    /// It costs money.
    Account(Box<SdkConfig>),
}

impl Place {
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
            return Err(Failure::new("it is not known in which region to run; give `--region`, or set `AWS_REGION`"));
        }
        Ok(Self::Account(Box::new(config)))
    }

    pub(super) const fn costs_money(&self) -> bool {
        matches!(self, Self::Account(_))
    }

    /// The region that bills.
    pub(super) fn region(&self) -> Option<String> {
        match self {
            Self::Account(config) => config.region().map(ToString::to_string),
            Self::Embedded(_) | Self::Container(_) => None,
        }
    }

    /// What it is called in questions and reports.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Embedded(_) => "embedded AWS".to_owned(),
            Self::Container(url) => url.clone(),
            Self::Account(_) => format!("AWS, {}", self.region().unwrap_or_default()),
        }
    }

    /// Starts what has to be started. Nothing is asked of other services yet.
    pub(super) async fn target(self) -> Result<Target, Failure> {
        let name = self.name();
        let target = match self {
            Self::Embedded(faults) => Target::embedded(faults).await,
            Self::Container(url) => {
                // A container takes any credentials, and has no business with real ones.
                let loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
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
    fn an_address_is_one() {
        assert!(Place::container("http://localhost:4566").is_ok_and(|place| !place.costs_money()));
        for wrong in ["localhost:4566", "http://", "ftp://x", "https://a b", ""] {
            let refusal = Place::container(wrong).unwrap_err().to_string();
            assert!(refusal.contains(&format!("`{wrong}`")), "{refusal}");
        }
    }
}
