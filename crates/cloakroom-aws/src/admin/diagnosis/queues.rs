//! Queues and their dead-letter queues.

use aws_sdk_sqs::types::QueueAttributeName as Name;
use cloakroom::{PortError, engine::parking::dead_letter_queue, ports::fifo::is_fifo};
use futures::{StreamExt as _, stream};
use serde_json::Value;

use crate::admin::{
    describe::QueueAttributes,
    diagnosis::{Diagnosis, Place, Problem, finding::Finding},
    provisioning::{
        planned::RedrivePolicy,
        settings::{ProvisioningSettings, RECEIVES_MAX, receives_max_min, receives_proposed, why_receives},
    },
};

/// Queues that are looked at at a time.
pub(super) const QUEUES_AT_ONCE: usize = 8;
/// The longest that SQS keeps a message for one receiver: 12 hours.
const LEASE_S_MAX: u32 = 43_200;
/// What Lambda wants the visibility timeout to be, in timeouts of the function.
const TIMEOUTS: u32 = 6;
/// The fewest receives that a FIFO queue should allow a message.
const FIFO_RECEIVES_MIN: u32 = 100;

type Look = Result<Option<QueueAttributes>, PortError>;

/// A queue and its dead-letter queue, by their names in SQS.
pub(super) struct QueueLook {
    /// The queue by the name that endpoints and routes use.
    queue: String,
    name: String,
    attributes: Look,
    dead_letters: String,
    dead_letter_attributes: Look,
}

/// For how many days a payload may be needed at most, by what the queues really keep.
pub(super) fn expiry_days_min(queues: &[QueueLook]) -> u64 {
    let retention = |look: &Look| number(look.as_ref().ok()?.as_ref()?, &Name::MessageRetentionPeriod);
    let ProvisioningSettings { retention_s, dead_letter_retention_s, .. } = ProvisioningSettings::default();
    let days = queues.iter().map(|queue| {
        let kept_s = retention(&queue.attributes).unwrap_or(retention_s);
        crate::settings::expiry_days_min(
            kept_s,
            retention(&queue.dead_letter_attributes).unwrap_or(dead_letter_retention_s),
        )
    });
    // A queue that is not looked at may be there all the same: then the defaults.
    days.max().unwrap_or_else(|| crate::settings::expiry_days_min(retention_s, dead_letter_retention_s))
}

impl Diagnosis {
    pub(super) async fn look_at_queues(&self) -> Vec<QueueLook> {
        let look = |queue: String| async move {
            let full_name = |name: &str| self.aws.settings.queues.full_name(name);
            let (name, dead_letters) = (full_name(&queue), full_name(&dead_letter_queue(&queue)));
            let (attributes, dead_letter_attributes) =
                futures::join!(self.aws.queue_attributes(&name), self.aws.queue_attributes(&dead_letters));
            QueueLook { queue, name, attributes, dead_letters, dead_letter_attributes }
        };
        stream::iter(self.settings.queues.clone()).map(look).buffered(QUEUES_AT_ONCE).collect().await
    }

    pub(super) fn queue_findings(&self, looks: Vec<QueueLook>) -> Vec<Finding> {
        looks.into_iter().flat_map(|look| self.judge_pair(look)).collect()
    }

    fn judge_pair(&self, look: QueueLook) -> Vec<Finding> {
        let QueueLook { queue, name, attributes, dead_letters, dead_letter_attributes } = look;
        let (place, dead) = (Place::Queue(&name), Place::Queue(&dead_letters));
        let mut findings = Vec::new();
        let found = self.told(place, attributes, &mut findings);
        let dead_found = self.told(dead, dead_letter_attributes, &mut findings);
        match &found {
            Some(Some(found)) => {
                findings.extend(self.judge_redrive(&queue, &name, &dead_letters, found));
                findings.extend(self.judge_visibility(&queue, place, found));
                findings.extend(self.judge_messages(place, found));
            }
            Some(None) => findings.push(self.missing(place)),
            None => {}
        }
        match &dead_found {
            Some(Some(dead_found)) => {
                findings.extend(self.judge_dead_letters(&name, &dead_letters, dead_found));
                findings.extend(self.judge_messages(dead, dead_found).into_iter().filter(is_about_all));
            }
            Some(None) => {
                let text = format!("the dead-letter queue of `{name}` is not there: workers do not start without it");
                findings.push(self.finding(Problem::DeadLetterQueueMissing, dead, text, self.provision("")));
            }
            None => {}
        }
        if let (Some(Some(found)), Some(Some(dead_found))) = (&found, &dead_found) {
            findings.extend(self.judge_retention(&queue, &name, dead, (found, dead_found)));
        }
        findings
    }

