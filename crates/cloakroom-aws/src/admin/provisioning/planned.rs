//! Comparison of the wanted queues with the existing ones.

use std::collections::BTreeMap;

use aws_sdk_sqs::types::QueueAttributeName;
use cloakroom::PortError;
use serde::{Deserialize, Serialize};

use crate::{
    admin::{
        describe::QueueAttributes,
        provisioning::change::{AttributeChange, Change},
    },
    settings::expiry_days_min,
};

/// The wanted value of a numeric queue attribute.
#[derive(Clone, Copy)]
pub(super) enum Number {
    /// The caller has set this number.
    Exactly(u32),
    /// A default. A larger number of an existing queue stays.
    AtLeast(u32),
}

impl Number {
    pub(super) fn new(given: Option<u32>, default: u32) -> Self {
        given.map_or(Self::AtLeast(default), Self::Exactly)
    }

    /// Returns the number to set on a queue that has `found`.
    ///
    /// SUBTLE: SQS deletes messages that are older than a new retention, so a retention is never
    /// shortened (`a_retention_is_never_made_shorter`). A queue may have a long visibility timeout
    /// for its function, or a large `maxReceiveCount` for its endpoint, which these settings do not
    /// name. A default must not lower them (`default_settings_do_not_lower_values_of_an_existing_queue`).
    fn for_queue_with(self, found: Option<u32>) -> u32 {
        match self {
            Self::Exactly(number) => number,
            Self::AtLeast(least) => found.map_or(least, |found| found.max(least)),
        }
    }
}

/// A queue as the settings want it.
pub(super) struct WantedQueue {
    /// The name in SQS.
    pub(super) name: String,
    pub(super) visibility_s: Number,
    pub(super) retention_s: Number,
    /// The name of its dead-letter queue in SQS, and the `maxReceiveCount`.
    pub(super) redrive: Option<(String, Number)>,
}

/// A wanted queue and its current attributes.
pub(super) struct PlannedQueue {
    pub(super) wanted: WantedQueue,
    /// `None` if the queue does not exist.
    pub(super) found: Option<QueueAttributes>,
}

/// For how many days payloads are needed.
#[derive(Debug, Default)]
pub(super) struct PayloadNeed {
    pub(super) days: u64,
    /// The name in SQS of the queue whose messages need them for that time.
    queue: String,
}

/// The attribute `RedrivePolicy`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RedrivePolicy {
    dead_letter_target_arn: String,
    /// SQS accepts a number and a string, and returns either.
    max_receive_count: serde_json::Value,
}

impl RedrivePolicy {
    pub(super) fn new(arn: String, receives_max: u32) -> Self {
        Self { dead_letter_target_arn: arn, max_receive_count: receives_max.into() }
    }

    /// The name of the dead-letter queue in SQS.
    pub(crate) fn queue(&self) -> &str {
        self.dead_letter_target_arn.rsplit(':').next().unwrap_or_default()
    }

    /// The number of receives after which SQS moves a message there.
    pub(crate) fn receives(&self) -> String {
        self.max_receive_count.to_string().trim_matches('"').to_owned()
    }
}

fn redrive_policy(found: &QueueAttributes) -> Option<RedrivePolicy> {
    serde_json::from_str(found.get(&QueueAttributeName::RedrivePolicy)?).ok()
}

fn number(found: &QueueAttributes, name: &QueueAttributeName) -> Option<u32> {
    found.get(name)?.parse().ok()
}

fn redrive_text(queue: &str, receives: impl std::fmt::Display) -> String {
    format!("`{queue}` after {receives} receives")
}

/// The current value of an attribute as text, or `None` if it is not set. The redrive policy has a
/// readable form.
fn current_text(found: &QueueAttributes, name: &QueueAttributeName) -> Option<String> {
    let policy = redrive_policy(found).filter(|_| *name == QueueAttributeName::RedrivePolicy);
    policy.map_or_else(|| found.get(name).cloned(), |policy| Some(redrive_text(policy.queue(), policy.receives())))
}

impl WantedQueue {
    /// Returns the `maxReceiveCount` for a queue with these attributes.
    pub(super) fn receives(found: &QueueAttributes, wanted: Number) -> u32 {
        wanted.for_queue_with(redrive_policy(found).and_then(|policy| policy.receives().parse().ok()))
    }

    /// Returns the wanted attributes of a queue that has these, as text.
    fn wanted_texts(&self, found: &QueueAttributes) -> BTreeMap<QueueAttributeName, String> {
        let to_be = |name: QueueAttributeName, wanted: Number| {
            let text = wanted.for_queue_with(number(found, &name)).to_string();
            (name, text)
        };
        let mut texts = BTreeMap::from([
            to_be(QueueAttributeName::VisibilityTimeout, self.visibility_s),
            to_be(QueueAttributeName::MessageRetentionPeriod, self.retention_s),
        ]);
        if let Some((queue, receives)) = &self.redrive {
            let text = redrive_text(queue, Self::receives(found, *receives));
            texts.insert(QueueAttributeName::RedrivePolicy, text);
        }
        texts
    }

    /// Returns the changes to a queue that has these attributes.
    pub(super) fn changes(&self, found: &QueueAttributes) -> Vec<(QueueAttributeName, AttributeChange)> {
        let changes = self.wanted_texts(found).into_iter().map(|(name, to)| {
            let from = current_text(found, &name);
            (name, AttributeChange { from, to })
        });
        changes.filter(|(_, change)| change.from.as_ref() != Some(&change.to)).collect()
    }
}

impl PlannedQueue {
    /// Returns the change to the queue, if there is one.
    pub(super) fn change(&self) -> Option<Change> {
        let queue = self.wanted.name.clone();
        let Some(found) = &self.found else { return Some(Change::CreateQueue { queue }) };
        let changes = self.wanted.changes(found).into_iter();
        let attributes: BTreeMap<_, _> = changes.map(|(name, change)| (name.as_str().to_owned(), change)).collect();
        (!attributes.is_empty()).then_some(Change::SetQueueAttributes { queue, attributes })
    }

    /// The retention of the queue after the change, in seconds.
    fn retention_s(&self) -> u32 {
        let found = self.found.as_ref().and_then(|found| number(found, &QueueAttributeName::MessageRetentionPeriod));
        self.wanted.retention_s.for_queue_with(found)
    }
}

impl PayloadNeed {
    /// Returns the longest need of these queues, each of which follows its dead-letter queue.
    pub(super) fn of(queues: &[PlannedQueue]) -> Self {
        let need = |pair: &[PlannedQueue]| {
            let [dead_letters, queue] = pair else { return None };
            let days = expiry_days_min(queue.retention_s(), dead_letters.retention_s());
            Some(Self { days, queue: queue.wanted.name.clone() })
        };
        queues.chunks(2).filter_map(need).max_by_key(|need| need.days).unwrap_or_default()
    }

    /// Returns an error if payloads would expire too early. `days` is the expiry, and `field` the
    /// setting that has it. A message whose payload has expired is treated as processed.
    pub(super) fn check(&self, target: &str, field: &str, days: u32) -> Result<(), PortError> {
        let Self { days: days_min, queue } = self;
        if u64::from(days) >= *days_min {
            return Ok(());
        }
        let option = field.replace('_', "-");
        let cause = format!(
            "payloads would expire after {days} days (`{field}`). The retention of queue `{queue}` and its dead-letter \
             queue requires payloads for {days_min} days, and a retention is never shortened. \
             Set `{field}` (`--{option}`) to {days_min} or more"
        );
        Err(PortError::new(format!("planning the expiry of {target}"), cause).without_effect().permanent())
    }
}
