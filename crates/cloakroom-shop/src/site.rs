//! The AWS resources of the shop.

use cloakroom_aws::{Aws, AwsSettings, SettingsError};

/// The table, the bucket and the queues of the shop, with clients of the SDK, for the audit. The services need only
/// the [ports](Aws::ports) of [`aws`](Self::aws).
#[derive(Clone, Debug)]
pub struct Site {
    /// DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// S3.
    pub s3: aws_sdk_s3::Client,
    /// SQS.
    pub sqs: aws_sdk_sqs::Client,
    /// The names of the table and the bucket, and the prefix of queue names.
    pub settings: AwsSettings,
}

impl Site {
    /// Returns the adapters for this site, without a request to AWS.
    ///
    /// # Errors
    /// A setting is invalid.
    pub fn aws(&self) -> Result<Aws, SettingsError> {
        Aws::new(self.dynamodb.clone(), self.s3.clone(), self.sqs.clone(), self.settings.clone())
    }
}
