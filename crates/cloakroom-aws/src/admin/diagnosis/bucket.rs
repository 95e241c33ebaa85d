//! Checks of the bucket.

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
        diagnosis::{Diagnosis, Problem, Resource, finding::Finding},
        provisioning::bucket::is_private,
    },
    client::failure::{Operation, code},
    s3::payloads::{is_directory, target},
};

const GET_ENCRYPTION: Operation = Operation::read("GetBucketEncryption", "s3:GetEncryptionConfiguration");
const GET_POLICY: Operation = Operation::read("GetBucketPolicy", "s3:GetBucketPolicy");

type Answer<T> = Result<T, PortError>;

/// The answers of all calls about the bucket.
pub(super) struct BucketAnswers {
    head: Answer<Option<HeadBucketOutput>>,
    versioning: Answer<Option<BucketVersioningStatus>>,
    block: Answer<Option<PublicAccessBlockConfiguration>>,
    rules: Answer<Vec<LifecycleRule>>,
    foreign: Answer<Option<String>>,
    encryption: Answer<Vec<ServerSideEncryptionRule>>,
    policy: Answer<Option<String>>,
}

impl Diagnosis {
    pub(super) async fn bucket_answers(&self) -> BucketAnswers {
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
        BucketAnswers { head, versioning, block, rules, foreign, encryption, policy }
    }

    /// Returns `None` for a directory bucket: it has no versions, is never public, and does not
    /// support these calls.
    async fn unless_directory<T>(&self, call: impl Future<Output = Answer<Option<T>>>) -> Answer<Option<T>> {
        if is_directory(&self.aws.settings.bucket) { Ok(None) } else { call.await }
    }

    async fn encryption(&self) -> Answer<Vec<ServerSideEncryptionRule>> {
        let bucket = &self.aws.settings.bucket;
        match self.aws.s3.get_bucket_encryption().bucket(bucket).send().await {
            Ok(output) => Ok(output.server_side_encryption_configuration.map(|all| all.rules).unwrap_or_default()),
            Err(error) if code(&error) == Some("ServerSideEncryptionConfigurationNotFoundError") => Ok(Vec::new()),
            Err(error) => Err(GET_ENCRYPTION.failed(&target(bucket), error)),
        }
    }

    async fn policy(&self) -> Answer<Option<String>> {
        let bucket = &self.aws.settings.bucket;
        match self.aws.s3.get_bucket_policy().bucket(bucket).send().await {
            Ok(output) => Ok(output.policy),
            Err(error) if code(&error) == Some("NoSuchBucketPolicy") => Ok(None),
            Err(error) => Err(GET_POLICY.failed(&target(bucket), error)),
        }
    }

    /// Returns the findings about the bucket. `days_min`: for how many days a payload may be
    /// needed, given the retention of the queues.
    pub(super) fn bucket_findings(&self, answers: BucketAnswers, days_min: u64) -> Vec<Finding> {
        let mut findings = Vec::new();
        let head = match answers.head {
            // The answer to a HEAD request has no body, so it does not say why it was refused. The
            // listing needs the same permission, and its answer has the reason.
            Err(_) if answers.foreign.is_err() => None,
            head => self.answer_of(Resource::Bucket, head, &mut findings),
        };
        match head {
            Some(Some(head)) => findings.extend(self.judge_region(&head)),
            // Every other call about the bucket failed for the same reason.
            Some(None) => return vec![self.missing(Resource::Bucket)],
            None => {}
        }
        if let Some(Some(status)) = self.answer_of(Resource::Bucket, answers.versioning, &mut findings) {
            findings.push(self.judge_versioning(&status));
        }
        if let Some(block) = self.answer_of(Resource::Bucket, answers.block, &mut findings)
            && !is_private(block.as_ref())
            && !is_directory(&self.aws.settings.bucket)
        {
            let text =
                "public access is not blocked in all four ways: a single policy or ACL could make payloads public";
            findings.push(self.finding(Problem::BucketPublic, Resource::Bucket, text, self.provision("")));
        }
        if let Some(rules) = self.answer_of(Resource::Bucket, answers.rules, &mut findings) {
            findings.extend(self.judge_rules(&rules, days_min));
        }
        if let Some(Some(key)) = self.answer_of(Resource::Bucket, answers.foreign, &mut findings) {
            let text = format!(
                "object `{key}` does not belong to Cloakroom; every object in the bucket expires, including this one"
            );
            let fix = "give Cloakroom a bucket of its own, or move all other objects to another bucket";
            findings.push(self.finding(Problem::BucketShared, Resource::Bucket, text, fix));
        }
        if let Some(rules) = self.answer_of(Resource::Bucket, answers.encryption, &mut findings) {
            findings.extend(rules.first().and_then(|rule| self.judge_encryption(rule)));
        }
        if let Some(policy) = self.answer_of(Resource::Bucket, answers.policy, &mut findings)
            && !policy.is_some_and(|policy| demands_tls(&policy))
        {
            let text = "no policy denies requests without TLS; Cloakroom and the AWS SDK use TLS, \
                        but other clients may not";
            let fix = "add a statement to the bucket's policy that denies `s3:*` if `aws:SecureTransport` is false";
            findings.push(self.finding(Problem::BucketPlainHttp, Resource::Bucket, text, fix));
        }
        findings
    }

