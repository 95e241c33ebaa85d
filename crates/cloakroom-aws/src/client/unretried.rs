//! Clients that send every request once, for the calls that must not be repeated unseen.
//!
//! They are made once and not for each call: to override a setting of one call takes the SDK as long as a tenth of the call. With
//! the caller's client they share everything that it was given, and so its connections, if it was given an HTTP client.

use aws_smithy_types::retry::RetryConfig;

macro_rules! once {
    ($name:ident, $sdk:ident) => {
        /// The same client, without retries.
        pub(crate) fn $name(client: &$sdk::Client) -> $sdk::Client {
            $sdk::Client::from_conf(client.config().to_builder().retry_config(RetryConfig::disabled()).build())
        }
    };
}

once!(dynamodb, aws_sdk_dynamodb);
once!(s3, aws_sdk_s3);
once!(sqs, aws_sdk_sqs);