    fn judge_redrive(&self, queue: &str, name: &str, dead_letters: &str, found: &QueueAttributes) -> Vec<Finding> {
        let finding = |problem, text: String, fix: String| self.finding(problem, Place::Queue(name), text, fix);
        let policy = found.get(&Name::RedrivePolicy).and_then(|text| serde_json::from_str::<RedrivePolicy>(text).ok());
        let Some(policy) = policy else {
            let text = "SQS moves no message to a dead-letter queue: one that kills its worker each time goes round \
                        until it is too old, and is then deleted";
            return vec![finding(Problem::RedriveMissing, text.to_owned(), self.provision(""))];
        };
        let mut findings = Vec::new();
        if policy.queue() != dead_letters {
            let text = format!(
                "SQS moves dead letters to `{}`, Cloakroom to `{dead_letters}`: whoever looks after one misses the \
                 others",
                policy.queue()
            );
            findings.push(finding(Problem::RedriveElsewhere, text, self.provision("")));
        }
        findings.extend(self.judge_receives(queue, name, &policy.receives()));
        findings
    }

    /// Whether SQS leaves messages to the workers.
    pub(super) fn judge_receives(&self, queue: &str, name: &str, receives: &str) -> Option<Finding> {
        let attempts = self.settings.attempts_max;
        let number = receives.parse::<u32>().unwrap_or(0);
        let why = if number < receives_max_min(attempts) {
            why_receives(attempts)
        } else if is_fifo(queue) && number < FIFO_RECEIVES_MIN {
            format!(
                "on a FIFO queue a message that goes back takes those of its group with it that were received behind \
                 it, which uses up a receive of each, and none is replaced by a copy; SQS takes up to {RECEIVES_MAX}"
            )
        } else {
            return None;
        };
        let text = format!("SQS moves a message after {receives} receives: {why}");
        let fix = self.provision_queue(queue, &format!(" --receives-max {}", receives_proposed(queue, attempts)));
        Some(self.finding(Problem::ReceivesLow, Place::Queue(name), text, fix))
    }

    fn judge_visibility(&self, queue: &str, place: Place<'_>, found: &QueueAttributes) -> Option<Finding> {
        let Some(timeout) = self.settings.lambda_timeout_s else { return self.judge_attempt(place) };
        let visibility = number(found, &Name::VisibilityTimeout)?;
        let wanted = timeout.saturating_mul(TIMEOUTS);
        let fix = self.provision_queue(queue, &format!(" --visibility-s {wanted}"));
        let told = format!("its messages come again after {visibility} seconds, and the function may take {timeout}");
        if visibility < timeout {
            let text =
                format!("{told}: Lambda refuses such a queue, and other receivers get messages that are in work");
            return Some(self.finding(Problem::VisibilityShort, place, text, fix));
        }
        let text = format!("{told}: Lambda wants six times that, {wanted}, to retry when it is throttled");
        (visibility < wanted).then(|| self.finding(Problem::VisibilityTight, place, text, fix))
    }

    /// Workers extend leases themselves, but not for ever.
    fn judge_attempt(&self, place: Place<'_>) -> Option<Finding> {
        let attempt_s = self.settings.attempt_s_max;
        let text = format!(
            "an attempt may take {attempt_s} seconds; SQS ends every lease {LEASE_S_MAX} seconds after the receive, \
             and gives the message to another"
        );
        let fix = format!("set `attempt_ms_max` of the worker below {}", u64::from(LEASE_S_MAX) * 1000);
        (attempt_s > LEASE_S_MAX).then(|| self.finding(Problem::AttemptLong, place, text, fix))
    }

    fn judge_messages(&self, place: Place<'_>, found: &QueueAttributes) -> Vec<Finding> {
        let finding = |problem, text: String, fix: &str| self.finding(problem, place, text, fix);
        let mut findings = Vec::new();
        let (size, limit) = (number(found, &Name::MaximumMessageSize), self.aws.settings.limits.message_bytes_max);
        if let Some(size) = size.filter(|size| (*size as usize) < limit) {
            let text = format!(
                "it takes messages of {size} bytes, and endpoints send up to {limit}: a larger one fails only when SQS \
                 is asked"
            );
            let fix =
                format!("set `limits.message_bytes_max` to {size}, or the queue's `MaximumMessageSize` to {limit}");
            findings.push(finding(Problem::MessageSize, text, &fix));
        }
        if let Some(delay) = number(found, &Name::DelaySeconds).filter(|delay| *delay > 0) {
            let text = format!("every message waits {delay} seconds before anybody sees it");
            findings.push(finding(Problem::QueueDelays, text, "set `DelaySeconds` to 0, unless it is wanted"));
        }
        let has = |name: &Name, value: &str| found.get(name).is_some_and(|found| found == value);
        if let Some(key) = found.get(&Name::KmsMasterKeyId).filter(|key| !key.is_empty()) {
            let text = format!("messages are encrypted with KMS key `{key}`: endpoints need it as much as the queue");
            let fix = "allow `kms:GenerateDataKey` and `kms:Decrypt` on the key to every endpoint";
            findings.push(finding(Problem::QueueKms, text, fix));
        } else if has(&Name::SqsManagedSseEnabled, "false") {
            let text = "messages are not encrypted at rest; what is in them is in the envelope: keys, ids and types";
            findings.push(finding(Problem::QueuePlain, text.to_owned(), "set `SqsManagedSseEnabled` to true"));
        }
        if has(&Name::FifoQueue, "true") && !has(&Name::FifoThroughputLimit, "perMessageGroupId") {
            let text =
                "all partitions together get 300 calls a second: a FIFO queue with high throughput gives each its own";
            let fix = "set `DeduplicationScope` to messageGroup and `FifoThroughputLimit` to perMessageGroupId";
            findings.push(finding(Problem::FifoSlow, text.to_owned(), fix));
        }
        findings
    }