    fn judge_region(&self, head: &HeadBucketOutput) -> Option<Finding> {
        let region = head.bucket_region().filter(|region| *region != self.region())?;
        Some(self.elsewhere(&format!("it is in `{region}`, which adds latency and traffic costs to every message")))
    }

    /// Does not check object lock and replication: both need versioning.
    fn judge_versioning(&self, status: &BucketVersioningStatus) -> Finding {
        let fix = "give Cloakroom a bucket that never was versioned (`cloakroom provision --bucket …` creates it); \
                   S3 can suspend versioning but not turn it off";
        let (problem, text) = if *status == BucketVersioningStatus::Suspended {
            let text = "versioning is suspended: every deleted payload leaves a delete marker, and old versions stay";
            (Problem::BucketOnceVersioned, text)
        } else {
            let text = "versioning is on: deleted and expired payloads stay as versions, and restoring one of \
                        them can make Cloakroom process a message twice";
            (Problem::BucketVersioned, text)
        };
        self.finding(problem, Resource::Bucket, text, fix)
    }

    fn judge_encryption(&self, rule: &ServerSideEncryptionRule) -> Option<Finding> {
        let default = rule.apply_server_side_encryption_by_default()?;
        let kms = [ServerSideEncryption::AwsKms, ServerSideEncryption::AwsKmsDsse];
        if !kms.contains(default.sse_algorithm()) {
            return None;
        }
        let key = default.kms_master_key_id().unwrap_or("aws/s3");
        let cost = match rule.bucket_key_enabled() {
            Some(true) => "",
            Some(false) | None => "; without a bucket key, every payload costs two calls to KMS",
        };
        let text =
            format!("payloads are encrypted with KMS key `{key}`, so endpoints need permission for the key, too{cost}");
        let fix =
            "allow `kms:GenerateDataKey` and `kms:Decrypt` on the key to every endpoint, and enable the bucket key";
        Some(self.finding(Problem::BucketKms, Resource::Bucket, text, fix))
    }
}

/// Whether a policy denies requests without TLS.
fn demands_tls(policy: &str) -> bool {
    let Ok(policy) = serde_json::from_str::<Value>(policy) else { return false };
    // A policy with one statement may have it without a list.
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
    fn bucket_policy_that_denies_requests_without_tls_is_recognised() {
        let denial = r#"{ "Effect": "Deny", "Condition": { "Bool": { "aws:SecureTransport": "false" } } }"#;
        assert!(demands_tls(&format!(r#"{{ "Statement": [{{ "Effect": "Allow" }}, {denial}] }}"#)));
        assert!(demands_tls(&format!(r#"{{ "Statement": {denial} }}"#)));
        for other in [denial.replace("Deny", "Allow"), denial.replace("false", "true"), "{}".to_owned()] {
            assert!(!demands_tls(&format!(r#"{{ "Statement": [{other}] }}"#)), "{other}");
        }
        assert!(!demands_tls("no JSON"));
    }
}
