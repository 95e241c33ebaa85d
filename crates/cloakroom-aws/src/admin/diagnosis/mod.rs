//! Diagnosis of an account: what is wrong, why that matters, and how to fix it.

mod bucket;
mod clock;
mod finding;
mod lifecycle;
mod payload_table;
mod permissions;
mod problem;
mod queues;
mod settings;
mod table;
mod trouble;

use std::sync::Arc;

use cloakroom::ports::{Clock, Random, SystemRandom};
use futures::FutureExt as _;

use crate::{aws::Aws, clock::TokioClock, settings::SettingsError};

pub use finding::{Finding, Findings};
pub use problem::{Problem, Severity, UnknownProblem};
pub use settings::DiagnosisSettings;

/// Checks the tables, the bucket and the queues, and reports what is wrong.
///
/// All checks run at the same time. A check that fails is reported as a finding and does not
/// prevent the others. The diagnosis changes nothing that endpoints use, and it sends and receives
/// no message. It takes about twenty requests, five more for a payload table, and eleven for each
/// queue.
///
/// Permissions are tried: with writes whose conditions cannot hold, with receipt handles that do
/// not exist, and with a probe object that is deleted again. If deleting is not allowed, the probe
/// object expires like the payload of a failed attempt.
///
/// Permissions to send and to receive are tried with requests that SQS refuses. Such a request
/// shows that a permission is missing, but not that it is present. A note reports this limit.
///
/// ```no_run
/// # async fn example(aws: cloakroom_aws::Aws) -> Result<(), cloakroom_aws::SettingsError> {
/// use cloakroom_aws::{Diagnosis, DiagnosisSettings};
///
/// let settings = DiagnosisSettings { queues: vec!["orders".to_owned()], ..Default::default() };
/// let findings = Diagnosis::new(&aws, settings)?.run().await;
/// println!("{findings}");
/// assert!(findings.is_healthy());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Diagnosis {
    aws: Aws,
    /// The services whose client, as the caller passed it, may wait forever for an answer.
    without_timeouts: Vec<&'static str>,
    settings: DiagnosisSettings,
    clock: Arc<dyn Clock>,
    /// Options that printed commands repeat, each after a space.
    options: String,
}

/// The resource that a check is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource<'a> {
    Table,
    PayloadTable,
    Bucket,
    /// A queue, by its name in SQS.
    Queue(&'a str),
}

impl Diagnosis {
    /// Creates a diagnosis of the tables and the bucket of `aws`, and of the queues of `settings`.
    ///
    /// # Errors
    /// A setting is invalid.
    pub fn new(aws: &Aws, settings: DiagnosisSettings) -> Result<Self, SettingsError> {
        settings.validate(&aws.settings().queues)?;
        let (without_timeouts, aws) = (aws.without_timeouts(), aws.clone().with_timeouts());
        Ok(Self { aws, without_timeouts, settings, clock: Arc::new(TokioClock), options: String::new() })
    }

    /// Sets the clock that is compared with that of AWS. Default: the machine's clock.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Sets options that the commands in findings repeat, such as
    /// `--profile prod --region eu-central-1`. Pass the options with which the clients were made.
    /// Without them a command may change another account. Default: none.
    #[must_use]
    pub fn with_command_options(self, options: &str) -> Self {
        let options = if options.is_empty() { String::new() } else { format!(" {options}") };
        Self { options, ..self }
    }

