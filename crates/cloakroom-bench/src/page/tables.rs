//! The tables of the page: contestants, counts of events, and requests to the services.

use std::{collections::BTreeSet, fmt};

use cloakroom::observe::Service;

use crate::{
    page::{
        figure::Mark,
        text::{Text, count, decimal, dollars, number, time},
    },
    report::{Audit, Measured, Report},
};

/// Returns the services with a price, with their names in reports.
pub(super) fn services(measured: &[Measured]) -> BTreeSet<&str> {
    measured.iter().flat_map(|one| one.dollars_per_million.keys()).map(String::as_str).collect()
}

/// Returns the name of a service as AWS spells it.
pub(super) fn spelled(service: &str) -> &str {
    match service {
        "dynamodb" => "DynamoDB",
        "s3" => "S3",
        "sqs" => "SQS",
        other => other,
    }
}

/// Returns the total cost of a million messages. NaN if the report has no prices.
pub(super) fn dollars_in_all(one: &Measured) -> f64 {
    if one.dollars_per_million.is_empty() { f64::NAN } else { one.dollars_per_million.values().sum() }
}

/// Returns the sum of the counts whose name has this prefix, such as `duplicates caught`.
pub(super) fn counted_as(one: &Measured, beginning: &str) -> u64 {
    one.counts.iter().filter(|(name, _)| name.starts_with(beginning)).map(|(_, count)| count).sum()
}

fn each(value: f64, messages: u64) -> f64 {
    // Without messages this is not a finite number, and is shown as missing.
    value / messages as f64
}

fn requests(one: &Measured) -> u64 {
    one.consumption.iter().map(|(.., used)| used.requests).sum()
}

/// The table of contestants, with the most important figures.
pub(super) struct Contestants<'a>(pub(super) &'a Report);

impl fmt::Display for Contestants<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { measured, workload, .. } = self.0;
        let services = services(measured);
        let is_open = workload.rate_per_s.is_some();
        writeln!(f, "<section>\n<h2>Contestants</h2>\n<div class=\"wide\">\n<table>")?;
        writeln!(f, "{}\n<tbody>", Heading { is_open, services: &services })?;
        for (index, one) in measured.iter().enumerate() {
            let row = Row { mark: Mark::Line(index), one, rate_per_s: workload.rate_per_s, services: &services };
            writeln!(f, "{row}")?;
        }
        writeln!(f, "</tbody>\n</table>\n</div>")?;
        writeln!(
            f,
            "<p class=\"small\">Latency is the time from when a message should have been offered to its end. Requests \
             are billed requests. CPU is the user and system time of the whole process, including embedded services.</p>\n\
             </section>"
        )
    }
}

struct Heading<'a> {
    /// Whether the workload is an open loop, with an intended rate.
    is_open: bool,
    services: &'a BTreeSet<&'a str>,
}

impl fmt::Display for Heading<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { is_open, services } = self;
        let tall = |text, class| format!("<th rowspan=\"2\" class=\"{class}\">{text}</th>");
        let broad = |text, columns: usize| format!("<th colspan=\"{columns}\">{text}</th>");
        write!(f, "<thead>\n<tr>{}{}", tall("contestant", "text"), tall("audit", "text"))?;
        write!(f, "{}{}", broad("messages/s", 1 + usize::from(*is_open)), broad("latency", 3))?;
        write!(
            f,
            "{}{}",
            tall("requests per<br/>message", ""),
            broad("dollars per million messages", services.len() + 1)
        )?;
        let others = ["CPU ms per<br/>message", "dupli-<br/>cates", "con-<br/>flicts"].map(|text| tall(text, ""));
        write!(f, "{}</tr>\n<tr>{}", others.concat(), if *is_open { "<th>offered</th>" } else { "" })?;
        write!(f, "<th>ended</th><th>p50</th><th>p99</th><th>p99.9</th>")?;
        services.iter().try_for_each(|service| write!(f, "<th>{}</th>", Text(spelled(service))))?;
        write!(f, "<th>all</th></tr>\n</thead>")
    }
}

struct Row<'a> {
    mark: Mark,
    one: &'a Measured,
    rate_per_s: Option<f64>,
    services: &'a BTreeSet<&'a str>,
}

impl fmt::Display for Row<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mark, one, rate_per_s, services } = self;
        let (name, promise) = (Text(&one.contestant), Text(&one.promise));
        write!(f, "<tr><th class=\"text\" scope=\"row\">{mark} {name}<span class=\"promise\">{promise}</span></th>")?;
        write!(f, "{}", AuditResult(&one.audit))?;
        if let Some(rate) = rate_per_s {
            write!(f, "{}", Offer { rate: *rate, reached: one.offered_per_s })?;
        }
        write!(f, "<td class=\"main\">{}</td>", number(one.messages as f64 / one.seconds))?;
        for us in [one.latency.p50_us, one.latency.p99_us, one.latency.p999_us] {
            write!(f, "<td>{}</td>", if one.messages == 0 { number(f64::NAN) } else { time(us) })?;
        }
        write!(f, "<td>{}</td>", number(each(requests(one) as f64, one.messages)))?;
        for service in *services {
            let cost = one.dollars_per_million.get(*service).copied().unwrap_or(0.0);
            write!(f, "<td>{}</td>", dollars(cost))?;
        }
        write!(f, "<td class=\"main\">{}</td>", dollars(dollars_in_all(one)))?;
        write!(f, "<td>{}</td>", number(each(one.cpu_seconds * 1e3, one.messages)))?;
        let [duplicates, conflicts] = ["duplicate", "conflict"].map(|kind| count(counted_as(one, kind)));
        write!(f, "<td>{duplicates}</td><td>{conflicts}</td></tr>")
    }
}

