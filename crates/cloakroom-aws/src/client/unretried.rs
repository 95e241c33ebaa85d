//! Clients that send every request at most once, for calls that the SDK must not retry.
//!
//! They are created once and not for each call, because overriding a setting of one call costs
//! about a tenth of the time of the call. They share the configuration of the caller's client. If
//! it has an HTTP client, they share its connections, too.

use aws_smithy_types::retry::RetryConfig;

macro_rules! unretried {
    ($name:ident, $sdk:ident) => {
        /// Returns the same client without retries.
        pub(crate) fn $name(client: &$sdk::Client) -> $sdk::Client {
            $sdk::Client::from_conf(client.config().to_builder().retry_config(RetryConfig::disabled()).build())
        }
    };
}

unretried!(dynamodb, aws_sdk_dynamodb);
unretried!(s3, aws_sdk_s3);
unretried!(sqs, aws_sdk_sqs);
