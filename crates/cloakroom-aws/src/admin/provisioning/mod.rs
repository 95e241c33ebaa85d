//! Tables, bucket and queues as Cloakroom needs them: what is missing, and making it.

pub(crate) mod bucket;
pub(crate) mod change;
pub(crate) mod planned;
pub(crate) mod queues;
pub(crate) mod settings;
pub(crate) mod table;

use std::{sync::Arc, time::Duration};

use cloakroom::{PortError, ports::Clock};

use crate::{
    admin::provisioning::planned::{PayloadNeed, PlannedQueue},
    aws::Aws,
    clock::TokioClock,
    dynamodb::{self},
    settings::SettingsError,
};

pub use change::{AttributeChange, Change, Plan};
pub use settings::ProvisioningSettings;

/// How often the plan is looked at again, if somebody else changes things meanwhile.
const ROUNDS_MAX: u32 = 5;
/// How often a change is tried, if it fails for a passing reason.
const TRIES_MAX: u32 = 10;
/// Between two tries, and two looks at a table that is being made.
const PAUSE: Duration = Duration::from_secs(1);

/// Makes the table, the bucket and the queues, or brings them up to date.
///
/// It may run any number of times, and several times at once; it never deletes anything. What exists and cannot be
/// brought up to date (another key schema, a versioned bucket) is an error that says what to do.
///
/// - **Table**: keys `pk` and `sk`, on demand, `cloakroom_expires` as time to live; point-in-time recovery if wanted.
/// - **Payload table**, if one is set: key `k`, on demand, `x` as time to live. It is never made recoverable: what is processed is gone from it, and
///   has to be.
/// - **Bucket**: public access blocked; a lifecycle rule `cloakroom` lets everything in it expire, and ends incomplete
///   multipart uploads. Other rules stay. A bucket with objects of others is refused, since they would expire, too.
///   A [directory bucket](crate::S3Payloads#s3-express-one-zone) has to be there already, and only gets the rule.
/// - **Queues**: each with a [dead-letter queue](dead_letter_queue), to which SQS moves what was received
///   [too often](ProvisioningSettings::receives_max). SQS takes up to a minute to apply changed attributes, and up to
///   15 minutes for the retention. On a queue that exists, no retention is made shorter; a visibility timeout and a
///   number of receives are lowered only to a value that the settings name.
///
/// ```no_run
/// # async fn example(aws: cloakroom_aws::Aws) -> Result<(), Box<dyn std::error::Error>> {
/// use cloakroom_aws::{Provisioning, ProvisioningSettings};
///
/// let queues = vec!["orders".to_owned(), "stock".to_owned()];
/// let provisioning = Provisioning::new(&aws, ProvisioningSettings { queues, ..Default::default() })?;
/// print!("{}", provisioning.plan().await?);
/// let made = provisioning.apply().await?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Provisioning {
    aws: Aws,
    settings: ProvisioningSettings,
    clock: Arc<dyn Clock>,
}

impl Provisioning {
    /// Provisioning of the table and the bucket that `aws` is set to, and of the queues of `settings`.
    ///
    /// # Errors
    /// A setting that AWS would refuse, or that would let payloads expire before their messages.
    pub fn new(aws: &Aws, settings: ProvisioningSettings) -> Result<Self, SettingsError> {
        settings.validate(&aws.settings().queues)?;
        settings.validate_payload_ttl(aws.settings())?;
        Ok(Self { aws: aws.clone().with_timeouts(), settings, clock: Arc::new(TokioClock) })
    }

    /// The same, waiting on another clock than Tokio's.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Looks at what there is, and says what [`apply`](Self::apply) would do. Changes nothing.
    ///
    /// # Errors
    /// What exists and cannot be brought up to date; payloads that would expire before the messages that the queues
    /// keep; failures of services.
    pub async fn plan(&self) -> Result<Plan, PortError> {
        let (tables, queues) = futures::try_join!(self.table_changes(), self.look_at_queues())?;
        let need = PayloadNeed::of(&queues);
        self.check_payload_ttl(&need)?;
        let bucket = self.bucket_changes(&need).await?;
        let queues: Vec<_> = queues.iter().filter_map(PlannedQueue::change).collect();
        Ok(Plan { changes: [tables, bucket, queues].concat() })
    }

    /// Checks what the payload table keeps against what the queues keep, which may be longer than the settings say.
    fn check_payload_ttl(&self, need: &PayloadNeed) -> Result<(), PortError> {
        let crate::aws::settings::AwsSettings { payload_table, payload_ttl_days, .. } = &self.aws.settings;
        let table = payload_table.as_deref();
        table.map_or(Ok(()), |table| need.check(&dynamodb::target(table), "payload_ttl_days", *payload_ttl_days))
    }

    /// Does what [`plan`](Self::plan) says, and waits until the table can be used (up to two minutes). Answers with
    /// what was done.
    ///
    /// # Errors
    /// The first change that failed. Those before it are done; the rest is done when it is applied again.
    pub async fn apply(&self) -> Result<Plan, PortError> {
        let mut made = Vec::new();
        for _ in 0..ROUNDS_MAX {
            let mut overtaken = false;
            for change in self.plan().await?.changes {
                let settling = made.iter().any(Change::creates);
                if self.make(&change, settling).await? {
                    tracing::info!(%change, "provisioned");
                    made.push(change);
                } else {
                    overtaken = true;
                }
            }
            // What somebody else made need not be what is wanted here: look again.
            if !overtaken {
                self.wait_until_all_are_active().await?;
                return Ok(Plan { changes: made });
            }
        }
        let cause = "somebody else keeps changing things; is another provisioning with other settings running?";
        Err(PortError::new("provisioning", cause))
    }

    /// Makes a change; false if there is no need for it any more.
    async fn make(&self, change: &Change, settling: bool) -> Result<bool, PortError> {
        let mut tried = 1;
        loop {
            let Err(error) = self.perform(change).await else { return Ok(true) };
            // SUBTLE: whatever the error says, somebody else may have made the change meanwhile; services differ in
            // how they answer then. The change has failed only if it is still to be made
            // (`two_at_once_do_not_disturb_each_other`).
            if !self.plan().await?.changes.contains(change) {
                return Ok(false);
            }
            // What was made a moment ago is not known everywhere yet.
            if tried == TRIES_MAX || !(error.may_be_repeated() || settling) {
                return Err(error);
            }
            tried += 1;
            self.clock.sleep(PAUSE).await;
        }
    }

    async fn perform(&self, change: &Change) -> Result<(), PortError> {
        match change {
            Change::CreateTable { table } => self.create_table(table).await,
            Change::ExpireItems { table } => self.expire_items(table).await,
            Change::KeepRecoverable { table } => self.keep_recoverable(table).await,
            Change::CreateBucket { .. } => self.create_bucket().await,
            Change::BlockPublicAccess { .. } => self.block_public_access().await,
            Change::ExpirePayloads { .. } => self.expire_payloads().await,
            Change::CreateQueue { queue } => self.create_queue(queue).await,
            Change::SetQueueAttributes { queue, .. } => self.set_queue_attributes(queue).await,
        }
    }
}

#[cfg(test)]
mod tests;
