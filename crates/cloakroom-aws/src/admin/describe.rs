//! Descriptions of the tables, the bucket and the queues as they are.
//! [`Provisioning`](crate::Provisioning) compares them with its settings, and
//! [`Diagnosis`](crate::Diagnosis) checks them.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{PointInTimeRecoveryStatus, TableDescription, TimeToLiveStatus};
use aws_sdk_s3::{
    operation::head_bucket::HeadBucketOutput,
    types::{BucketVersioningStatus, LifecycleRule, PublicAccessBlockConfiguration},
};
use aws_sdk_sqs::types::QueueAttributeName;
use cloakroom::PortError;

use crate::{
    aws::Aws,
    client::{
        failure::{Operation, code, meaning::Meaning, status},
        timeouts,
    },
    dynamodb::{self},
    s3::payloads,
    sqs::queue,
};

pub(crate) const DESCRIBE: Operation = Operation::read("DescribeTable", "dynamodb:DescribeTable");
pub(crate) const DESCRIBE_EXPIRY: Operation = Operation::read("DescribeTimeToLive", "dynamodb:DescribeTimeToLive");
const DESCRIBE_BACKUPS: Operation = Operation::read("DescribeContinuousBackups", "dynamodb:DescribeContinuousBackups");
pub(crate) const HEAD: Operation = Operation::read("HeadBucket", "s3:ListBucket");
pub(crate) const LIST: Operation = Operation::read("ListObjectsV2", "s3:ListBucket");
pub(crate) const GET_VERSIONING: Operation = Operation::read("GetBucketVersioning", "s3:GetBucketVersioning");
const GET_BLOCK: Operation = Operation::read("GetPublicAccessBlock", "s3:GetBucketPublicAccessBlock");
pub(crate) const GET_RULES: Operation =
    Operation::read("GetBucketLifecycleConfiguration", "s3:GetLifecycleConfiguration");
const FIND: Operation = Operation::read("GetQueueUrl", "sqs:GetQueueUrl");
pub(crate) const GET: Operation = Operation::read("GetQueueAttributes", "sqs:GetQueueAttributes");

/// The attributes of a queue, as strings.
pub(crate) type QueueAttributes = HashMap<QueueAttributeName, String>;

impl Aws {
    /// Returns the number of messages in a queue: visible, delayed and in flight. `queue` is the
    /// name that endpoints and routes use. The number of SQS is approximate and some seconds old.
    ///
    /// # Errors
    /// The queue does not exist, or the call failed.
    pub async fn depth(&self, queue: &str) -> Result<u64, PortError> {
        let name = self.settings.queues.full_name(queue);
        let target = queue::target(&name);
        let absent = || PortError::new(GET.on(&target), "it does not exist").without_effect().permanent().public();
        let attributes = timeouts::answer(&GET, &target, self.queue_attributes(&name)).await?.ok_or_else(absent)?;
        let count = |name| attributes.get(&name).and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
        Ok(count(QueueAttributeName::ApproximateNumberOfMessages)
            + count(QueueAttributeName::ApproximateNumberOfMessagesDelayed)
            + count(QueueAttributeName::ApproximateNumberOfMessagesNotVisible))
    }
}

/// Each method describes one resource. It returns `None` if the resource does not exist.
impl Aws {
    pub(crate) async fn table(&self, table: &str) -> Result<Option<TableDescription>, PortError> {
        match self.dynamodb.describe_table().table_name(table).send().await {
            Ok(output) => Ok(output.table),
            Err(error) if code(&error) == Some("ResourceNotFoundException") => Ok(None),
            Err(error) => Err(DESCRIBE.failed(&dynamodb::target(table), error)),
        }
    }

    /// Returns the attribute by which the items of a table expire, if time to live is on.
    pub(crate) async fn expiry_attribute(&self, table: &str) -> Result<Option<String>, PortError> {
        let output = self.dynamodb.describe_time_to_live().table_name(table).send().await;
        let output = output.map_err(|error| DESCRIBE_EXPIRY.failed(&dynamodb::target(table), error))?;
        let on = [TimeToLiveStatus::Enabled, TimeToLiveStatus::Enabling];
        let expiry = output.time_to_live_description;
        let expiry = expiry.filter(|expiry| expiry.time_to_live_status.as_ref().is_some_and(|now| on.contains(now)));
        Ok(expiry.and_then(|expiry| expiry.attribute_name))
    }

    /// Returns whether point-in-time recovery is on.
    pub(crate) async fn is_recoverable(&self, table: &str) -> Result<bool, PortError> {
        let output = self.dynamodb.describe_continuous_backups().table_name(table).send().await;
        let output = output.map_err(|error| DESCRIBE_BACKUPS.failed(&dynamodb::target(table), error))?;
        let backups = output.continuous_backups_description;
        let recovery = backups.and_then(|backups| backups.point_in_time_recovery_description);
        let status = recovery.and_then(|recovery| recovery.point_in_time_recovery_status);
        Ok(status == Some(PointInTimeRecoveryStatus::Enabled))
    }

