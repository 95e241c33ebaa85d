//! Creation and update of queues and their dead-letter queues.

use aws_sdk_sqs::types::QueueAttributeName;
use cloakroom::{PortError, engine::parking::dead_letter_queue};

use crate::{
    admin::{
        describe::{GET, QueueAttributes},
        provisioning::{
            PAUSE, Provisioning, TRIES_MAX,
            planned::{Number, PlannedQueue, RedrivePolicy, WantedQueue},
            settings::{VISIBILITY_S, receives_proposed},
        },
    },
    client::failure::Operation,
    sqs::queue::target,
};

const CREATE: Operation = Operation::repeatedly("CreateQueue", "sqs:CreateQueue");
const SET: Operation = Operation::repeatedly("SetQueueAttributes", "sqs:SetQueueAttributes");

impl Provisioning {
    /// The wanted queues, each after its dead-letter queue.
    fn wanted_queues(&self) -> Vec<WantedQueue> {
        let settings = &self.settings;
        let full_name = |name: &str| self.aws.settings.queues.full_name(name);
        let wanted = |name, retention_s, redrive| {
            let visibility_s = Number::new(settings.visibility_s, VISIBILITY_S);
            WantedQueue { name, visibility_s, retention_s: Number::AtLeast(retention_s), redrive }
        };
        let pair = |queue: &String| {
            let dead_letters = full_name(&dead_letter_queue(queue));
            let receives = Number::new(settings.receives_max, receives_proposed(queue, settings.attempts_max));
            let redrive = Some((dead_letters.clone(), receives));
            [
                wanted(dead_letters, settings.dead_letter_retention_s, None),
                wanted(full_name(queue), settings.retention_s, redrive),
            ]
        };
        settings.queues.iter().flat_map(pair).collect()
    }

    /// The wanted queues with their current attributes, each after its dead-letter queue.
    pub(super) async fn planned_queues(&self) -> Result<Vec<PlannedQueue>, PortError> {
        let mut queues = Vec::new();
        for wanted in self.wanted_queues() {
            let found = self.aws.queue_attributes(&wanted.name).await?;
            queues.push(PlannedQueue { wanted, found });
        }
        Ok(queues)
    }

    /// Returns the attributes to set on a queue whose current attributes are `found`, except those
    /// that cannot be changed.
    async fn attributes_to_set(&self, name: &str, found: &QueueAttributes) -> Result<QueueAttributes, PortError> {
        let Some(wanted) = self.wanted_queues().into_iter().find(|wanted| wanted.name == name) else {
            return Ok(QueueAttributes::new());
        };
        let changes = wanted.changes(found).into_iter();
        let mut attributes: QueueAttributes = changes.map(|(name, change)| (name, change.to)).collect();
        if let Some((dead_letters, receives)) = &wanted.redrive
            && let Some(policy) = attributes.get_mut(&QueueAttributeName::RedrivePolicy)
        {
            let arn = self.arn_of_new_queue(dead_letters).await?;
            let wanted = RedrivePolicy::new(arn, WantedQueue::receives(found, *receives));
            *policy = serde_json::to_string(&wanted).expect("texts and numbers can be written to memory");
        }
        Ok(attributes)
    }

    /// Returns the ARN of a queue. A queue that was created just before may not be visible yet, so
    /// this waits for it.
    async fn arn_of_new_queue(&self, name: &str) -> Result<String, PortError> {
        for _ in 0..TRIES_MAX {
            let attributes = self.aws.queue_attributes(name).await?.unwrap_or_default();
            if let Some(arn) = attributes.get(&QueueAttributeName::QueueArn) {
                return Ok(arn.clone());
            }
            self.clock.sleep(PAUSE).await;
        }
        Err(PortError::new(GET.on(&target(name)), "the queue was created and is still not visible; run this again")
            .without_effect())
    }

    pub(super) async fn create_queue(&self, name: &str) -> Result<(), PortError> {
        let mut attributes = self.attributes_to_set(name, &QueueAttributes::new()).await?;
        if name.ends_with(".fifo") {
            attributes.insert(QueueAttributeName::FifoQueue, true.to_string());
        }
        let create = self.aws.sqs.create_queue().queue_name(name).set_attributes(Some(attributes));
        create.send().await.map_err(|error| CREATE.failed(&target(name), error))?;
        Ok(())
    }

    pub(super) async fn set_queue_attributes(&self, name: &str) -> Result<(), PortError> {
        let Some(url) = self.aws.queue_url(name).await? else {
            return Err(PortError::new(
                SET.on(&target(name)),
                "the queue was deleted in the meantime; run this again to create it",
            )
            .without_effect());
        };
        let found = self.aws.queue_attributes(name).await?.unwrap_or_default();
        let attributes = self.attributes_to_set(name, &found).await?;
        // Another provisioning may have made the change in the meantime. SQS refuses an empty set
        // of attributes.
        if attributes.is_empty() {
            return Ok(());
        }
        let set = self.aws.sqs.set_queue_attributes().queue_url(url).set_attributes(Some(attributes));
        set.send().await.map_err(|error| SET.failed(&target(name), error))?;
        Ok(())
    }
}
