//! Where things take place: the shop on embedded AWS, and failures.

use std::{fmt, time::Duration};

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region, timeout::TimeoutConfig};
use cloakroom_aws::{AwsSettings, BucketAddress};
use cloakroom_shop::Site;

/// Why a command could not be carried out. Its text is for the person at the terminal.
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

/// The variable that names the table for small payloads, if there is one.
pub(crate) const PAYLOAD_TABLE: &str = "CLOAKROOM_PAYLOAD_TABLE";

/// How long a request may take before the SDK gives up its connection and repeats it. Nothing else ends a request on a
/// connection that went silent.
const ATTEMPT_MAX: Duration = Duration::from_secs(3);

/// The shop on an embedded AWS, from the standard variables that it names.
pub(crate) fn embedded(variable: impl Fn(&str) -> Option<String>) -> Result<Site, Failure> {
    let get = |name: &str| variable(name).ok_or_else(|| Failure::new(format!("the variable `{name}` is not set")));
    let (id, secret) = (get("AWS_ACCESS_KEY_ID")?, get("AWS_SECRET_ACCESS_KEY")?);
    let credentials = Credentials::new(id, secret, None, None, "cloakroom");
    let region = Region::new(get("AWS_REGION")?);
    let http = aws_smithy_http_client::Builder::new().build_http();
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT_MAX).build();
    macro_rules! config {
        ($sdk:ident, $url:literal) => {
            $sdk::Config::builder()
                .behavior_version(BehaviorVersion::v2026_01_12())
                .region(region.clone())
                .credentials_provider(credentials.clone())
                .http_client(http.clone())
                .timeout_config(timeouts.clone())
                .endpoint_url(get($url)?)
        };
    }
    let dynamodb = config!(aws_sdk_dynamodb, "AWS_ENDPOINT_URL_DYNAMODB").build();
    let s3 = config!(aws_sdk_s3, "AWS_ENDPOINT_URL_S3").force_path_style(true);
    let s3 = s3.endpoint_resolver(BucketAddress::default()).build();
    let sqs = config!(aws_sdk_sqs, "AWS_ENDPOINT_URL_SQS").build();
    Ok(Site {
        dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb),
        s3: aws_sdk_s3::Client::from_conf(s3),
        sqs: aws_sdk_sqs::Client::from_conf(sqs),
        settings: AwsSettings { payload_table: variable(PAYLOAD_TABLE), ..AwsSettings::new("shop", "shop-payloads") },
    })
}
