//! Checks of the lifecycle rules of the bucket: objects must not expire while messages need them.

use aws_sdk_s3::types::{ExpirationStatus, LifecycleRule, TransitionStorageClass};

use crate::admin::{
    diagnosis::{Diagnosis, Problem, Resource, finding::Finding},
    provisioning::{bucket::is_for_everything, settings::ProvisioningSettings},
};

impl Diagnosis {
    /// Returns the findings about lifecycle rules. `days_min`: for how many days a payload may be
    /// needed, given the retention of the queues.
    pub(super) fn judge_rules(&self, rules: &[LifecycleRule], days_min: u64) -> Vec<Finding> {
        let rules: Vec<_> = rules.iter().filter(|rule| rule.status() == &ExpirationStatus::Enabled).collect();
        let name = |rule: &LifecycleRule| rule.id().unwrap_or("without a name").to_owned();
        let finding = |problem, text: String, fix: String| self.finding(problem, Resource::Bucket, text, fix);
        let days = days_min.max(ProvisioningSettings::default().expiry_days.into());
        let provision = self.provision(&format!(" --expiry-days {days}"));
        let mut findings = Vec::new();
        for rule in &rules {
            if let Some(when) = expires_early(rule, days_min) {
                let text = format!(
                    "lifecycle rule `{}` deletes objects {when}, but the retention of queues and dead-letter queues \
                     requires payloads for {days_min} days. A message whose payload has expired is treated as \
                     processed, so it is lost",
                    name(rule)
                );
                let fix = format!("remove the rule, or change it to at least {days_min} days; {provision}");
                findings.push(finding(Problem::LifecycleShort, text, fix));
            }
            if archives(rule) {
                let text = format!(
                    "lifecycle rule `{}` moves objects to an archive, from which Cloakroom cannot read them: their \
                     messages fail",
                    name(rule)
                );
                findings.push(finding(Problem::LifecycleArchives, text, "remove the rule".to_owned()));
            }
        }
        let expires = |rule: &&&LifecycleRule| {
            is_for_everything(rule) && rule.expiration().is_some_and(|when| when.days().is_some_and(|days| days > 0))
        };
        if !rules.iter().any(|rule| expires(&rule)) {
            let text = "no lifecycle rule lets all objects expire: the payloads of failed attempts and dedupe \
                        entries stay forever, and you pay for their storage";
            findings.push(finding(Problem::LifecycleMissing, text.to_owned(), provision));
        }
        findings
    }
}

/// When the rule deletes objects, or `None` if that is not too early.
fn expires_early(rule: &LifecycleRule, days_min: u64) -> Option<String> {
    let expiration = rule.expiration()?;
    if expiration.date().is_some() {
        return Some("on a date".to_owned());
    }
    let days = expiration.days().and_then(|days| u64::try_from(days).ok())?;
    (0 < days && days < days_min).then(|| format!("after {days} days"))
}

fn archives(rule: &LifecycleRule) -> bool {
    let archives = [TransitionStorageClass::Glacier, TransitionStorageClass::DeepArchive];
    let classes = rule.transitions().iter().filter_map(|transition| transition.storage_class());
    classes.into_iter().any(|class| archives.contains(class))
}
