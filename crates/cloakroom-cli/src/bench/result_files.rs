//! The results of a run: two files, and a summary on standard output.

use std::{fmt, fs, path::Path};

use cloakroom_bench::{
    page,
    report::{Measured, Report},
};

use crate::{operate::table::Table, site::Failure, terminal};

const PAGE: &str = "report.html";
const DATA: &str = "report.json";

/// Creates the folder, and checks before the run that files can be written to it.
pub(super) fn prepare(folder: &Path) -> Result<(), Failure> {
    let failed =
        |error| Failure::new(format!("`{}` cannot be written to: {error}; give another `--out`", folder.display()));
    fs::create_dir_all(folder).map_err(failed)?;
    let probe = folder.join(".bench-probe");
    fs::write(&probe, []).and_then(|()| fs::remove_file(&probe)).map_err(failed)
}

/// Writes the page and the data. Files of an earlier run are overwritten.
pub(super) fn write(folder: &Path, report: &Report) -> Result<(), Failure> {
    let data = serde_json::to_string_pretty(report).map_err(Failure::new)?;
    for (name, text) in [(DATA, data), (PAGE, page::html(report))] {
        let path = folder.join(name);
        fs::write(&path, text)
            .map_err(|error| Failure::new(format!("writing `{}` failed: {error}", path.display())))?;
    }
    Ok(())
}

/// Prints the report as JSON, or a summary as text.
pub(super) fn print_summary(folder: &Path, report: &Report, json: bool) -> Result<(), Failure> {
    if json { terminal::print_json(report) } else { terminal::print(Summary { folder, report }) }
}

struct Summary<'a> {
    folder: &'a Path,
    report: &'a Report,
}

impl fmt::Display for Summary<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { folder, report } = self;
        let heading = ["CONTESTANT", "MESSAGES/S", "P50 MS", "P99 MS", "$/MILLION", "CPU MS", "AUDIT"];
        writeln!(f, "{}", Table::new(heading, report.measured.iter().map(row)))?;
        report.remarks.iter().try_for_each(|remark| writeln!(f, "! {remark}"))?;
        if report.interrupted {
            writeln!(f, "! interrupted: the report is partial")?;
        }
        write!(f, "the figures are in {}, and the data are in {DATA} in the same folder", folder.join(PAGE).display())
    }
}

fn row(one: &Measured) -> [String; 7] {
    let each = |value: f64| if one.messages == 0 { "-".to_owned() } else { format!("{value:.2}") };
    let ms = |us: u64| each(us as f64 / 1e3);
    [
        one.contestant.clone(),
        if one.seconds > 0.0 { format!("{:.0}", one.messages as f64 / one.seconds) } else { "-".to_owned() },
        ms(one.latency.p50_us),
        ms(one.latency.p99_us),
        each(one.dollars_per_million.values().sum()),
        each(one.cpu_seconds * 1e3 / one.messages as f64),
        if one.audit.balances() { "balances".to_owned() } else { "DOES NOT BALANCE".to_owned() },
    ]
}
