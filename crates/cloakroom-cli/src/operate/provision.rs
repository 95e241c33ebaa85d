//! `cloakroom provision`: the table, the bucket and the queues.

use std::process::ExitCode;

use cloakroom_aws::{Provisioning, ProvisioningSettings};

use super::Output;
use crate::{account::Account, site::Failure};

/// Makes the table, the bucket and the queues, or brings them up to date
///
/// It may be repeated, and deletes nothing.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    account: Account,
    /// A queue, by the name that endpoints and routes use; its dead-letter queue comes with it
    #[arg(long = "queue", value_name = "NAME", required = true)]
    queues: Vec<String>,
    /// Keep the table restorable to any second of the last 35 days
    #[arg(long)]
    point_in_time_recovery: bool,
    /// Print what would be done, and do nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode, Failure> {
    let Options { account, queues, point_in_time_recovery, dry_run, output } = options;
    let settings = ProvisioningSettings { queues, point_in_time_recovery, ..ProvisioningSettings::default() };
    let provisioning = Provisioning::new(&account.aws().await?, settings).map_err(Failure::new)?;
    let plan = if dry_run { provisioning.plan().await } else { provisioning.apply().await };
    output.print(&plan.map_err(Failure::new)?)?;
    Ok(ExitCode::SUCCESS)
}
