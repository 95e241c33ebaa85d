//! The bucket.

use aws_sdk_s3::{
    operation::head_bucket::HeadBucketOutput,
    types::{
        BucketVersioningStatus, LifecycleRule, PublicAccessBlockConfiguration, ServerSideEncryption,
        ServerSideEncryptionRule,
    },
};
use cloakroom::PortError;
use serde_json::Value;

use crate::{
    admin::{
        diagnosis::{Diagnosis, Place, Problem, finding::Finding},
        provisioning::bucket::is_private,
    },
    client::failure::{Operation, code},
    s3::payloads::{is_directory, target},
};

const GET_ENCRYPTION: Operation = Operation::read("GetBucketEncryption", "s3:GetEncryptionConfiguration");
const GET_POLICY: Operation = Operation::read("GetBucketPolicy", "s3:GetBucketPolicy");

type Look<T> = Result<T, PortError>;

/// The answers of all looks at the bucket.
pub(super) struct BucketLook {
    head: Look<Option<HeadBucketOutput>>,
    versioning: Look<Option<BucketVersioningStatus>>,
    block: Look<Option<PublicAccessBlockConfiguration>>,
    rules: Look<Vec<LifecycleRule>>,
    foreign: Look<Option<String>>,
    encryption: Look<Vec<ServerSideEncryptionRule>>,
    policy: Look<Option<String>>,
}

impl Diagnosis {
    pub(super) async fn look_at_bucket(&self) -> BucketLook {
        let aws = &self.aws;
        let (head, versioning, block, rules, foreign, encryption, policy) = futures::join!(
            aws.bucket(),
            self.unless_directory(aws.versioning()),
            self.unless_directory(aws.public_access_block()),
            aws.lifecycle_rules(),
            aws.foreign_object(),
            self.encryption(),
            self.policy(),
        );
        BucketLook { head, versioning, block, rules, foreign, encryption, policy }
    }

    /// A directory bucket has no versions, is never public, and cannot be asked about it.
    async fn unless_directory<T>(&self, look: impl Future<Output = Look<Option<T>>>) -> Look<Option<T>> {
        if is_directory(&self.aws.settings.bucket) { Ok(None) } else { look.await }
    }

    async fn encryption(&self) -> Look<Vec<ServerSideEncryptionRule>> {
        let bucket = &self.aws.settings.bucket;
        match self.aws.s3.get_bucket_encryption().bucket(bucket).send().await {
            Ok(output) => Ok(output.server_side_encryption_configuration.map(|all| all.rules).unwrap_or_default()),
            Err(error) if code(&error) == Some("ServerSideEncryptionConfigurationNotFoundError") => Ok(Vec::new()),
            Err(error) => Err(GET_ENCRYPTION.failed(&target(bucket), error)),
        }
    }

    async fn policy(&self) -> Look<Option<String>> {
        let bucket = &self.aws.settings.bucket;
        match self.aws.s3.get_bucket_policy().bucket(bucket).send().await {
            Ok(output) => Ok(output.policy),
            Err(error) if code(&error) == Some("NoSuchBucketPolicy") => Ok(None),
            Err(error) => Err(GET_POLICY.failed(&target(bucket), error)),
        }
    }

    /// `days_min`: how long a payload may be needed, by what the queues keep.
    pub(super) fn bucket_findings(&self, look: BucketLook, days_min: u64) -> Vec<Finding> {
        let mut findings = Vec::new();
        let head = match look.head {
            // An answer to HEAD has no body, and does not say why it was refused; the listing does, under the same
            // permission.
            Err(_) if look.foreign.is_err() => None,
            head => self.told(Place::Bucket, head, &mut findings),
        };
        match head {
            Some(Some(head)) => findings.extend(self.judge_region(&head)),
            // Whatever else was asked of it says the same.
            Some(None) => return vec![self.missing(Place::Bucket)],
            None => {}
        }
        if let Some(Some(status)) = self.told(Place::Bucket, look.versioning, &mut findings) {
            findings.push(self.judge_versioning(&status));
        }
        if let Some(block) = self.told(Place::Bucket, look.block, &mut findings)
            && !is_private(block.as_ref())
            && !is_directory(&self.aws.settings.bucket)
        {
            let text =
                "public access is not blocked in all four ways: one policy or ACL opens the payloads to the world";
            findings.push(self.finding(Problem::BucketPublic, Place::Bucket, text, self.provision("")));
        }
        if let Some(rules) = self.told(Place::Bucket, look.rules, &mut findings) {
            findings.extend(self.judge_rules(&rules, days_min));
        }
        if let Some(Some(key)) = self.told(Place::Bucket, look.foreign, &mut findings) {
            let text = format!("object `{key}` is not Cloakroom's; everything in the bucket expires");
            let fix = "give Cloakroom a bucket of its own, or move what is not its own elsewhere";
            findings.push(self.finding(Problem::BucketShared, Place::Bucket, text, fix));
        }
        if let Some(rules) = self.told(Place::Bucket, look.encryption, &mut findings) {
            findings.extend(rules.first().and_then(|rule| self.judge_encryption(rule)));
        }
        if let Some(policy) = self.told(Place::Bucket, look.policy, &mut findings)
            && !policy.is_some_and(|policy| demands_tls(&policy))
        {
            let text = "no policy refuses requests without TLS; Cloakroom and the AWS SDK send none, others might";
            let fix = "add a statement to the bucket's policy that denies `s3:*` if `aws:SecureTransport` is false";
            findings.push(self.finding(Problem::BucketPlainHttp, Place::Bucket, text, fix));
        }
        findings
    }

