//! `cloakroom bench page`: the page once more, from the data.

use std::process::ExitCode;

use cloakroom_bench::{
    page,
    report::{FORMAT, Report},
};
use serde_json::Value;

use crate::{
    price::{read, told},
    site::Failure,
    terminal,
};

/// Draws the page of a report again, and prints it
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// A report.json that `cloakroom bench` has written; `-` is standard input
    #[arg(value_name = "FILE")]
    report: String,
}

pub(super) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let report = parse(&read(&options.report)?)
        .map_err(|problem| Failure::new(format!("{} {problem}", told(&options.report))))?;
    terminal::write(page::html(&report).as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Reads a report of the form that this program writes.
fn parse(text: &str) -> Result<Report, String> {
    let value: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
    match value.get("format").and_then(Value::as_u64) {
        Some(format) if format == u64::from(FORMAT) => {}
        Some(format) => {
            return Err(format!(
                "is of format {format}, and this version reads {FORMAT}; take the version that wrote it"
            ));
        }
        None => return Err("is no report: it has no `format`; give a report.json of `cloakroom bench`".to_owned()),
    }
    serde_json::from_value(value).map_err(|error| format!("is no report: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_report_is_refused() {
        let refusal = |text: &str| parse(text).unwrap_err();
        assert!(refusal("{").contains("not JSON"));
        assert!(refusal("[]").contains("no `format`"));
        assert!(refusal(r#"{"format":7}"#).contains("format 7, and this version reads 1"));
        assert!(refusal(r#"{"format":1}"#).contains("missing field `began`"));
    }
}
