//! `cloakroom provision`: creates and updates the tables, the bucket and the queues.

use std::{fmt, process::ExitCode};

use cloakroom_aws::{Plan, Provisioning, ProvisioningSettings};
use serde::Serialize;

use crate::{account::Account, operate::Output, site::Failure};

/// Creates the tables, the bucket and the queues, or updates them
///
/// The command may be repeated. It deletes nothing, and shortens no retention. It lowers the
/// visibility timeout and the maximum receive count of a queue only to a value that is given.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    account: Account,
    #[command(flatten)]
    wanted: Wanted,
    /// Print the changes that would be made, and change nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
}

/// The requested resources and their settings.
#[derive(Clone, Debug, clap::Args)]
struct Wanted {
    /// A queue, by the name that endpoints and routes use; its dead-letter queue is created with it
    #[arg(long = "queue", value_name = "NAME", required = true)]
    queues: Vec<String>,
    /// The default visibility timeout of the queues, in seconds; a Lambda function needs six times
    /// its timeout [default: 30, or that of an existing queue if it is higher]
    #[arg(long, value_name = "SECONDS")]
    visibility_s: Option<u32>,
    /// Retention of the queues, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = ProvisioningSettings::default().retention_s)]
    retention_s: u32,
    /// Retention of the dead-letter queues, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = ProvisioningSettings::default().dead_letter_retention_s)]
    dead_letter_retention_s: u32,
    /// Receives after which SQS itself moves a message to the dead-letter queue; more than
    /// `--attempts-max`, and more than 4 [default: twice `--attempts-max` and at least 16, for a
    /// FIFO queue 1000, or that of an existing queue if it is higher]
    #[arg(long, value_name = "N")]
    receives_max: Option<u32>,
    /// The largest `attempts_max` of the endpoints
    #[arg(long, value_name = "N", default_value_t = ProvisioningSettings::default().attempts_max)]
    attempts_max: u32,
    /// Days until payloads and dedupe entries expire; must be longer than messages need them
    #[arg(long, value_name = "DAYS", default_value_t = ProvisioningSettings::default().expiry_days)]
    expiry_days: u32,
    /// Turn point-in-time recovery on: the table can be restored to any second of the last 35 days
    #[arg(long)]
    point_in_time_recovery: bool,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode, Failure> {
    let Options { account, wanted, dry_run, output } = options;
    let provisioning = Provisioning::new(&account.aws().await?, wanted.into()).map_err(Failure::new)?;
    let plan = if dry_run { provisioning.plan().await } else { provisioning.apply().await };
    output.print(&Outcome { plan: plan.map_err(Failure::new)?, dry_run })?;
    Ok(ExitCode::SUCCESS)
}

impl From<Wanted> for ProvisioningSettings {
    fn from(wanted: Wanted) -> Self {
        let Wanted {
            queues,
            visibility_s,
            retention_s,
            dead_letter_retention_s,
            receives_max,
            attempts_max,
            expiry_days,
            point_in_time_recovery,
        } = wanted;
        Self {
            queues,
            visibility_s,
            retention_s,
            dead_letter_retention_s,
            receives_max,
            attempts_max,
            expiry_days,
            point_in_time_recovery,
        }
    }
}

/// The changes that were made, or would be made in a dry run.
#[derive(Debug, Serialize)]
struct Outcome {
    #[serde(flatten)]
    plan: Plan,
    dry_run: bool,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.plan.is_empty() {
            return f.write_str("nothing to do");
        }
        let lines = self.plan.changes.iter().map(|change| match self.dry_run {
            true => format!("would {change}"),
            false => format!("done: {change}"),
        });
        f.write_str(&lines.collect::<Vec<_>>().join("\n"))
    }
}