    fn judge_region(&self, head: &HeadBucketOutput) -> Option<Finding> {
        let region = head.bucket_region().filter(|region| *region != self.region())?;
        Some(self.elsewhere(&format!("it is in `{region}`, which costs time and traffic with every message")))
    }

    /// Object lock and replication are not asked for: both demand versioning, and cannot be without it.
    fn judge_versioning(&self, status: &BucketVersioningStatus) -> Finding {
        let fix = "give Cloakroom a bucket that never was versioned (`cloakroom provision --bucket …` makes it); S3 \
                   can suspend versioning, and not turn it off";
        let (problem, text) = if *status == BucketVersioningStatus::Suspended {
            let text =
                "versioning is suspended: every payload that is deleted leaves a marker behind, and old versions stay";
            (Problem::BucketOnceVersioned, text)
        } else {
            let text = "versioning is on: payloads that are deleted, and expired ones, stay as versions, and anybody \
                        who restores one has a processed message processed again";
            (Problem::BucketVersioned, text)
        };
        self.finding(problem, Place::Bucket, text, fix)
    }

    fn judge_encryption(&self, rule: &ServerSideEncryptionRule) -> Option<Finding> {
        let default = rule.apply_server_side_encryption_by_default()?;
        let kms = [ServerSideEncryption::AwsKms, ServerSideEncryption::AwsKmsDsse];
        if !kms.contains(default.sse_algorithm()) {
            return None;
        }
        let key = default.kms_master_key_id().unwrap_or("of AWS");
        let cost = match rule.bucket_key_enabled() {
            Some(true) => "",
            Some(false) | None => ", and without a bucket key every payload costs two calls of KMS",
        };
        let text =
            format!("payloads are encrypted with KMS key `{key}`: endpoints need it as much as the bucket{cost}");
        let fix =
            "allow `kms:GenerateDataKey` and `kms:Decrypt` on the key to every endpoint, and turn the bucket key on";
        Some(self.finding(Problem::BucketKms, Place::Bucket, text, fix))
    }
}

/// Whether a policy refuses what comes without TLS.
fn demands_tls(policy: &str) -> bool {
    let Ok(policy) = serde_json::from_str::<Value>(policy) else { return false };
    // One statement may stand for itself.
    let statements = &policy["Statement"];
    let statements = statements.as_array().map_or(std::slice::from_ref(statements), Vec::as_slice);
    let denies_plain = |statement: &Value| {
        let secure = &statement["Condition"]["Bool"]["aws:SecureTransport"];
        statement["Effect"] == "Deny" && (*secure == "false" || *secure == false || secure[0] == "false")
    };
    statements.iter().any(denies_plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_that_refuses_plain_requests_is_recognised() {
        let denial = r#"{ "Effect": "Deny", "Condition": { "Bool": { "aws:SecureTransport": "false" } } }"#;
        assert!(demands_tls(&format!(r#"{{ "Statement": [{{ "Effect": "Allow" }}, {denial}] }}"#)));
        assert!(demands_tls(&format!(r#"{{ "Statement": {denial} }}"#)));
        for other in [denial.replace("Deny", "Allow"), denial.replace("false", "true"), "{}".to_owned()] {
            assert!(!demands_tls(&format!(r#"{{ "Statement": [{other}] }}"#)), "{other}");
        }
        assert!(!demands_tls("no JSON"));
    }
}