    /// Runs all checks and returns the findings. It takes as long as its slowest call. A failed
    /// call is a finding, not an error. A service that does not answer becomes a finding after nine
    /// seconds, or after the timeouts of its client.
    pub async fn run(&self) -> Findings {
        // Boxed: in a build without optimisation, all futures together could overflow the stack of
        // a thread.
        let (table, table_permissions, payload_table, bucket, bucket_permissions, queues, queue_permissions) = futures::join!(
            self.table_findings().boxed(),
            self.table_permissions().boxed(),
            self.payload_table_answers().boxed(),
            self.bucket_answers().boxed(),
            self.bucket_permissions().boxed(),
            self.queue_answers().boxed(),
            self.queue_permissions().boxed(),
        );
        let days_min = queues::expiry_days_min(&queues);
        let payload_table =
            payload_table.map_or_else(Vec::new, |answers| self.payload_table_findings(answers, days_min));
        let bucket = self.bucket_findings(bucket, days_min);
        let queues = self.queue_findings(queues);
        let tables = [table, table_permissions, payload_table].concat();
        let clients = self.client_findings();
        let found = [clients, tables, bucket, bucket_permissions, queues, queue_permissions].concat();
        Findings::new(found, &self.settings.accepted)
    }

    fn client_findings(&self) -> Vec<Finding> {
        if self.without_timeouts.is_empty() {
            return Vec::new();
        }
        let services = self.without_timeouts.join(", ");
        let text = format!(
            "the client of {services} has no timeout except for connecting: a call on a dead connection ends only when \
             the endpoint abandons it (`call_ms_max`), and the dead connection stays in use"
        );
        let fix = "set `operation_attempt_timeout` and `operation_timeout` in the client's `timeout_config`, for \
                   example to 4 and 9 seconds, or make the clients with `Aws::configured`";
        vec![Finding::new(Problem::ClientTimeouts, "clients", text, fix)]
    }

    /// Returns the name of a resource for texts.
    fn name(&self, resource: Resource<'_>) -> String {
        match resource {
            Resource::Table => crate::dynamodb::target(&self.aws.settings.table),
            Resource::PayloadTable => {
                crate::dynamodb::target(self.aws.settings.payload_table.as_deref().unwrap_or_default())
            }
            Resource::Bucket => crate::s3::payloads::target(&self.aws.settings.bucket),
            Resource::Queue(queue) => crate::sqs::queue::target(queue),
        }
    }

    fn region(&self) -> &str {
        self.aws.dynamodb.config().region().map_or("unknown", AsRef::as_ref)
    }

    fn finding(
        &self,
        problem: Problem,
        resource: Resource<'_>,
        text: impl Into<String>,
        fix: impl Into<String>,
    ) -> Finding {
        Finding::new(problem, self.name(resource), text, fix)
    }

    /// Returns the command that creates, or updates, the resources of this diagnosis.
    fn provision(&self, more: &str) -> String {
        self.provision_queues(&self.settings.queues, more)
    }

    /// Returns the same command for one queue only. A number in the command applies to every queue
    /// that it names, so it could lower the number of another queue.
    fn provision_queue(&self, queue: &str, more: &str) -> String {
        self.provision_queues(&[queue], more)
    }

    fn provision_queues(&self, names: &[impl AsRef<str>], more: &str) -> String {
        let crate::aws::settings::AwsSettings { table, bucket, payload_table, payload_ttl_days, queues, .. } =
            &self.aws.settings;
        let mut command = format!("`cloakroom provision{} --table {table} --bucket {bucket}", self.options);
        if let Some(payload_table) = payload_table {
            command.push_str(&format!(" --payload-table {payload_table}"));
            if *payload_ttl_days != crate::settings::payload_ttl_days() {
                command.push_str(&format!(" --payload-ttl-days {payload_ttl_days}"));
            }
        }
        if !queues.prefix.is_empty() {
            command.push_str(&format!(" --queue-prefix {}", queues.prefix));
        }
        for name in names {
            command.push_str(&format!(" --queue {}", name.as_ref()));
        }
        command.push_str(&format!(" --attempts-max {}", self.settings.attempts_max));
        command.push_str(more);
        command.push('`');
        command
    }

    /// Returns random bits for a key that does not exist.
    fn random(&self) -> u128 {
        SystemRandom.bits()
    }
}

#[cfg(test)]
mod tests;
