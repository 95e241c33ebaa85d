//! Queues as they are to be, compared with what they are.

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

/// A number of a queue as it is to be.
#[derive(Clone, Copy)]
pub(super) enum Number {
    /// The caller names it.
    Exactly(u32),
    /// A larger number that a queue has already stays.
    AtLeast(u32),
}

impl Number {
    pub(super) fn new(given: Option<u32>, default: u32) -> Self {
        given.map_or(Self::AtLeast(default), Self::Exactly)
    }

    /// The number to set on a queue that has `found`.
    ///
    /// SUBTLE: SQS deletes the messages that are older than a retention that is set, so a retention is never made
    /// shorter (`a_retention_is_never_made_shorter`). A queue may have a long visibility timeout for its function, and
    /// many receives for its endpoint, which this caller does not name (`defaults_lower_nothing_that_a_queue_has`).
    fn beside(self, found: Option<u32>) -> u32 {
        match self {
            Self::Exactly(number) => number,
            Self::AtLeast(least) => found.map_or(least, |found| found.max(least)),
        }
    }
}

/// A queue as it is to be.
pub(super) struct WantedQueue {
    /// In SQS.
    pub(super) name: String,
    pub(super) visibility_s: Number,
    pub(super) retention_s: Number,
    /// The name in SQS of its dead-letter queue, and after how many receives a message goes there.
    pub(super) redrive: Option<(String, Number)>,
}

/// A queue as it is to be, and as it is.
pub(super) struct PlannedQueue {
    pub(super) wanted: WantedQueue,
    /// `None` if the queue does not exist.
    pub(super) found: Option<QueueAttributes>,
}

/// For how long payloads are needed.
#[derive(Debug, Default)]
pub(super) struct PayloadNeed {
    pub(super) days: u64,
    /// The name in SQS of the queue whose messages need them.
    queue: String,
}

/// The attribute `RedrivePolicy`.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RedrivePolicy {
    dead_letter_target_arn: String,
    /// SQS takes a number and a text, and gives either back.
    max_receive_count: serde_json::Value,
}

impl RedrivePolicy {
    pub(super) fn new(arn: String, receives_max: u32) -> Self {
        Self { dead_letter_target_arn: arn, max_receive_count: receives_max.into() }
    }

    /// The name in SQS of the dead-letter queue.
    pub(crate) fn queue(&self) -> &str {
        self.dead_letter_target_arn.rsplit(':').next().unwrap_or_default()
    }

    /// After how many receives a message goes there.
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

fn told_redrive(queue: &str, receives: impl std::fmt::Display) -> String {
    format!("`{queue}` after {receives} receives")
}

/// An attribute that a queue has, as a text to compare; the redrive policy as people write it.
fn told(found: &QueueAttributes, name: &QueueAttributeName) -> Option<String> {
    let policy = redrive_policy(found).filter(|_| *name == QueueAttributeName::RedrivePolicy);
    policy.map_or_else(|| found.get(name).cloned(), |policy| Some(told_redrive(policy.queue(), policy.receives())))
}

impl WantedQueue {
    /// After how many receives SQS is to move a message of a queue that has these attributes.
    pub(super) fn receives(found: &QueueAttributes, wanted: Number) -> u32 {
        wanted.beside(redrive_policy(found).and_then(|policy| policy.receives().parse().ok()))
    }

    /// What the attributes of a queue that has these are to be, as texts to compare.
    fn told(&self, found: &QueueAttributes) -> BTreeMap<QueueAttributeName, String> {
        let to_be = |name: QueueAttributeName, wanted: Number| {
            let text = wanted.beside(number(found, &name)).to_string();
            (name, text)
        };
        let mut told = BTreeMap::from([
            to_be(QueueAttributeName::VisibilityTimeout, self.visibility_s),
            to_be(QueueAttributeName::MessageRetentionPeriod, self.retention_s),
        ]);
        if let Some((queue, receives)) = &self.redrive {
            let text = told_redrive(queue, Self::receives(found, *receives));
            told.insert(QueueAttributeName::RedrivePolicy, text);
        }
        told
    }

    /// What is to be changed on a queue that has these attributes.
    pub(super) fn changes(&self, found: &QueueAttributes) -> Vec<(QueueAttributeName, AttributeChange)> {
        let changes = self.told(found).into_iter().map(|(name, to)| {
            let from = told(found, &name);
            (name, AttributeChange { from, to })
        });
        changes.filter(|(_, change)| change.from.as_ref() != Some(&change.to)).collect()
    }
}

impl PlannedQueue {
    /// What is to be done, if something is.
    pub(super) fn change(&self) -> Option<Change> {
        let queue = self.wanted.name.clone();
        let Some(found) = &self.found else { return Some(Change::CreateQueue { queue }) };
        let changes = self.wanted.changes(found).into_iter();
        let attributes: BTreeMap<_, _> = changes.map(|(name, change)| (name.as_str().to_owned(), change)).collect();
        (!attributes.is_empty()).then_some(Change::SetQueueAttributes { queue, attributes })
    }

    /// How long the queue keeps messages when it is as it is to be, in seconds.
    fn retention_s(&self) -> u32 {
        let found = self.found.as_ref().and_then(|found| number(found, &QueueAttributeName::MessageRetentionPeriod));
        self.wanted.retention_s.beside(found)
    }
}

impl PayloadNeed {
    /// What queues need, each of which follows its dead-letter queue.
    pub(super) fn of(queues: &[PlannedQueue]) -> Self {
        let need = |pair: &[PlannedQueue]| {
            let [dead_letters, queue] = pair else { return None };
            let days = expiry_days_min(queue.retention_s(), dead_letters.retention_s());
            Some(Self { days, queue: queue.wanted.name.clone() })
        };
        queues.chunks(2).filter_map(need).max_by_key(|need| need.days).unwrap_or_default()
    }

    /// Refuses to let payloads expire after so many days, as this field says, if that is too early: a message whose
    /// payload is gone looks processed.
    pub(super) fn check(&self, target: &str, field: &str, days: u32) -> Result<(), PortError> {
        let Self { days: days_min, queue } = self;
        if u64::from(days) >= *days_min {
            return Ok(());
        }
        let option = field.replace('_', "-");
        let cause = format!(
            "payloads would expire after {days} days (`{field}`). Queue `{queue}` and its dead-letter queue keep \
             messages for so long that payloads are needed for {days_min} days, and a retention is never made shorter. \
             Set `{field}` (`--{option}`) to {days_min} or more"
        );
        Err(PortError::new(format!("planning the expiry of {target}"), cause).without_effect().permanent())
    }
}
