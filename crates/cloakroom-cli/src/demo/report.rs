//! The report that the demonstration prints at its end.

use std::fmt;

use cloakroom::observe::{Consumption, Counts, Service, prices::Prices};
use cloakroom_local::Usage;
use cloakroom_shop::books::Verdict;
use serde::Serialize;

use crate::{
    demo::{options::Options, workers::Events},
    input::Input,
    price::{consumption, without_depth_reads},
};

/// The result of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) orders: usize,
    pub(crate) lines_skipped: u64,
    pub(crate) verdict: Verdict,
    /// Messages that were committed in this run.
    pub(crate) messages: u64,
    /// Without the last 0.1 seconds of each killed process, which were not reported.
    pub(crate) events: Counts,
    pub(crate) crashes: u64,
    pub(crate) seconds: f64,
    pub(crate) messages_per_second: f64,
    /// Absent unless the report was [priced](Report::priced).
    pub(crate) per_message: Option<PerMessage>,
    /// The memory of this process: the embedded AWS, and the workers unless they are processes of
    /// their own.
    pub(crate) peak_memory_mb: Option<u64>,
    /// All requests and units of the run.
    pub(crate) usage: Usage,
    pub(crate) naive: bool,
}

/// Requests, units and dollars divided by the number of messages. Retries, duplicates, lost commits
/// and the placing of orders are included. Storage is not, and neither are the demonstration's own
/// reads of the queue depths.
#[derive(Debug, Serialize)]
pub(crate) struct PerMessage {
    pub(crate) dynamodb_requests: f64,
    pub(crate) s3_requests: f64,
    pub(crate) sqs_requests: f64,
    pub(crate) write_units: f64,
    pub(crate) read_units: f64,
    pub(crate) fill: Fill,
    pub(crate) dollars_per_million: f64,
    pub(crate) price_region: String,
}

/// The average number of messages in one request to SQS, at most 10. Empty receives are included.
/// `None` if there was no request.
#[derive(Debug, Serialize)]
pub(crate) struct Fill {
    pub(crate) receive: Option<f64>,
    pub(crate) send: Option<f64>,
    pub(crate) delete: Option<f64>,
}

impl Fill {
    fn new(consumption: &Consumption) -> Self {
        let of = |operation| consumption.fill(operation);
        Self { receive: of("ReceiveMessage"), send: of("SendMessageBatch"), delete: of("DeleteMessageBatch") }
    }
}

impl Report {
    pub(crate) fn new(
        options: &Options,
        input: &Input,
        events: &Events,
        usage: &Usage,
        messages: u64,
        seconds: f64,
        verdict: Verdict,
    ) -> Self {
        Self {
            orders: input.orders.len(),
            lines_skipped: input.skipped,
            verdict,
            messages,
            events: events.counts,
            crashes: events.crashes,
            seconds,
            messages_per_second: messages as f64 / seconds,
            per_message: None,
            peak_memory_mb: peak_memory_mb(),
            usage: usage.clone(),
            naive: options.naive,
        }
    }

    /// Adds the use and the cost of a message, if there was a message and Cloakroom processed it.
    pub(crate) fn priced(self, prices: &Prices) -> Self {
        let Self { messages, naive, .. } = self;
        let per_message = (messages > 0 && !naive).then(|| PerMessage::new(&self.usage, messages, prices));
        Self { per_message, ..self }
    }
}

impl PerMessage {
    fn new(usage: &Usage, messages: u64, prices: &Prices) -> Self {
        let consumption = consumption(&without_depth_reads(usage));
        let each = |total: f64| total / messages as f64;
        let requests = |service| each(consumption.total(service).requests as f64);
        let units = consumption.total(Service::DynamoDb);
        Self {
            dynamodb_requests: requests(Service::DynamoDb),
            s3_requests: requests(Service::S3),
            sqs_requests: requests(Service::Sqs),
            write_units: each(units.write_units),
            read_units: each(units.read_units),
            fill: Fill::new(&consumption),
            dollars_per_million: prices.of(&consumption).per_million(messages).total(),
            price_region: prices.region().to_owned(),
        }
    }
}

