//! When objects of the bucket expire, against how long messages need them.

use aws_sdk_s3::types::{ExpirationStatus, LifecycleRule, TransitionStorageClass};

use crate::admin::{
    diagnosis::{Diagnosis, Place, Problem, finding::Finding},
    provisioning::{bucket::is_for_everything, settings::ProvisioningSettings},
};

impl Diagnosis {
    /// `days_min`: how long a payload may be needed, by what the queues keep.
    pub(super) fn judge_rules(&self, rules: &[LifecycleRule], days_min: u64) -> Vec<Finding> {
        let rules: Vec<_> = rules.iter().filter(|rule| rule.status() == &ExpirationStatus::Enabled).collect();
        let name = |rule: &LifecycleRule| rule.id().unwrap_or("without a name").to_owned();
        let finding = |problem, text: String, fix: String| self.finding(problem, Place::Bucket, text, fix);
        let days = days_min.max(ProvisioningSettings::default().expiry_days.into());
        let provision = self.provision(&format!(" --expiry-days {days}"));
        let mut findings = Vec::new();
        for rule in &rules {
            if let Some(when) = expires_early(rule, days_min) {
                let text = format!(
                    "lifecycle rule `{}` removes objects {when}; queues and dead-letter queues keep messages so long \
                     that payloads are needed for {days_min} days, and a message whose payload is gone looks \
                     processed: it is lost",
                    name(rule)
                );
                let fix = format!("remove the rule, or change it to at least {days_min} days; {provision}");
                findings.push(finding(Problem::LifecycleShort, text, fix));
            }
            if archives(rule) {
                let text = format!(
                    "lifecycle rule `{}` moves objects to an archive, from where they cannot be read: their messages \
                     fail",
                    name(rule)
                );
                findings.push(finding(Problem::LifecycleArchives, text, "remove the rule".to_owned()));
            }
        }
        let expires = |rule: &&&LifecycleRule| {
            is_for_everything(rule) && rule.expiration().is_some_and(|when| when.days().is_some_and(|days| days > 0))
        };
        if !rules.iter().any(|rule| expires(&rule)) {
            let text = "no lifecycle rule lets all objects expire: the payloads of attempts that died, and dedupe \
                        entries, stay for ever and are paid for";
            findings.push(finding(Problem::LifecycleMissing, text.to_owned(), provision));
        }
        findings
    }
}

/// When the rule removes objects, if that is too early.
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
