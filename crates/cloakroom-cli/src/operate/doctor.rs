//! `cloakroom doctor`: checks the resources of an account, and reports a fix for each finding.

use std::{process::ExitCode, sync::Arc};

use cloakroom::recovery::{Sweep, SweepSettings, SweepStep, Swept};
use cloakroom_aws::{Aws, Diagnosis, DiagnosisSettings, Finding, Findings, Problem};

use crate::{
    account::Account,
    operate::{Output, scan::millis},
    site::Failure,
    terminal::in_one_line,
};

/// Checks the tables, the bucket and the queues, and reports problems with their fixes
///
/// It tests permissions without sending or receiving messages, and changes nothing. The exit code
/// is 1 if there is an error or a warning.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    account: Account,
    /// A queue, by the name that endpoints and routes use; its dead-letter queue is also checked
    #[arg(long = "queue", value_name = "NAME", required = true)]
    queues: Vec<String>,
    /// The largest `attempts_max` of the endpoints, at most 999
    #[arg(long, value_name = "N", default_value_t = DiagnosisSettings::default().attempts_max)]
    attempts_max: u32,
    /// The time limit of a worker for one attempt (its `attempt_ms_max`), in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = DiagnosisSettings::default().attempt_s_max)]
    attempt_s_max: u32,
    /// The timeout of the Lambda function that receives from the queues, in seconds, if there is
    /// one
    #[arg(long, value_name = "SECONDS")]
    lambda_timeout_s: Option<u32>,
    /// Report this finding only as a note, because it is intended: its id, such as
    /// `table-recovery-off`
    #[arg(long = "accept", value_name = "ID")]
    accepted: Vec<Problem>,
    /// Find outbox records older than this, such as `15m`; reads the whole table, at one read unit
    /// per 4 KB
    #[arg(long, value_name = "DURATION")]
    records_older_than: Option<humantime::Duration>,
    #[command(flatten)]
    output: Output,
}

pub(crate) async fn run(options: Options) -> Result<ExitCode, Failure> {
    let Options {
        account,
        queues,
        attempts_max,
        attempt_s_max,
        lambda_timeout_s,
        accepted,
        records_older_than,
        output,
    } = options;
    let accepted = accepted.into_iter().collect();
    let settings = DiagnosisSettings { queues, attempts_max, attempt_s_max, lambda_timeout_s, accepted };
    let aws = account.aws().await?;
    let diagnosis = Diagnosis::new(&aws, settings).map_err(Failure::new)?;
    let mut findings = diagnosis.with_command_options(&account.options()).run().await;
    if let Some(age) = records_older_than {
        findings.findings.extend(stranded(&aws, age).await?);
    }
    let healthy = findings.is_healthy();
    output.print(&if output.json { findings } else { in_lines(findings) })?;
    Ok(ExitCode::from(u8::from(!healthy)))
}

/// Returns the findings with each text in one line. Texts from services and object keys must not
/// look like further findings.
fn in_lines(findings: Findings) -> Findings {
    let in_line = |finding: Finding| Finding {
        on: in_one_line(&finding.on),
        text: in_one_line(&finding.text),
        fix: in_one_line(&finding.fix),
        ..finding
    };
    Findings { findings: findings.findings.into_iter().map(in_line).collect() }
}

/// Returns a finding if there are records older than `age`.
async fn stranded(aws: &Aws, age: humantime::Duration) -> Result<Option<Finding>, Failure> {
    let settings = SweepSettings { older_than_ms: millis(age), dry_run: true, ..SweepSettings::default() };
    let sweep = Sweep::new(Arc::new(aws.records()), aws.ports(), settings)?;
    let mut waiting = 0_u64;
    let count =
        |step: SweepStep<'_>| waiting += u64::from(matches!(step, SweepStep::Record(_, Swept::Due | Swept::Left(_))));
    sweep.run(None, count).await?;
    let text = format!("{waiting} records are older than {age}: their outgoing messages were not sent");
    let fix = "`cloakroom pending` lists the records; `cloakroom dlq finish QUEUE` finishes those whose message is in a \
               dead-letter queue; `cloakroom sweep` finishes the others";
    let table = format!("table `{}`", aws.settings().table);
    Ok((waiting > 0).then(|| Finding::new(Problem::RecordsStranded, table, text, fix)))
}
