//! Creation of the tables, the bucket and the queues.

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

/// How often the plan is made again if another process changes resources at the same time.
const ROUNDS_MAX: u32 = 5;
/// How often a change is tried if its error may be temporary.
const TRIES_MAX: u32 = 10;
/// The pause between two tries, and between two checks of a table that is being created.
const PAUSE: Duration = Duration::from_secs(1);

/// Creates the tables, the bucket and the queues, or updates them.
///
/// It may run any number of times, also concurrently, and it never deletes anything. A resource
/// that exists and cannot be updated (another key schema, a versioned bucket) is an error whose
/// text says what to do.
///
/// - **Table**: keys `pk` and `sk`, on-demand capacity, time to live by `cloakroom_expires`, and
///   point-in-time recovery if the settings ask for it.
/// - **Payload table**, if one is set: key `k`, on-demand capacity, time to live by `x`. It never
///   has point-in-time recovery: payloads of processed messages must not come back.
/// - **Bucket**: public access blocked, and a lifecycle rule `cloakroom` that lets all objects
///   expire and ends incomplete multipart uploads. Other rules stay. A bucket with objects of
///   another application is refused, since they would expire too. A
///   [directory bucket](crate::S3Payloads#s3-express-one-zone) must already exist, and only gets
///   the rule.
/// - **Queues**: each with a [dead-letter queue](cloakroom::engine::parking::dead_letter_queue), to which SQS moves messages
///   that were received [too often](ProvisioningSettings::receives_max). SQS takes up to a minute
///   to apply changed attributes, and up to 15 minutes for the retention. The retention of an
///   existing queue is never shortened. Its visibility timeout and `maxReceiveCount` are lowered
///   only to a value that the settings name.
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
    /// Creates a provisioning of the tables and the bucket of `aws`, and of the queues of
    /// `settings`.
    ///
    /// # Errors
    /// A setting that AWS would refuse, or with which payloads would expire before their messages.
    pub fn new(aws: &Aws, settings: ProvisioningSettings) -> Result<Self, SettingsError> {
        settings.validate(&aws.settings().queues)?;
        settings.validate_payload_ttl(aws.settings())?;
        Ok(Self { aws: aws.clone().with_timeouts(), settings, clock: Arc::new(TokioClock) })
    }

    /// Sets the clock for waiting. Default: that of Tokio.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Returns the changes that [`apply`](Self::apply) would make. Changes nothing.
    ///
    /// # Errors
    /// A resource exists and cannot be updated; payloads would expire before the messages in the
    /// queues; a call failed.
    pub async fn plan(&self) -> Result<Plan, PortError> {
        let (tables, queues) = futures::try_join!(self.table_changes(), self.planned_queues())?;
        let need = PayloadNeed::of(&queues);
        self.check_payload_ttl(&need)?;
        let bucket = self.bucket_changes(&need).await?;
        let queues: Vec<_> = queues.iter().filter_map(PlannedQueue::change).collect();
        Ok(Plan { changes: [tables, bucket, queues].concat() })
    }

    /// Checks the expiry of the payload table against the retention of the queues, which may be
    /// longer than in the settings.
    fn check_payload_ttl(&self, need: &PayloadNeed) -> Result<(), PortError> {
        let crate::aws::settings::AwsSettings { payload_table, payload_ttl_days, .. } = &self.aws.settings;
        let table = payload_table.as_deref();
        table.map_or(Ok(()), |table| need.check(&dynamodb::target(table), "payload_ttl_days", *payload_ttl_days))
    }

    /// Makes the changes of [`plan`](Self::plan), and waits up to two minutes until each table can
    /// be used. Returns the changes that it made.
    ///
    /// # Errors
    /// The error of the first change that failed. Earlier changes are made. Call this again for the
    /// others.
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
            // Another process made a change, which may differ from what is wanted here: plan again.
            if !overtaken {
                self.wait_until_all_are_active().await?;
                return Ok(Plan { changes: made });
            }
        }
        let cause = "another process keeps changing the same resources; check whether another provisioning with other \
                     settings is running";
        Err(PortError::new("provisioning", cause))
    }

    /// Makes a change. Returns `false` if it is no longer needed.
    async fn make(&self, change: &Change, settling: bool) -> Result<bool, PortError> {
        let mut tried = 1;
        loop {
            let Err(error) = self.perform(change).await else { return Ok(true) };
            // SUBTLE: (1) another process makes the same change, and (2) the service refuses ours,
            // each service with an error of its own. So the error does not decide: the change has
            // failed only if it is still in the plan. Otherwise one of two concurrent runs would
            // fail (`concurrent_provisionings_do_not_disturb_each_other`).
            if !self.plan().await?.changes.contains(change) {
                return Ok(false);
            }
            // A new resource is not visible everywhere at once, so also permanent errors are
            // retried.
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
