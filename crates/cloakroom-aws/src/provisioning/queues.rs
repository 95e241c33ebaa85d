//! Queues and their dead-letter queues.

use std::collections::{BTreeMap, HashMap};

use aws_sdk_sqs::types::QueueAttributeName;
use cloakroom::PortError;
use serde::{Deserialize, Serialize};

use super::{AttributeChange, Change, PAUSE, Provisioning, TRIES_MAX, dead_letter_queue};
use crate::{failure::Operation, look::GET, queue::target};

const CREATE: Operation = Operation::repeatedly("CreateQueue", "sqs:CreateQueue");
const SET: Operation = Operation::repeatedly("SetQueueAttributes", "sqs:SetQueueAttributes");

/// A queue as it is to be.
struct Wanted {
    /// In SQS.
    name: String,
    visibility_s: u32,
    retention_s: u32,
    /// The name in SQS of its dead-letter queue, and after how many receives a message goes there.
    redrive: Option<(String, u32)>,
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
    fn new(arn: String, receives_max: u32) -> Self {
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

/// SUBTLE: SQS deletes the messages that are older than a retention that is set, so it is never made shorter
/// (`a_retention_is_never_made_shorter`).
fn is_shorter(name: &QueueAttributeName, from: Option<&str>, to: &str) -> bool {
    let seconds = |text: &str| text.parse::<u64>().ok();
    *name == QueueAttributeName::MessageRetentionPeriod && from.and_then(seconds) > seconds(to)
}

fn told_redrive(queue: &str, receives: impl std::fmt::Display) -> String {
    format!("`{queue}` after {receives} receives")
}

impl Wanted {
    /// The attributes as texts to compare; the redrive policy as people write it.
    fn told(&self) -> BTreeMap<QueueAttributeName, String> {
        let mut told = BTreeMap::from([
            (QueueAttributeName::VisibilityTimeout, self.visibility_s.to_string()),
            (QueueAttributeName::MessageRetentionPeriod, self.retention_s.to_string()),
        ]);
        if let Some((queue, receives)) = &self.redrive {
            told.insert(QueueAttributeName::RedrivePolicy, told_redrive(queue, receives));
        }
        told
    }

    fn differences(&self, found: &HashMap<QueueAttributeName, String>) -> BTreeMap<String, AttributeChange> {
        let found = |name: &QueueAttributeName| {
            let text = found.get(name)?;
            if *name != QueueAttributeName::RedrivePolicy {
                return Some(text.clone());
            }
            Some(
                serde_json::from_str::<RedrivePolicy>(text)
                    .map_or_else(|_| text.clone(), |policy| told_redrive(policy.queue(), policy.receives())),
            )
        };
        let changes = self.told().into_iter().map(|(name, to)| (found(&name), name, to));
        let changes =
            changes.filter(|(from, name, to)| from.as_ref() != Some(to) && !is_shorter(name, from.as_deref(), to));
        changes.map(|(from, name, to)| (name.as_str().to_owned(), AttributeChange { from, to })).collect()
    }
}

impl Provisioning {
    /// All queues, each after its dead-letter queue.
    fn wanted_queues(&self) -> Vec<Wanted> {
        let settings = &self.settings;
        let full_name = |name: &str| self.aws.settings.queues.full_name(name);
        let wanted =
            |name, retention_s, redrive| Wanted { name, visibility_s: settings.visibility_s, retention_s, redrive };
        let pair = |queue: &String| {
            let dead_letters = full_name(&dead_letter_queue(queue));
            let redrive = Some((dead_letters.clone(), settings.receives_max));
            [
                wanted(dead_letters, settings.dead_letter_retention_s, None),
                wanted(full_name(queue), settings.retention_s, redrive),
            ]
        };
        settings.queues.iter().flat_map(pair).collect()
    }

    pub(super) async fn queue_changes(&self) -> Result<Vec<Change>, PortError> {
        let mut changes = Vec::new();
        for wanted in self.wanted_queues() {
            match self.aws.queue_attributes(&wanted.name).await? {
                None => changes.push(Change::CreateQueue { queue: wanted.name }),
                Some(found) => {
                    let attributes = wanted.differences(&found);
                    if !attributes.is_empty() {
                        changes.push(Change::SetQueueAttributes { queue: wanted.name, attributes });
                    }
                }
            }
        }
        Ok(changes)
    }

    /// The attributes to set on a queue, apart from those that cannot be changed.
    async fn attributes_to_set(&self, name: &str) -> Result<HashMap<QueueAttributeName, String>, PortError> {
        let Some(wanted) = self.wanted_queues().into_iter().find(|wanted| wanted.name == name) else {
            return Ok(HashMap::new());
        };
        let mut attributes: HashMap<_, _> = wanted.told().into_iter().collect();
        if let Some((dead_letters, receives_max)) = wanted.redrive {
            let policy = RedrivePolicy::new(self.arn_of_new_queue(&dead_letters).await?, receives_max);
            let policy = serde_json::to_string(&policy).expect("texts and numbers can be written to memory");
            attributes.insert(QueueAttributeName::RedrivePolicy, policy);
        }
        Ok(attributes)
    }

    /// The ARN of a queue that may have been made a moment ago, and so not be known everywhere yet.
    async fn arn_of_new_queue(&self, name: &str) -> Result<String, PortError> {
        for _ in 0..TRIES_MAX {
            let attributes = self.aws.queue_attributes(name).await?.unwrap_or_default();
            if let Some(arn) = attributes.get(&QueueAttributeName::QueueArn) {
                return Ok(arn.clone());
            }
            self.clock.sleep(PAUSE).await;
        }
        Err(PortError::new(GET.on(&target(name)), "the queue does not appear").without_effect())
    }

    pub(super) async fn create_queue(&self, name: &str) -> Result<(), PortError> {
        let mut attributes = self.attributes_to_set(name).await?;
        if name.ends_with(".fifo") {
            attributes.insert(QueueAttributeName::FifoQueue, true.to_string());
        }
        let create = self.aws.sqs.create_queue().queue_name(name).set_attributes(Some(attributes));
        create.send().await.map_err(|error| CREATE.failed(&target(name), error))?;
        Ok(())
    }

    pub(super) async fn set_queue_attributes(&self, name: &str) -> Result<(), PortError> {
        let Some(url) = self.aws.queue_url(name).await? else {
            return Err(PortError::new(SET.on(&target(name)), "the queue is gone").without_effect());
        };
        let mut attributes = self.attributes_to_set(name).await?;
        let found = self.aws.queue_attributes(name).await?.unwrap_or_default();
        attributes.retain(|name, to| !is_shorter(name, found.get(name).map(String::as_str), to));
        let set = self.aws.sqs.set_queue_attributes().queue_url(url).set_attributes(Some(attributes));
        set.send().await.map_err(|error| SET.failed(&target(name), error))?;
        Ok(())
    }
}