    fn judge_dead_letters(&self, name: &str, dead_letters: &str, found: &QueueAttributes) -> Vec<Finding> {
        let place = Place::Queue(dead_letters);
        let mut findings = Vec::new();
        let counts = [
            Name::ApproximateNumberOfMessages,
            Name::ApproximateNumberOfMessagesNotVisible,
            Name::ApproximateNumberOfMessagesDelayed,
        ];
        let count: u32 = counts.iter().filter_map(|count| number(found, count)).sum();
        if count > 0 {
            let text = format!("about {count} dead letters wait for somebody to decide; what is too old is deleted");
            let fix = "`cloakroom dlq list` says why they are there";
            findings.push(self.finding(Problem::DeadLetters, place, text, fix));
        }
        if let Some(policy) = found.get(&Name::RedriveAllowPolicy).filter(|policy| !allows(policy, name)) {
            let text = format!("it does not take dead letters from `{name}`: its redrive allow policy is {policy}");
            let fix = "set `RedriveAllowPolicy` to {\"redrivePermission\":\"allowAll\"}, or name the queue in it";
            findings.push(self.finding(Problem::RedriveRefused, place, text, fix));
        }
        findings
    }

    fn judge_retention(
        &self,
        queue: &str,
        name: &str,
        dead: Place<'_>,
        (found, dead_found): (&QueueAttributes, &QueueAttributes),
    ) -> Option<Finding> {
        let kept = number(found, &Name::MessageRetentionPeriod)?;
        let dead_kept = number(dead_found, &Name::MessageRetentionPeriod).filter(|dead_kept| *dead_kept < kept)?;
        let text = format!(
            "dead letters are deleted {dead_kept} seconds after they were first sent, and messages of `{name}` after \
             {kept}: one that dies late is lost at once"
        );
        let ProvisioningSettings { dead_letter_retention_s, expiry_days, .. } = ProvisioningSettings::default();
        let days = crate::settings::expiry_days_min(kept, dead_letter_retention_s).max(expiry_days.into());
        let fix = self.provision_queue(queue, &format!(" --retention-s {kept} --expiry-days {days}"));
        Some(self.finding(Problem::DeadLetterRetentionShort, dead, text, fix))
    }
}

/// Whether a finding matters for dead letters, too. What is true of the queue is as true of its dead-letter queue, and
/// told once; but dead letters are as large as the others, and nobody may see them late.
fn is_about_all(finding: &Finding) -> bool {
    matches!(finding.problem, Problem::MessageSize | Problem::QueueKms | Problem::QueuePlain)
}

fn number(found: &QueueAttributes, name: &Name) -> Option<u32> {
    found.get(name)?.parse().ok()
}

/// Whether a redrive allow policy lets this queue use the dead-letter queue.
fn allows(policy: &str, name: &str) -> bool {
    let Ok(policy) = serde_json::from_str::<Value>(policy) else { return true };
    match policy["redrivePermission"].as_str() {
        Some("denyAll") => false,
        Some("byQueue") => {
            let sources = policy["sourceQueueArns"].as_array().map(Vec::as_slice).unwrap_or_default();
            let names = sources.iter().filter_map(Value::as_str).filter_map(|arn| arn.rsplit(':').next());
            names.into_iter().any(|source| source == name)
        }
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redrive_allow_policy_names_its_queues() {
        let by = |arn: &str| format!(r#"{{ "redrivePermission": "byQueue", "sourceQueueArns": ["{arn}"] }}"#);
        assert!(allows(&by("arn:aws:sqs:us-east-1:1:orders"), "orders"));
        assert!(!allows(&by("arn:aws:sqs:us-east-1:1:stock"), "orders"));
        assert!(allows(r#"{ "redrivePermission": "allowAll" }"#, "orders"));
        assert!(!allows(r#"{ "redrivePermission": "denyAll" }"#, "orders"));
    }
}