/// Returns the peak memory of this process in MB, if the system reports it.
fn peak_memory_mb() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    line.trim().strip_suffix(" kB")?.parse::<u64>().ok().map(|kb| kb / 1024)
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { shipped, cancelled, lost, doubled, off, records_left, messages_parked, .. } = self.verdict;
        let Counts { duplicate, conflict, resumed, unknown_commit, handled, .. } = self.events;
        let mut row = |name: &str, value: String| writeln!(f, "  {name:<44}{value:>14}");
        row("orders placed / lines skipped", format!("{} / {}", self.orders, self.lines_skipped))?;
        row("orders shipped / cancelled", format!("{shipped} / {cancelled}"))?;
        row("messages lost / doubled / numbers off", format!("{lost} / {doubled} / {off}"))?;
        row("outbox records left / messages parked", format!("{records_left} / {messages_parked}"))?;
        if !self.naive {
            row("orphan payloads, left to expire", self.verdict.orphan_payloads.to_string())?;
        }
        row("messages processed in this run", self.messages.to_string())?;
        row("  handler runs", handled.to_string())?;
        row("duplicates caught", duplicate.to_string())?;
        row("commits lost to another / unknown", format!("{conflict} / {unknown_commit}"))?;
        row("resumed after a crash", resumed.to_string())?;
        row("workers crashed", self.crashes.to_string())?;
        row("faults injected", self.faults().to_string())?;
        if let Some(each) = &self.per_message {
            row("requests per message: DynamoDB", format!("{:.2}", each.dynamodb_requests))?;
            row("                      S3", format!("{:.2}", each.s3_requests))?;
            row("                      SQS", format!("{:.2}", each.sqs_requests))?;
            let fill = |messages: Option<f64>| messages.map_or_else(|| "-".to_owned(), |each| format!("{each:.1}"));
            row("messages per request to SQS: received", fill(each.fill.receive))?;
            row("                             sent", fill(each.fill.send))?;
            row("                             deleted", fill(each.fill.delete))?;
            row("units per message: write / read", format!("{:.2} / {:.2}", each.write_units, each.read_units))?;
            let dollars = format!("{:.2}", each.dollars_per_million);
            row(&format!("dollars per million messages ({})", each.price_region), dollars)?;
        }
        row("messages per second", format!("{:.0}", self.messages_per_second))?;
        if let Some(mb) = self.peak_memory_mb {
            row("peak memory of this process", format!("{mb} MB"))?;
        }
        for finding in &self.verdict.findings {
            writeln!(f, "! {finding}")?;
        }
        match self.verdict.balanced {
            true => write!(f, "The books balance."),
            false => write!(f, "The books do NOT balance."),
        }
    }
}

impl Report {
    fn faults(&self) -> u64 {
        let faults = &self.usage.faults;
        faults.throttled
            + faults.transaction_conflicts
            + faults.server_errors
            + faults.lost_responses
            + faults.duplicate_deliveries
            + faults.late_deliveries
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The README shows an excerpt of the report. The report must print each of its lines, apart
    /// from the figures.
    #[test]
    fn excerpt_in_the_readme_has_lines_of_the_report() {
        let readme = include_str!("../../../../README.md");
        let (_, rest) = readme.split_once("```text\n").expect("an excerpt of the report");
        let (excerpt, _) = rest.split_once("\n```").expect("the excerpt ends");

        let run = (Options::default(), Input::default(), Events::default(), Usage::default());
        let verdict = Verdict { balanced: true, ..Verdict::default() };
        let report = Report::new(&run.0, &run.1, &run.2, &run.3, 1, 1.0, verdict)
            .priced(&Prices::list(None).expect("the list of prices is well formed"));
        let without_figures = |text: &str| -> Vec<String> {
            let figure = |c: char| c.is_ascii_digit() || matches!(c, '.' | ' ' | '/' | '-');
            text.lines().map(|line| line.trim_end_matches(figure).to_owned() + &" ".repeat(line.len())).collect()
        };
        let (shown, printed) = (without_figures(excerpt), without_figures(&report.to_string()));
        let mut printed = printed.iter();
        for line in &shown {
            assert!(printed.any(|other| other == line), "the report has no such line in this order: {line}");
        }
        assert_eq!(shown.len(), 10);
    }
}