/// The rate that was really offered, marked if it is below the intended rate.
struct Offer {
    rate: f64,
    reached: Option<f64>,
}

/// The share of the intended rate from which it counts as reached.
const REACHED: f64 = 0.98;

impl fmt::Display for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { rate, reached } = *self;
        let reached = reached.unwrap_or(f64::NAN);
        if reached >= rate * REACHED {
            return write!(f, "<td>{}</td>", number(reached));
        }
        write!(f, "<td class=\"bad\">{}<br/><small>not {}</small></td>", number(reached), number(rate))
    }
}

struct AuditResult<'a>(&'a Audit);

impl fmt::Display for AuditResult<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Audit { lost, doubled, unsent, sent_twice } = self.0;
        if self.0.balances() {
            return write!(f, "<td class=\"text good\">✓ balances</td>");
        }
        let differences = [(lost, "lost"), (doubled, "doubled"), (unsent, "not sent"), (sent_twice, "sent twice")];
        let differences = differences.into_iter().filter(|(number, _)| **number > 0);
        let differences: Vec<_> = differences.map(|(number, what)| format!("{} {what}", count(*number))).collect();
        write!(f, "<td class=\"text bad\">✗ {}</td>", differences.join(",<br/>"))
    }
}

/// The table of counts, with one row for each event.
pub(super) struct Counts<'a>(pub(super) &'a [Measured]);

impl fmt::Display for Counts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: BTreeSet<_> = self.0.iter().flat_map(|one| one.counts.keys()).collect();
        if names.is_empty() {
            return Ok(());
        }
        writeln!(f, "<section>\n<h2>Counts of events</h2>")?;
        let rows = names.into_iter().map(|name| {
            (name.clone(), self.0.iter().map(|one| one.counts.get(name).map(|number| count(*number))).collect())
        });
        write!(f, "{}", Grid { measured: self.0, what: "", rows: rows.collect() })?;
        writeln!(f, "</section>")
    }
}

/// The table of requests and units per message, by operation.
pub(super) struct Requests<'a>(pub(super) &'a [Measured]);

impl fmt::Display for Requests<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let measured = self.0;
        let operations: BTreeSet<(Service, &str)> = measured
            .iter()
            .flat_map(|one| one.consumption.iter())
            .map(|(service, operation, _)| (service, operation))
            .collect();
        if operations.is_empty() {
            return Ok(());
        }
        let mut rows = Vec::new();
        for (service, operation) in operations {
            let used = |one: &Measured| one.consumption.of(service, operation).requests;
            let cells = measured.iter().map(|one| match used(one) {
                0 => None,
                used => Some(decimal(each(used as f64, one.messages), 3)),
            });
            rows.push((format!("{} {operation}", spelled(service.name())), cells.collect()));
        }
        for (unit, of) in [("write units", true), ("read units", false)] {
            let cells = measured.iter().map(|one| {
                let used = one.consumption.total(Service::DynamoDb);
                Some(decimal(each(if of { used.write_units } else { used.read_units }, one.messages), 2))
            });
            rows.push((format!("DynamoDB {unit}"), cells.collect()));
        }
        writeln!(f, "<section>\n<h2>Requests and units per message</h2>")?;
        write!(f, "{}", Grid { measured, what: "per message", rows })?;
        writeln!(f, "</section>")
    }
}

/// A table with one column for each contestant.
struct Grid<'a> {
    measured: &'a [Measured],
    what: &'static str,
    rows: Vec<(String, Vec<Option<String>>)>,
}

impl fmt::Display for Grid<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { measured, what, rows } = self;
        write!(f, "<div class=\"wide by-contestant\">\n<table>\n<thead><tr><th class=\"text\">{what}</th>")?;
        for (index, one) in measured.iter().enumerate() {
            write!(f, "<th>{} {}</th>", Mark::Line(index), Text(&one.contestant))?;
        }
        writeln!(f, "</tr></thead>\n<tbody>")?;
        for (name, cells) in rows {
            write!(f, "<tr><th class=\"text\" scope=\"row\">{}</th>", Text(name))?;
            cells.iter().try_for_each(|cell| write!(f, "<td>{}</td>", cell.as_deref().unwrap_or("")))?;
            writeln!(f, "</tr>")?;
        }
        writeln!(f, "</tbody>\n</table>\n</div>")
    }
}
