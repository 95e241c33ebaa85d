//! Looking an account over: what is wrong with it, why that matters, and how to mend it.

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

/// Looks the tables, the bucket and the queues over, and says what is amiss.
///
/// Everything is looked at, at once; what cannot be looked at is a finding, too, and hides nothing else. Nothing that
/// endpoints use is changed, and no message is sent or received. Permissions are tried: with writes whose conditions
/// cannot hold, receipts that nobody has, and a probe object that is deleted again (if that is not allowed, it expires
/// like an orphan). All that takes some twenty requests, five for a payload table, and
/// eleven for each queue.
///
/// Sending and receiving are tried in forms that SQS refuses. That finds a permission that is lacking; that one is
/// there it does not prove, and a note says so.
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
    /// The services whose client, as the caller gave it, may wait forever for an answer.
    without_timeouts: Vec<&'static str>,
    settings: DiagnosisSettings,
    clock: Arc<dyn Clock>,
    /// Options that printed commands repeat, each after a space.
    options: String,
}

/// What a look is at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place<'a> {
    Table,
    PayloadTable,
    Bucket,
    /// By its name in SQS.
    Queue(&'a str),
}

impl Diagnosis {
    /// A diagnosis of the tables and the bucket that `aws` is set to, and of the queues of `settings`.
    ///
    /// # Errors
    /// A setting that cannot be.
    pub fn new(aws: &Aws, settings: DiagnosisSettings) -> Result<Self, SettingsError> {
        settings.validate(&aws.settings().queues)?;
        let (without_timeouts, aws) = (aws.without_timeouts(), aws.clone().with_timeouts());
        Ok(Self { aws, without_timeouts, settings, clock: Arc::new(TokioClock), options: String::new() })
    }

    /// The same, with another clock than the machine's: it is compared with that of AWS.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// The same, whose findings print commands with these options, such as `--profile prod --region eu-central-1`: the
    /// options that the clients were made with. Without them a command may work on another account. Default: none.
    #[must_use]
    pub fn with_command_options(self, options: &str) -> Self {
        let options = if options.is_empty() { String::new() } else { format!(" {options}") };
        Self { options, ..self }
    }

    /// Looks at everything. It takes as long as its slowest call, and never fails: see the findings. A service that does not
    /// answer is a finding after nine seconds, or after the timeouts of its client.
    pub async fn run(&self) -> Findings {
        // Boxed: all of them together are more than the stack of a thread should bear in a build without optimisation.
        let (table, table_permissions, payload_table, bucket, bucket_permissions, queues, queue_permissions) = futures::join!(
            self.table_findings().boxed(),
            self.table_permissions().boxed(),
            self.look_at_payload_table().boxed(),
            self.look_at_bucket().boxed(),
            self.bucket_permissions().boxed(),
            self.look_at_queues().boxed(),
            self.queue_permissions().boxed(),
        );
        let days_min = queues::expiry_days_min(&queues);
        let payload_table = payload_table.map_or_else(Vec::new, |look| self.payload_table_findings(look, days_min));
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
            "the client of {services} has no timeout but for connecting: a call on a dead connection ends only when the \
             endpoint gives it up (`call_ms_max`), and its connection stays"
        );
        let fix = "set `operation_attempt_timeout` and `operation_timeout` in the client's `timeout_config`, to 4 and 9 \
                   seconds for example, or make the clients with `Aws::configured`";
        vec![Finding::new(Problem::ClientTimeouts, "clients", text, fix)]
    }

    /// What to call a place in texts.
    fn name(&self, place: Place<'_>) -> String {
        match place {
            Place::Table => crate::dynamodb::target(&self.aws.settings.table),
            Place::PayloadTable => {
                crate::dynamodb::target(self.aws.settings.payload_table.as_deref().unwrap_or_default())
            }
            Place::Bucket => crate::s3::payloads::target(&self.aws.settings.bucket),
            Place::Queue(queue) => crate::sqs::queue::target(queue),
        }
    }

    fn region(&self) -> &str {
        self.aws.dynamodb.config().region().map_or("unknown", AsRef::as_ref)
    }

    fn finding(&self, problem: Problem, place: Place<'_>, text: impl Into<String>, fix: impl Into<String>) -> Finding {
        Finding::new(problem, self.name(place), text, fix)
    }

    /// The command that makes, or brings up to date, what is looked at here.
    fn provision(&self, more: &str) -> String {
        self.provision_queues(&self.settings.queues, more)
    }

    /// The same for one queue. A number that the command names would be set on every queue that it names, and so be
    /// lowered on some.
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

    /// A key that nobody has.
    fn random(&self) -> u128 {
        SystemRandom.bits()
    }
}

#[cfg(test)]
mod tests;
