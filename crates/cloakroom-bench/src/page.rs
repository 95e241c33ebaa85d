//! A report as a page of HTML: one file that contains its figures. It loads nothing from the
//! network and has no scripts.
//!
//! ```
//! use cloakroom_bench::{page, report::{Report, Workload}};
//!
//! let workload = Workload {
//!     rate_per_s: None,
//!     messages: 0,
//!     entities: 1,
//!     skew: 0.0,
//!     payload_bytes: 1024,
//!     in_flight_max: 48,
//!     workers: 1,
//! };
//! let report = Report {
//!     format: cloakroom_bench::report::FORMAT,
//!     began: "2026-03-01T12:00:00Z".to_owned(),
//!     target: "embedded AWS".to_owned(),
//!     workload,
//!     price_region: "us-east-1".to_owned(),
//!     measured: Vec::new(),
//!     interrupted: true,
//!     remarks: Vec::new(),
//! };
//! assert!(page::html(&report).contains("interrupted"));
//! ```

mod figure;
mod figures;
mod tables;
mod text;

use std::fmt;

use crate::{
    page::{
        figures::{Costs, Events, Latencies, Throughput},
        tables::{Contestants, Counts, Requests},
        text::{Text, bytes, count, counted, number},
    },
    report::{Measured, Report, Workload},
};

const STYLE: &str = include_str!("page/style.css");

/// Returns the page of a report. Any report can be drawn, even with NaN, without contestants, or
/// with names that look like HTML.
pub fn html(report: &Report) -> String {
    Page(report).to_string()
}

struct Page<'a>(&'a Report);

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(report) = self;
        writeln!(f, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>")?;
        writeln!(f, "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>")?;
        writeln!(f, "<title>Cloakroom bench: {}</title>", Text(&report.began))?;
        writeln!(f, "<style>\n{STYLE}</style>\n</head>\n<body>\n<main>")?;
        write!(f, "{}{}", Head(report), Remarks(report))?;
        if report.measured.is_empty() {
            writeln!(f, "<p>Nothing was measured.</p>")?;
        } else {
            write!(f, "{}{}", Contestants(report), Throughput(report))?;
            write!(f, "{}{}", Latencies(&report.measured), Costs(report))?;
            write!(f, "{}{}{}", Events(&report.measured), Counts(&report.measured), Requests(&report.measured))?;
        }
        writeln!(f, "</main>\n</body>\n</html>")
    }
}

/// The workload, the target, the time, and whether the books balance.
struct Head<'a>(&'a Report);

impl fmt::Display for Head<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { began, target, workload, price_region, measured, .. } = self.0;
        let contestants = counted(measured.len() as u64, "contestant", "contestants");
        writeln!(f, "<header>\n<p class=\"kicker\">Cloakroom bench</p>")?;
        writeln!(f, "<h1>{contestants} on {}</h1>", Text(target))?;
        writeln!(f, "<p>{}</p>", Offered(workload))?;
        writeln!(f, "<p class=\"small\">Began {}. Prices of {}.</p>", Text(began), Text(price_region))?;
        writeln!(f, "{}</header>", Verdict(measured))
    }
}

/// The text on the workload.
struct Offered<'a>(&'a Workload);

impl fmt::Display for Offered<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Workload { rate_per_s, messages, entities, skew, payload_bytes, in_flight_max, workers } = self.0;
        let messages = counted(*messages, "message", "messages");
        let (payloads, entities) = (bytes(*payload_bytes), counted(*entities, "entity", "entities"));
        write!(f, "{messages} of {payloads} for each contestant, for {entities}, spread ")?;
        match skew {
            0.0 => write!(f, "evenly. ")?,
            skew => write!(f, "by Zipf’s law with exponent {}. ", number(*skew))?,
        }
        match rate_per_s {
            Some(rate) => {
                write!(
                    f,
                    "Intended rate: {} messages per second, independent of their processing (an open loop). ",
                    number(*rate)
                )?;
            }
            None => write!(f, "Each message was offered when an earlier one had ended (a closed loop). ")?,
        }
        let workers = counted(*workers as u64, "worker", "workers");
        write!(f, "{workers} with at most {} in flight each.", counted(*in_flight_max as u64, "message", "messages"))
    }
}

/// One line on whether the books of all contestants balance.
struct Verdict<'a>(&'a [Measured]);

impl fmt::Display for Verdict<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unbalanced: Vec<_> = self.0.iter().filter(|one| !one.audit.balances()).collect();
        if self.0.is_empty() {
            return Ok(());
        }
        if unbalanced.is_empty() {
            return writeln!(
                f,
                "<p class=\"verdict good\">✓ The books balance: each message had one effect and sent its outgoing \
                 message once.</p>"
            );
        }
        let names: Vec<_> = unbalanced.iter().map(|one| Text(&one.contestant).to_string()).collect();
        let (of, all) = (count(unbalanced.len() as u64), count(self.0.len() as u64));
        writeln!(f, "<p class=\"verdict bad\">✗ The books of {of} of {all} do not balance: {}.</p>", names.join(", "))
    }
}

/// The remarks.
struct Remarks<'a>(&'a Report);

impl fmt::Display for Remarks<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report { interrupted, remarks, .. } = self.0;
        if *interrupted {
            writeln!(
                f,
                "<p class=\"banner\" role=\"alert\"><strong>Partial:</strong> this run was interrupted before its end. The \
                 results are correct but incomplete; messages in flight are not counted.</p>"
            )?;
        }
        if remarks.is_empty() {
            return Ok(());
        }
        writeln!(f, "<ul class=\"remarks\">")?;
        for remark in remarks {
            writeln!(f, "<li>{}</li>", Text(remark))?;
        }
        writeln!(f, "</ul>")
    }
}
