//! `cloakroom doctor`: what is wrong with an account, and how to mend it.

use std::process::ExitCode;

use cloakroom_aws::{Diagnosis, DiagnosisSettings, Problem};

use super::Output;
use crate::{account::Account, site::Failure};

/// Looks the table, the bucket and the queues over, and says what is amiss and how to mend it
///
/// It tries permissions without sending or taking messages, and leaves everything as it is. The exit code is 1 if there is
/// an error or a warning.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    account: Account,
    /// A queue, by the name that endpoints and routes use; its dead-letter queue is looked at with it
    #[arg(long = "queue", value_name = "NAME", required = true)]
    queues: Vec<String>,
    /// The largest `attempts_max` of the endpoints
    #[arg(long, value_name = "N", default_value_t = DiagnosisSettings::default().attempts_max)]
    attempts_max: u32,
    /// The longest that a worker lets one attempt take (its `attempt_ms_max`), in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = DiagnosisSettings::default().attempt_s_max)]
    attempt_s_max: u32,
    /// The timeout of the Lambda function that takes messages from the queues, in seconds, if it is one that does
    #[arg(long, value_name = "SECONDS")]
    lambda_timeout_s: Option<u32>,
    /// Tell this only as a note, since it is wanted: the id of a finding, such as `table-recovery-off`
    #[arg(long = "accept", value_name = "ID")]
    accepted: Vec<Problem>,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode, Failure> {
    let Options { account, queues, attempts_max, attempt_s_max, lambda_timeout_s, accepted, output } = options;
    let accepted = accepted.into_iter().collect();
    let settings = DiagnosisSettings { queues, attempts_max, attempt_s_max, lambda_timeout_s, accepted };
    let diagnosis = Diagnosis::new(&account.aws().await?, settings).map_err(Failure::new)?;
    let findings = diagnosis.run().await;
    output.print(&findings)?;
    Ok(ExitCode::from(u8::from(!findings.is_healthy())))
}
