//! Creation and update of the bucket.

use aws_sdk_s3::types::{
    AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, BucketLocationConstraint, BucketVersioningStatus,
    CreateBucketConfiguration, ExpirationStatus, LifecycleExpiration, LifecycleRule, LifecycleRuleFilter,
    PublicAccessBlockConfiguration,
};
use cloakroom::PortError;

use crate::{
    admin::{
        describe::{GET_RULES, GET_VERSIONING, HEAD, LIST},
        provisioning::{Provisioning, change::Change, planned::PayloadNeed},
    },
    client::failure::Operation,
    s3::payloads::{is_directory, target},
};

const CREATE: Operation = Operation::repeatedly("CreateBucket", "s3:CreateBucket");
const PUT_BLOCK: Operation = Operation::repeatedly("PutPublicAccessBlock", "s3:PutBucketPublicAccessBlock");
const PUT_RULES: Operation = Operation::repeatedly("PutBucketLifecycleConfiguration", "s3:PutLifecycleConfiguration");

/// The name of Cloakroom's lifecycle rule.
const RULE: &str = "cloakroom";
/// The setting that says when payloads expire.
const EXPIRY_FIELD: &str = "expiry_days";
/// Cloakroom never uploads in parts, so incomplete uploads are leftovers of another program.
const MULTIPART_DAYS: i32 = 7;

impl Provisioning {
    fn bucket(&self) -> &str {
        &self.aws.settings.bucket
    }

    fn bucket_error(&self, operation: &Operation, cause: String) -> PortError {
        PortError::new(operation.on(&target(self.bucket())), cause).without_effect().permanent()
    }

    /// Returns the changes to the bucket. `need` is the time for which payloads are needed.
    pub(super) async fn bucket_changes(&self, need: &PayloadNeed) -> Result<Vec<Change>, PortError> {
        let (bucket, days) = (self.bucket().to_owned(), self.settings.expiry_days);
        let block = Change::BlockPublicAccess { bucket: bucket.clone() };
        let expire = Change::ExpirePayloads { bucket: bucket.clone(), days };
        let (is_there, is_directory) = (self.aws.bucket().await?.is_some(), is_directory(&bucket));
        if !is_there && is_directory {
            let cause = "there is no such directory bucket: create it yourself, in the zone where its endpoints run; \
                         see the documentation of `S3Payloads`";
            return Err(self.bucket_error(&HEAD, cause.to_owned()));
        }
        if !is_there {
            need.check(&target(&bucket), EXPIRY_FIELD, days)?;
            return Ok(vec![Change::CreateBucket { bucket }, block, expire]);
        }
        let mut changes = Vec::new();
        // A directory bucket has no versions, and is never public.
        if !is_directory {
            self.check_versioning().await?;
            if !is_private(self.aws.public_access_block().await?.as_ref()) {
                changes.push(block);
            }
        }
        let rules = self.aws.lifecycle_rules().await?;
        self.check_other_rules(&rules, need)?;
        let rule = rules.iter().find(|rule| rule.id() == Some(RULE));
        need.check(&target(&bucket), EXPIRY_FIELD, days.max(rule.map_or(0, days_of)))?;
        match rule {
            // A longer expiry may be needed by other endpoints, which may share the bucket.
            Some(rule) if is_as_wanted(rule, days.max(days_of(rule))) => {}
            Some(_) => changes.push(expire),
            None => {
                self.check_other_objects().await?;
                changes.push(expire);
            }
        }
        Ok(changes)
    }

    /// Refuses a bucket with versioning, which keeps versions or delete markers of all deleted
    /// payloads.
    async fn check_versioning(&self) -> Result<(), PortError> {
        // With suspended versioning nothing new is kept. The diagnosis reports what it leaves.
        let enabled = |status: &BucketVersioningStatus| *status != BucketVersioningStatus::Suspended;
        let Some(status) = self.aws.versioning().await?.filter(enabled) else { return Ok(()) };
        let cause = format!(
            "versioning is {status}, so deleted payloads leave delete markers and versions; use another bucket"
        );
        Err(self.bucket_error(&GET_VERSIONING, cause))
    }

    /// Refuses other rules that let objects expire sooner. A message whose payload has expired is
    /// treated as processed.
    fn check_other_rules(&self, rules: &[LifecycleRule], need: &PayloadNeed) -> Result<(), PortError> {
        let days_min = need.days.max(self.settings.expiry_days.into());
        let days_min = i32::try_from(days_min).unwrap_or(i32::MAX);
        let too_early = rules.iter().find(|rule| {
            let expiration = rule.expiration();
            let early = |e: &LifecycleExpiration| e.date().is_some() || e.days().is_some_and(|days| days < days_min);
            rule.id() != Some(RULE) && rule.status() == &ExpirationStatus::Enabled && expiration.is_some_and(early)
        });
        let Some(rule) = too_early else { return Ok(()) };
        let cause = format!(
            "lifecycle rule `{}` deletes objects before they are {days_min} days old, which loses messages; remove the \
             rule, or use another bucket",
            rule.id().unwrap_or_default()
        );
        Err(self.bucket_error(&GET_RULES, cause))
    }

