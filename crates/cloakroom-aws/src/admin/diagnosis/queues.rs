//! Checks of the queues and their dead-letter queues.

use aws_sdk_sqs::types::QueueAttributeName as Name;
use cloakroom::{PortError, engine::parking::dead_letter_queue, ports::fifo::is_fifo};
use futures::{StreamExt as _, stream};
use serde_json::Value;

use crate::admin::{
    describe::QueueAttributes,
    diagnosis::{Diagnosis, Problem, Resource, finding::Finding},
    provisioning::{
        planned::RedrivePolicy,
        settings::{ProvisioningSettings, RECEIVES_MAX, receives_max_min, receives_proposed, why_receives},
    },
};

/// The number of queues that are checked at the same time.
pub(super) const QUEUES_AT_ONCE: usize = 8;
/// The longest visibility timeout that SQS allows: 12 hours.
const VISIBILITY_S_MAX: u32 = 43_200;
/// The visibility timeout that Lambda recommends, in timeouts of the function.
const FUNCTION_TIMEOUTS: u32 = 6;
/// The lowest `maxReceiveCount` that a FIFO queue should have.
const FIFO_RECEIVES_MIN: u32 = 100;

type Answer = Result<Option<QueueAttributes>, PortError>;

/// The attributes of a queue and of its dead-letter queue.
pub(super) struct QueueAnswers {
    /// The name that endpoints and routes use. The other names are those in SQS.
    queue: String,
    name: String,
    attributes: Answer,
    dead_letters: String,
    dead_letter_attributes: Answer,
}

/// For how many days a payload may be needed at most, given the actual retention of the queues.
pub(super) fn expiry_days_min(queues: &[QueueAnswers]) -> u64 {
    let retention = |answers: &Answer| number(answers.as_ref().ok()?.as_ref()?, &Name::MessageRetentionPeriod);
    let ProvisioningSettings { retention_s, dead_letter_retention_s, .. } = ProvisioningSettings::default();
    let days = queues.iter().map(|queue| {
        let kept_s = retention(&queue.attributes).unwrap_or(retention_s);
        crate::settings::expiry_days_min(
            kept_s,
            retention(&queue.dead_letter_attributes).unwrap_or(dead_letter_retention_s),
        )
    });
    // Without queues to check, there may still be queues that use the bucket: assume the defaults.
    days.max().unwrap_or_else(|| crate::settings::expiry_days_min(retention_s, dead_letter_retention_s))
}

impl Diagnosis {
    pub(super) async fn queue_answers(&self) -> Vec<QueueAnswers> {
        let ask = |queue: String| async move {
            let full_name = |name: &str| self.aws.settings.queues.full_name(name);
            let (name, dead_letters) = (full_name(&queue), full_name(&dead_letter_queue(&queue)));
            let (attributes, dead_letter_attributes) =
                futures::join!(self.aws.queue_attributes(&name), self.aws.queue_attributes(&dead_letters));
            QueueAnswers { queue, name, attributes, dead_letters, dead_letter_attributes }
        };
        stream::iter(self.settings.queues.clone()).map(ask).buffered(QUEUES_AT_ONCE).collect().await
    }

    pub(super) fn queue_findings(&self, queues: Vec<QueueAnswers>) -> Vec<Finding> {
        queues.into_iter().flat_map(|answers| self.judge_pair(answers)).collect()
    }

