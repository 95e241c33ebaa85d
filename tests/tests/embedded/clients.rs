//! SDK clients of an embedded AWS.

use std::time::Duration;

use aws_sdk_dynamodb::config::timeout::TimeoutConfig;

macro_rules! client {
    ($sdk:ident, $url:expr $(, $option:ident)?) => {{
        let config = $sdk::Config::builder()
            .behavior_version($sdk::config::BehaviorVersion::v2026_01_12())
            .region($sdk::config::Region::new("us-east-1"))
            .credentials_provider($sdk::config::Credentials::new("AKIDTEST", "SECRETTEST", None, None, "test"))
            .http_client(aws_smithy_http_client::Builder::new().build_http())
            .timeout_config(TimeoutConfig::builder().operation_timeout(Duration::from_secs(9)).build())
            .endpoint_url($url)
            $(.$option(true))?;
        $sdk::Client::from_conf(config.build())
    }};
}

/// Returns a client of the DynamoDB at `url`.
pub(crate) fn dynamodb(url: &str) -> aws_sdk_dynamodb::Client {
    client!(aws_sdk_dynamodb, url)
}

/// Returns a client of the S3 at `url`, with path-style requests.
pub(crate) fn s3(url: &str) -> aws_sdk_s3::Client {
    client!(aws_sdk_s3, url, force_path_style)
}

/// Returns a client of the SQS at `url`.
pub(crate) fn sqs(url: &str) -> aws_sdk_sqs::Client {
    client!(aws_sdk_sqs, url)
}