    pub(crate) async fn bucket(&self) -> Result<Option<HeadBucketOutput>, PortError> {
        let bucket = &self.settings.bucket;
        match self.s3.head_bucket().bucket(bucket).send().await {
            Ok(output) => Ok(Some(output)),
            Err(error) if status(&error) == Some(404) => Ok(None),
            Err(error) => Err(HEAD.failed(&payloads::target(bucket), error)),
        }
    }

    pub(crate) async fn versioning(&self) -> Result<Option<BucketVersioningStatus>, PortError> {
        let bucket = &self.settings.bucket;
        let output = self.s3.get_bucket_versioning().bucket(bucket).send().await;
        Ok(output.map_err(|error| GET_VERSIONING.failed(&payloads::target(bucket), error))?.status)
    }

    pub(crate) async fn public_access_block(&self) -> Result<Option<PublicAccessBlockConfiguration>, PortError> {
        let bucket = &self.settings.bucket;
        match self.s3.get_public_access_block().bucket(bucket).send().await {
            Ok(output) => Ok(output.public_access_block_configuration),
            Err(error) if code(&error) == Some("NoSuchPublicAccessBlockConfiguration") => Ok(None),
            Err(error) => Err(GET_BLOCK.failed(&payloads::target(bucket), error)),
        }
    }

    pub(crate) async fn lifecycle_rules(&self) -> Result<Vec<LifecycleRule>, PortError> {
        let bucket = &self.settings.bucket;
        match self.s3.get_bucket_lifecycle_configuration().bucket(bucket).send().await {
            Ok(output) => Ok(output.rules.unwrap_or_default()),
            Err(error) if code(&error) == Some("NoSuchLifecycleConfiguration") => Ok(Vec::new()),
            Err(error) => Err(GET_RULES.failed(&payloads::target(bucket), error)),
        }
    }

    /// Returns the key of an object that does not belong to Cloakroom, if the first thousand
    /// objects contain one.
    pub(crate) async fn foreign_object(&self) -> Result<Option<String>, PortError> {
        let bucket = &self.settings.bucket;
        let output = self.s3.list_objects_v2().bucket(bucket).send().await;
        let output = output.map_err(|error| LIST.failed(&payloads::target(bucket), error))?;
        let mut keys = output.contents().iter().filter_map(|object| object.key());
        Ok(keys.find(|key| !is_our_key(key)).map(str::to_owned))
    }

    /// Returns the URL of the queue with this name in SQS.
    pub(crate) async fn queue_url(&self, name: &str) -> Result<Option<String>, PortError> {
        match self.sqs.get_queue_url().queue_name(name).send().await {
            Ok(output) => Ok(output.queue_url),
            Err(error) if is_absent(code(&error)) => Ok(None),
            Err(error) => Err(FIND.failed(&queue::target(name), error)),
        }
    }

    /// Returns the attributes of the queue with this name in SQS.
    pub(crate) async fn queue_attributes(&self, name: &str) -> Result<Option<QueueAttributes>, PortError> {
        let Some(url) = self.queue_url(name).await? else { return Ok(None) };
        let get = self.sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
        match get.send().await {
            Ok(output) => Ok(Some(output.attributes.unwrap_or_default())),
            // A deleted queue keeps its URL for a short time.
            Err(error) if is_absent(code(&error)) => Ok(None),
            Err(error) => Err(GET.failed(&queue::target(name), error)),
        }
    }
}

fn is_absent(code: Option<&str>) -> bool {
    code.is_some() && Meaning::of(None, code) == Meaning::Absent
}

/// Whether the key is that of a payload or of a dedupe entry.
fn is_our_key(key: &str) -> bool {
    let hexadecimal = |text: &str, digits| text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let is_payload = key.split_once('.').is_some_and(|(bits, _)| hexadecimal(bits, 32));
    is_payload || key.split_once('/').is_some_and(|(hash, _)| hexadecimal(hash, 8))
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloakroom::format::{Claim, schema::Key};

    #[test]
    fn keys_of_payloads_and_entries_are_recognised() {
        assert!(is_our_key(&Key::Payload { claim: &Claim::from_random(7, "payloads") }.text()));
        assert!(is_our_key(&Key::Entry { endpoint: "stock", message: &"a/b c".into() }.text()));
        for key in ["", "logs/2026", "photo.jpg", "deadbeef", &*"a".repeat(33), "deadbee/x/y"] {
            assert!(!is_our_key(key), "{key}");
        }
    }
}