    fn judge_pair(&self, answers: QueueAnswers) -> Vec<Finding> {
        let QueueAnswers { queue, name, attributes, dead_letters, dead_letter_attributes } = answers;
        let (resource, dead) = (Resource::Queue(&name), Resource::Queue(&dead_letters));
        let mut findings = Vec::new();
        let found = self.answer_of(resource, attributes, &mut findings);
        let dead_found = self.answer_of(dead, dead_letter_attributes, &mut findings);
        match &found {
            Some(Some(found)) => {
                findings.extend(self.judge_redrive(&queue, &name, &dead_letters, found));
                findings.extend(self.judge_visibility(&queue, resource, found));
                findings.extend(self.judge_messages(resource, found));
            }
            Some(None) => findings.push(self.missing(resource)),
            None => {}
        }
        match &dead_found {
            Some(Some(dead_found)) => {
                findings.extend(self.judge_dead_letters(&name, &dead_letters, dead_found));
                findings.extend(self.judge_messages(dead, dead_found).into_iter().filter(is_about_all));
            }
            Some(None) => {
                let text = format!("the dead-letter queue of `{name}` does not exist: workers do not start without it");
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
        let finding = |problem, text: String, fix: String| self.finding(problem, Resource::Queue(name), text, fix);
        let policy = found.get(&Name::RedrivePolicy).and_then(|text| serde_json::from_str::<RedrivePolicy>(text).ok());
        let Some(policy) = policy else {
            let text = "SQS moves no message to a dead-letter queue: a message that crashes its worker is received \
                        again and again until its retention ends, and is then deleted";
            return vec![finding(Problem::RedriveMissing, text.to_owned(), self.provision(""))];
        };
        let mut findings = Vec::new();
        if policy.queue() != dead_letters {
            let text = format!(
                "SQS moves dead letters to `{}`, Cloakroom moves them to `{dead_letters}`: operators have to watch \
                 both",
                policy.queue()
            );
            findings.push(finding(Problem::RedriveElsewhere, text, self.provision("")));
        }
        findings.extend(self.judge_receives(queue, name, &policy.receives()));
        findings
    }

    /// Returns a finding if SQS may move a message before a worker can park it or replace it by a
    /// copy.
    pub(super) fn judge_receives(&self, queue: &str, name: &str, receives: &str) -> Option<Finding> {
        let attempts = self.settings.attempts_max;
        let number = receives.parse::<u32>().unwrap_or(0);
        let why = if number < receives_max_min(attempts) {
            why_receives(attempts)
        } else if is_fifo(queue) && number < FIFO_RECEIVES_MIN {
            format!(
                "on a FIFO queue, a message that is given back also takes back the later messages of its group. \
                 That uses up a receive of each, and no message is replaced by a copy. SQS allows up to {RECEIVES_MAX}"
            )
        } else {
            return None;
        };
        let text = format!("SQS moves a message to the dead-letter queue after {receives} receives: {why}");
        let fix = self.provision_queue(queue, &format!(" --receives-max {}", receives_proposed(queue, attempts)));
        Some(self.finding(Problem::ReceivesLow, Resource::Queue(name), text, fix))
    }

    fn judge_visibility(&self, queue: &str, resource: Resource<'_>, found: &QueueAttributes) -> Option<Finding> {
        let Some(timeout) = self.settings.lambda_timeout_s else { return self.judge_attempt(resource) };
        let visibility = number(found, &Name::VisibilityTimeout)?;
        let wanted = timeout.saturating_mul(FUNCTION_TIMEOUTS);
        let fix = self.provision_queue(queue, &format!(" --visibility-s {wanted}"));
        let times = format!("the visibility timeout is {visibility} seconds, and the function may run for {timeout}");
        if visibility < timeout {
            let text = format!("{times}: Lambda refuses such a queue, and messages reappear while they are processed");
            return Some(self.finding(Problem::VisibilityShort, resource, text, fix));
        }
        let text = format!("{times}: Lambda needs six times that, {wanted}, so that it can retry when it is throttled");
        (visibility < wanted).then(|| self.finding(Problem::VisibilityTight, resource, text, fix))
    }

    /// Workers extend visibility timeouts themselves, but not without limit.
    fn judge_attempt(&self, resource: Resource<'_>) -> Option<Finding> {
        let attempt_s = self.settings.attempt_s_max;
        let text = format!(
            "an attempt may take {attempt_s} seconds; SQS ends every visibility timeout {VISIBILITY_S_MAX} seconds \
             after the receive, and another worker receives the message"
        );
        let fix = format!("set `attempt_ms_max` of the worker below {}", u64::from(VISIBILITY_S_MAX) * 1000);
        (attempt_s > VISIBILITY_S_MAX).then(|| self.finding(Problem::AttemptLong, resource, text, fix))
    }

    fn judge_messages(&self, resource: Resource<'_>, found: &QueueAttributes) -> Vec<Finding> {
        let finding = |problem, text: String, fix: &str| self.finding(problem, resource, text, fix);
        let mut findings = Vec::new();
        let (size, limit) = (number(found, &Name::MaximumMessageSize), self.aws.settings.limits.message_bytes_max);
        if let Some(size) = size.filter(|size| (*size as usize) < limit) {
            let text = format!(
                "the queue takes messages up to {size} bytes, but endpoints may send up to {limit}: a larger message \
                 fails after the commit, when it is sent"
            );
            let fix =
                format!("set `limits.message_bytes_max` to {size}, or the queue's `MaximumMessageSize` to {limit}");
            findings.push(finding(Problem::MessageSize, text, &fix));
        }
        if let Some(delay) = number(found, &Name::DelaySeconds).filter(|delay| *delay > 0) {
            let text = format!("every message waits {delay} seconds before it can be received");
            findings.push(finding(Problem::QueueDelays, text, "set `DelaySeconds` to 0, unless the delay is intended"));
        }
        let has = |name: &Name, value: &str| found.get(name).is_some_and(|found| found == value);
        if let Some(key) = found.get(&Name::KmsMasterKeyId).filter(|key| !key.is_empty()) {
            let text =
                format!("messages are encrypted with KMS key `{key}`, so endpoints need permission for the key, too");
            let fix = "allow `kms:GenerateDataKey` and `kms:Decrypt` on the key to every endpoint";
            findings.push(finding(Problem::QueueKms, text, fix));
        } else if has(&Name::SqsManagedSseEnabled, "false") {
            let text = "messages are not encrypted at rest; they contain the keys, ids and types of the envelope";
            findings.push(finding(Problem::QueuePlain, text.to_owned(), "set `SqsManagedSseEnabled` to true"));
        }
        if has(&Name::FifoQueue, "true") && !has(&Name::FifoThroughputLimit, "perMessageGroupId") {
            let text = "the queue allows 300 calls a second for all partitions; with high throughput each partition \
                        has a limit of its own";
            let fix = "set `DeduplicationScope` to messageGroup and `FifoThroughputLimit` to perMessageGroupId";
            findings.push(finding(Problem::FifoSlow, text.to_owned(), fix));
        }
        findings
    }

    fn judge_dead_letters(&self, name: &str, dead_letters: &str, found: &QueueAttributes) -> Vec<Finding> {
        let resource = Resource::Queue(dead_letters);
        let mut findings = Vec::new();
        let counts = [
            Name::ApproximateNumberOfMessages,
            Name::ApproximateNumberOfMessagesNotVisible,
            Name::ApproximateNumberOfMessagesDelayed,
        ];
        let count: u32 = counts.iter().filter_map(|count| number(found, count)).sum();
        if count > 0 {
            let text = format!(
                "about {count} dead letters wait for an operator; SQS deletes each of them when its retention ends"
            );
            let fix = "`cloakroom dlq list` shows the reason for each of them";
            findings.push(self.finding(Problem::DeadLetters, resource, text, fix));
        }
        if let Some(policy) = found.get(&Name::RedriveAllowPolicy).filter(|policy| !allows(policy, name)) {
            let text = format!(
                "the dead-letter queue does not accept messages from `{name}`: its redrive allow policy is {policy}"
            );
            let fix = "set `RedriveAllowPolicy` to {\"redrivePermission\":\"allowAll\"}, or name the queue in it";
            findings.push(self.finding(Problem::RedriveRefused, resource, text, fix));
        }
        findings
    }

    fn judge_retention(
        &self,
        queue: &str,
        name: &str,
        dead: Resource<'_>,
        (found, dead_found): (&QueueAttributes, &QueueAttributes),
    ) -> Option<Finding> {
        let kept = number(found, &Name::MessageRetentionPeriod)?;
        let dead_kept = number(dead_found, &Name::MessageRetentionPeriod).filter(|dead_kept| *dead_kept < kept)?;
        let text = format!(
            "dead letters are deleted {dead_kept} seconds after they were first sent, and messages of `{name}` after \
             {kept}: a message that is moved late is deleted at once"
        );
        let ProvisioningSettings { dead_letter_retention_s, expiry_days, .. } = ProvisioningSettings::default();
        let days = crate::settings::expiry_days_min(kept, dead_letter_retention_s).max(expiry_days.into());
        let fix = self.provision_queue(queue, &format!(" --retention-s {kept} --expiry-days {days}"));
        Some(self.finding(Problem::DeadLetterRetentionShort, dead, text, fix))
    }
}

/// Whether a finding about a dead-letter queue is reported as well. Other problems of the queue
/// concern its dead-letter queue in the same way and are reported once. But dead letters are as
/// large as other messages, and need the same protection.
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
    fn redrive_allow_policy_admits_only_the_queues_that_it_names() {
        let by = |arn: &str| format!(r#"{{ "redrivePermission": "byQueue", "sourceQueueArns": ["{arn}"] }}"#);
        assert!(allows(&by("arn:aws:sqs:us-east-1:1:orders"), "orders"));
        assert!(!allows(&by("arn:aws:sqs:us-east-1:1:stock"), "orders"));
        assert!(allows(r#"{ "redrivePermission": "allowAll" }"#, "orders"));
        assert!(!allows(r#"{ "redrivePermission": "denyAll" }"#, "orders"));
    }
}
