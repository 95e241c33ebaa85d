//! Where the shop is kept.

use cloakroom_aws::{Aws, AwsSettings, SettingsError};

/// Where everything of the shop is: the table, the bucket and the queues, as an auditor reads them, with clients of
/// the SDK. The services themselves need no more than the [ports](Aws::ports) of [`aws`](Self::aws).
#[derive(Clone, Debug)]
pub struct Site {
    /// DynamoDB.
    pub dynamodb: aws_sdk_dynamodb::Client,
    /// S3.
    pub s3: aws_sdk_s3::Client,
    /// SQS.
    pub sqs: aws_sdk_sqs::Client,
    /// The names of the table and the bucket, and what the names of the queues begin with.
    pub settings: AwsSettings,
}

impl Site {
    /// The adapters for this site. Nothing is asked of AWS.
    ///
    /// # Errors
    /// A setting that AWS would refuse.
    pub fn aws(&self) -> Result<Aws, SettingsError> {
        Aws::new(self.dynamodb.clone(), self.s3.clone(), self.sqs.clone(), self.settings.clone())
    }
}