    /// Refuses a bucket if its first thousand objects contain one of another application: it would
    /// expire, too.
    async fn check_other_objects(&self) -> Result<(), PortError> {
        let Some(key) = self.aws.foreign_object().await? else { return Ok(()) };
        let cause = format!(
            "object `{key}` does not belong to Cloakroom, and all objects in the bucket expire; use another bucket"
        );
        Err(self.bucket_error(&LIST, cause))
    }

    pub(super) async fn create_bucket(&self) -> Result<(), PortError> {
        // S3 refuses the region `us-east-1` as a location constraint.
        let region = self.aws.s3.config().region().map(AsRef::as_ref).filter(|region| *region != "us-east-1");
        let location = region.map(|region| {
            let constraint = BucketLocationConstraint::from(region);
            CreateBucketConfiguration::builder().location_constraint(constraint).build()
        });
        let create = self.aws.s3.create_bucket().bucket(self.bucket()).set_create_bucket_configuration(location);
        create.send().await.map_err(|error| CREATE.failed(&target(self.bucket()), error))?;
        Ok(())
    }

    pub(super) async fn block_public_access(&self) -> Result<(), PortError> {
        let put = self.aws.s3.put_public_access_block().bucket(self.bucket());
        let put = put.public_access_block_configuration(all_blocked());
        put.send().await.map_err(|error| PUT_BLOCK.failed(&target(self.bucket()), error))?;
        Ok(())
    }

    pub(super) async fn expire_payloads(&self) -> Result<(), PortError> {
        // S3 only sets all rules together, so the other rules are written back unchanged.
        let mut rules = self.aws.lifecycle_rules().await?;
        let days = rules.iter().filter(|rule| rule.id() == Some(RULE)).map(days_of).max().unwrap_or(0);
        rules.retain(|rule| rule.id() != Some(RULE));
        rules.push(wanted_rule(days.max(self.settings.expiry_days)));
        let rules = BucketLifecycleConfiguration::builder().set_rules(Some(rules)).build().expect("rules are set");
        let put = self.aws.s3.put_bucket_lifecycle_configuration().bucket(self.bucket());
        let put = put.lifecycle_configuration(rules);
        put.send().await.map_err(|error| PUT_RULES.failed(&target(self.bucket()), error))?;
        Ok(())
    }
}

/// Whether all four blocks of public access are on.
pub(crate) fn is_private(block: Option<&PublicAccessBlockConfiguration>) -> bool {
    block == Some(&all_blocked())
}

fn all_blocked() -> PublicAccessBlockConfiguration {
    PublicAccessBlockConfiguration::builder()
        .block_public_acls(true)
        .ignore_public_acls(true)
        .block_public_policy(true)
        .restrict_public_buckets(true)
        .build()
}

fn wanted_rule(days: u32) -> LifecycleRule {
    let days = i32::try_from(days).unwrap_or(i32::MAX);
    let parts = AbortIncompleteMultipartUpload::builder().days_after_initiation(MULTIPART_DAYS).build();
    LifecycleRule::builder()
        .id(RULE)
        .status(ExpirationStatus::Enabled)
        .filter(LifecycleRuleFilter::builder().prefix("").build())
        .expiration(LifecycleExpiration::builder().days(days).build())
        .abort_incomplete_multipart_upload(parts)
        .build()
        .expect("the status is set")
}

/// After how many days the rule lets objects expire, or 0 if it does not.
fn days_of(rule: &LifecycleRule) -> u32 {
    let days = rule.expiration().and_then(LifecycleExpiration::days).unwrap_or(0);
    u32::try_from(days).unwrap_or(0)
}

/// Whether the rule has the same effect as the wanted one.
fn is_as_wanted(rule: &LifecycleRule, days: u32) -> bool {
    let wanted = wanted_rule(days);
    is_for_everything(rule)
        && rule.status() == wanted.status()
        && rule.expiration().and_then(LifecycleExpiration::days)
            == wanted.expiration().and_then(LifecycleExpiration::days)
        && rule.abort_incomplete_multipart_upload() == wanted.abort_incomplete_multipart_upload()
}

/// Whether the rule applies to all objects. Services write such a filter in several ways.
#[expect(deprecated, reason = "older rules have a prefix outside of a filter")]
pub(crate) fn is_for_everything(rule: &LifecycleRule) -> bool {
    rule.prefix().is_none_or(str::is_empty)
        && rule.filter().is_none_or(|filter| {
            filter.prefix().is_none_or(str::is_empty)
                && filter.tag().is_none()
                && filter.and().is_none()
                && filter.object_size_greater_than().is_none()
                && filter.object_size_less_than().is_none()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lifecycle_rule_with_another_filter_or_status_is_not_the_wanted_one() {
        assert!(is_as_wanted(&wanted_rule(45), 45));
        assert!(!is_as_wanted(&wanted_rule(44), 45));
        let rule = |filter| {
            let mut rule = wanted_rule(45);
            rule.filter = filter;
            rule
        };
        assert!(is_as_wanted(&rule(None), 45));
        assert!(!is_as_wanted(&rule(Some(LifecycleRuleFilter::builder().prefix("a").build())), 45));
        assert!(!is_as_wanted(&rule(Some(LifecycleRuleFilter::builder().object_size_less_than(9).build())), 45));
        let mut disabled = wanted_rule(45);
        disabled.status = ExpirationStatus::Disabled;
        assert!(!is_as_wanted(&disabled, 45));
    }
}
