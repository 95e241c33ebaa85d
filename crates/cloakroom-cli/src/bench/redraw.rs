//! `cloakroom bench page`: draws the page again from the data.

use std::process::ExitCode;

use cloakroom_bench::{
    page,
    report::{FORMAT, Report},
};
use serde_json::Value;

use crate::{
    price::{read, source_name},
    site::Failure,
    terminal,
};

/// Draws the page of an earlier report again, and prints it
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// A report.json of `cloakroom bench`; `-` reads standard input
    #[arg(value_name = "FILE")]
    report: String,
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let report = parse(&read(&options.report)?)
        .map_err(|problem| Failure::new(format!("{} {problem}", source_name(&options.report))))?;
    terminal::write(page::html(&report).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Parses a report, and rejects another format version.
fn parse(text: &str) -> Result<Report, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
    match value.get("format").and_then(Value::as_u64) {
        Some(format) if format == u64::from(FORMAT) => {}
        Some(format) => {
            return Err(format!("has format {format}, and this version reads {FORMAT}; use the version that wrote it"));
        }
        None => return Err("is not a report: it has no `format`; give a report.json of `cloakroom bench`".to_owned()),
    }
    serde_json::from_value(value).map_err(|error| format!("is not a report: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn redraw_rejects_files_that_are_not_reports() {
        let refusal = |text: &str| parse(text).unwrap_err();
        assert!(refusal("{").contains("not JSON"));
        assert!(refusal("[]").contains("no `format`"));
        assert!(refusal(r#"{"format":7}"#).contains("format 7, and this version reads 1"));
        assert!(refusal(r#"{"format":1}"#).contains("missing field `began`"));
    }
}
