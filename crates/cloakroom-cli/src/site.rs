//! The shop on embedded AWS, and the error type of commands.

use std::{collections::BTreeMap, fmt};

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, SharedCredentialsProvider};
use aws_types::SdkConfig;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use cloakroom_aws::{Aws, AwsSettings};
use cloakroom_shop::Site;

/// The reason why a command failed. Its text is for the person at the terminal.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl fmt::Display) -> Self {
        Self(text.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<cloakroom::Error> for Failure {
    fn from(error: cloakroom::Error) -> Self {
        Self::new(error)
    }
}

/// The environment variable with the name of the table for small payloads. It is optional.
pub(crate) const PAYLOAD_TABLE: &str = "CLOAKROOM_PAYLOAD_TABLE";

/// Returns the shop on an embedded AWS that the standard AWS variables describe.
pub(crate) fn embedded(variable: impl Fn(&str) -> Option<String>) -> Result<Site, Failure> {
    let get = |name: &str| variable(name).ok_or_else(|| Failure::new(format!("the variable `{name}` is not set")));
    let (id, secret) = (get("AWS_ACCESS_KEY_ID")?, get("AWS_SECRET_ACCESS_KEY")?);
    let credentials = Credentials::new(id, secret, None, None, "cloakroom");
    let urls = ["DYNAMODB", "S3", "SQS"].map(|service| {
        let name = format!("AWS_ENDPOINT_URL_{service}");
        get(&name).map(|url| (name, url))
    });
    let config = SdkConfig::builder()
        .behavior_version(BehaviorVersion::v2026_01_12())
        .region(Region::new(get("AWS_REGION")?))
        .credentials_provider(SharedCredentialsProvider::new(credentials))
        .service_config(Endpoints(urls.into_iter().collect::<Result<_, _>>()?));
    let settings = AwsSettings { payload_table: variable(PAYLOAD_TABLE), ..AwsSettings::new("shop", "shop-payloads") };
    // The shop has the same clients as users have, so it also shows their behaviour when a service
    // does not respond.
    let aws = Aws::configured(&config.build(), settings.clone()).map_err(Failure::new)?;
    Ok(Site { dynamodb: aws.dynamodb().clone(), s3: aws.s3().clone(), sqs: aws.sqs().clone(), settings })
}

/// The addresses of services, by the names of their variables.
#[derive(Debug)]
struct Endpoints(BTreeMap<String, String>);

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        self.0.get(&format!("{}_{}", key.env(), key.service_id().to_uppercase())).cloned()
    }
}
