//! `cloakroom payload orphans`: payloads that no record refers to.

use std::{collections::BTreeMap, fmt, process::ExitCode, time::Duration};

use cloakroom::{
    Timestamp,
    format::{Record, Settles},
    ports::Clock as _,
    recovery::SweepStep,
};
use cloakroom_aws::{Aws, ListedPayload, TokioClock};
use serde::Serialize;

use crate::{
    account::Account,
    operate::{
        Output,
        scan::{ScanRate, age},
        table::Table,
    },
    site::Failure,
    terminal,
};

/// Lists old payloads that no record refers to
///
/// Most of them were left by attempts that ended before their commit, or lost it. They do no harm,
/// and expire. This command deletes nothing.
///
/// Do not delete them yourself. The list can include payloads that messages in queues and
/// dead-letter queues still need, because queues cannot be searched. A message can be sent up to 28
/// days after its payload was checked in. Then it can wait for the retention periods of its queue
/// and its dead-letter queue, by default 4 and 14 days. Give a higher age if these periods are
/// longer, or if `payload_ttl_ms` of an endpoint is longer.
///
/// The command lists the whole bucket, and reads the whole table. It does not list payloads in the
/// payload table, which cost very little until they expire.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    #[command(flatten)]
    account: Account,
    /// Only payloads that were checked in at least this long ago
    #[arg(long, value_name = "DURATION", default_value = "46d")]
    older_than: humantime::Duration,
    #[command(flatten)]
    rate: ScanRate,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Serialize)]
struct Report {
    payloads: u64,
    bytes: u64,
    /// The number of all objects in the bucket.
    objects_listed: u64,
    /// The number of records that cannot be read. Their payloads are listed as orphans.
    unreadable_records: u64,
    orphans: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    claim: String,
    bytes: u64,
    age_s: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |row: &Row| [row.claim.clone(), row.bytes.to_string(), age(row.age_s)];
        write!(f, "{}", Table::new(["CLAIM", "BYTES", "AGE"], self.orphans.iter().map(row)))?;
        write!(f, "{} orphans of {} bytes, among {} objects", self.payloads, self.bytes, self.objects_listed)?;
        if self.payloads > 0 {
            f.write_str(
                "\ndelete none of them: the list can include payloads that messages in queues and dead-letter queues still need",
            )?;
        }
        if self.unreadable_records > 0 {
            let count = self.unreadable_records;
            write!(f, "\n{count} records cannot be read; their payloads are listed as orphans")?;
        }
        Ok(())
    }
}

pub(super) async fn run(Options { account, older_than, rate, output }: Options) -> Result<ExitCode, Failure> {
    let aws = account.aws().await?;
    let now = TokioClock.now();
    // The payloads are listed before the records are read: a payload that is checked in and
    // committed in between is too young to be listed.
    let (mut old, objects_listed) = list(&aws, now, *older_than).await?;
    let sweep = rate.read_only_sweep(&aws)?;
    let mut unreadable_records = 0;
    let report_step = |step: SweepStep<'_>| match step {
        SweepStep::Record(found, _) => match &found.record {
            Ok(record) => claims(record).for_each(|claim| drop(old.remove(claim))),
            Err(_) => unreadable_records += 1,
        },
        SweepStep::Page { .. } => {}
    };
    sweep.run(None, report_step).await?;
    let row = |ListedPayload { claim, bytes, checked_in }: ListedPayload| Row {
        claim: claim.to_string(),
        bytes,
        age_s: now.since(checked_in).as_secs(),
    };
    let orphans: Vec<Row> = old.into_values().map(row).collect();
    let bytes = orphans.iter().map(|orphan| orphan.bytes).sum();
    output.print(&Report { payloads: orphans.len() as u64, bytes, objects_listed, unreadable_records, orphans })?;
    Ok(ExitCode::SUCCESS)
}

/// Returns the payloads that are at least `older_than` old, by claim, and the number of all
/// objects.
async fn list(
    aws: &Aws,
    now: Timestamp,
    older_than: Duration,
) -> Result<(BTreeMap<String, ListedPayload>, u64), Failure> {
    let (mut old, mut objects, mut after) = (BTreeMap::new(), 0, None);
    loop {
        let page = aws.payloads().list(after).await.map_err(Failure::new)?;
        objects += page.objects;
        let is_old = |payload: &ListedPayload| now.since(payload.checked_in) >= older_than;
        old.extend(page.payloads.into_iter().filter(is_old).map(|payload| (payload.claim.to_string(), payload)));
        terminal::progress(format_args!("{objects} objects listed, {} old payloads", old.len()));
        after = page.next;
        if after.is_none() {
            return Ok((old, objects));
        }
    }
}

/// Returns the claims that a record refers to.
fn claims(record: &Record) -> impl Iterator<Item = &str> {
    let incoming = match &record.settles {
        Some(Settles::Payload(claim)) => Some(claim),
        Some(Settles::Entry(_) | Settles::Retained(_)) | None => None,
    };
    let outgoing = record.messages.iter().filter_map(|message| message.envelope.dataref.as_ref());
    incoming.into_iter().chain(outgoing).map(cloakroom::format::Claim::as_str)
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;
    use cloakroom::EndpointSettings;
    use cloakroom_aws::ProvisioningSettings;

    use super::*;

    #[derive(clap::Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    #[test]
    fn default_orphan_age_exceeds_the_longest_life_of_a_message() {
        let command = Command::parse_from(["cloakroom", "--table", "things", "--bucket", "coats"]);
        let ProvisioningSettings { retention_s, dead_letter_retention_s, .. } = ProvisioningSettings::default();
        let kept = Duration::from_secs(u64::from(retention_s) + u64::from(dead_letter_retention_s));
        let payload_ttl = Duration::from_millis(EndpointSettings::default().payload_ttl_ms);
        assert!(*command.options.older_than >= payload_ttl + kept, "{:?}", command.options.older_than);
    }

    #[test]
    fn orphan_report_warns_that_queued_messages_may_need_the_payloads() {
        let row = Row { claim: "00.coats".to_owned(), bytes: 1, age_s: 1 };
        let report = Report { payloads: 1, bytes: 1, objects_listed: 1, unreadable_records: 0, orphans: vec![row] };
        assert!(report.to_string().contains("messages in queues and dead-letter queues still need"), "{report}");
    }
}
