//! `cloakroom cost`: what a measured use costs.

use std::{fmt, io::Read as _, path::Path, process::ExitCode};

use cloakroom_local::Usage;
use serde::Serialize;
use serde_json::Value;

use super::Output;
use crate::{
    price::{Dollars, Prices, without_looks},
    site::Failure,
};

/// Prices a measured use of DynamoDB, S3 and SQS
///
/// Requests and request units are priced; what is kept, and what leaves the region, are not.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The use, in JSON: what `cloakroom demo --json` prints, or figures of your own in the same form, such as
    /// {"messages":1000,"dynamodb":{"units":{"write":4000,"read":1000}},"s3":{"put_class":1000,"get_class":1000},
    /// "sqs":{"billed_requests":600}}. `-` is standard input
    #[arg(value_name = "FILE")]
    usage: String,
    /// For how many messages that was, if the file does not tell
    #[arg(long, value_name = "N")]
    messages: Option<u64>,
    /// Prices in place of the list prices: {"region":"…","dynamodb_write_unit":…,"dynamodb_read_unit":…,"s3_put_class":…,
    /// "s3_get_class":…,"sqs_request":…} in dollars a piece, or a list of these for several regions
    #[arg(long, value_name = "FILE")]
    prices: Option<String>,
    /// The region whose prices to use, if there are several
    #[arg(long)]
    region: Option<String>,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let Options { usage, messages, prices, region, output } = options;
    if usage == "-" && prices.as_deref() == Some("-") {
        return Err(Failure::new("standard input cannot be both the use and the prices; give a file for one of them"));
    }
    let (source, text) = (told(usage), read(usage)?);
    let measured = Measured::read(&text, *messages).map_err(|problem| Failure::new(format!("{source} {problem}")))?;
    let prices = match prices {
        Some(file) => Prices::read(&read(file)?, &told(file), region.as_deref())?,
        None => Prices::list(region.as_deref())?,
    };
    output.print(&Bill::new(&measured, &prices))?;
    Ok(ExitCode::SUCCESS)
}

fn told(file: &str) -> String {
    if file == "-" { "standard input".to_owned() } else { format!("`{file}`") }
}

fn read(file: &str) -> Result<String, Failure> {
    let text = if file == "-" {
        let mut text = String::new();
        std::io::stdin().lock().read_to_string(&mut text).map(|_| text)
    } else {
        std::fs::read_to_string(Path::new(file))
    };
    text.map_err(|error| Failure::new(format!("{} cannot be read: {error}", told(file))))
}

/// What was used for how many messages.
struct Measured {
    messages: u64,
    usage: Usage,
}

impl Measured {
    /// Reads a report of the demonstration, or the figures alone. The number of messages that is given counts.
    fn read(text: &str, messages: Option<u64>) -> Result<Self, String> {
        let mut value: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
        let Some(fields) = value.as_object_mut() else { return Err("is not a JSON object".to_owned()) };
        let told = fields.remove("messages");
        let told = told.map(|told| told.as_u64().ok_or(format!("has `messages` {told}; it must be a whole number")));
        let messages = messages.map(Ok).or(told).transpose()?;
        let messages = messages.ok_or("does not say for how many messages that was; give `--messages`")?;
        if messages == 0 {
            return Err("is about no messages; there is nothing to divide by".to_owned());
        }
        let usage = match fields.remove("usage") {
            Some(usage) => without_looks(&usage_of(usage)?),
            None => usage_of(value)?,
        };
        Ok(Self { messages, usage })
    }
}

fn usage_of(value: Value) -> Result<Usage, String> {
    let usage: Usage = serde_json::from_value(value.clone()).map_err(|error| format!("has other figures: {error}"))?;
    let known = serde_json::to_value(&usage).map_err(|error| error.to_string())?;
    // What is not known would cost nothing, and nobody would notice.
    if let Some(name) = unknown(&value, &known) {
        return Err(format!("has `{name}`, which is no figure that is known; `cloakroom cost --help` shows the form"));
    }
    for (field, units) in [("write", usage.dynamodb.units.write), ("read", usage.dynamodb.units.read)] {
        if units < 0.0 {
            return Err(format!("has `dynamodb.units.{field}` {units}; it must be 0 or more"));
        }
    }
    Ok(usage)
}

/// The name of the first field that is not among the known ones, with dots between its parts.
fn unknown(value: &Value, known: &Value) -> Option<String> {
    value.as_object()?.iter().find_map(|(name, inner)| match known.get(name) {
        None => Some(name.clone()),
        Some(known) => unknown(inner, known).map(|rest| format!("{name}.{rest}")),
    })
}

#[derive(Debug, Serialize)]
struct Bill {
    messages: u64,
    price_region: String,
    dollars: Dollars,
    dollars_total: f64,
    dollars_per_million: Dollars,
    dollars_per_million_total: f64,
}

impl Bill {
    fn new(Measured { messages, usage }: &Measured, prices: &Prices) -> Self {
        let dollars = prices.of(usage);
        let dollars_per_million = dollars.per_million(*messages);
        Self {
            messages: *messages,
            price_region: prices.region.clone(),
            dollars,
            dollars_total: dollars.total(),
            dollars_per_million,
            dollars_per_million_total: dollars_per_million.total(),
        }
    }
}

impl fmt::Display for Bill {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { messages, price_region, dollars, dollars_per_million: each, .. } = self;
        writeln!(f, "dollars ({price_region})  {:>16}  {:>16}", format!("{messages} messages"), "per million")?;
        for (service, dollars, each) in
            [("DynamoDB", dollars.dynamodb, each.dynamodb), ("S3", dollars.s3, each.s3), ("SQS", dollars.sqs, each.sqs)]
        {
            writeln!(f, "  {service:<width$}  {dollars:>16.6}  {each:>16.2}", width = price_region.len() + 8)?;
        }
        let width = price_region.len() + 8;
        write!(f, "  {:<width$}  {:>16.6}  {:>16.2}", "all", dollars.total(), each.total())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(text: &str) -> String {
        Measured::read(text, None).err().unwrap_or_default()
    }

    #[test]
    fn a_report_and_plain_figures_come_to_the_same() {
        let figures = r#""dynamodb":{"units":{"write":4,"read":2}},"s3":{"put_class":3},"sqs":{"billed_requests":5}"#;
        let plain = Measured::read(&format!("{{\"messages\":2,{figures}}}"), None).unwrap();
        let report = Measured::read(&format!("{{\"orders\":1,\"messages\":2,\"usage\":{{{figures}}}}}"), None).unwrap();
        assert_eq!(plain.usage, report.usage);
        assert_eq!((plain.messages, report.messages), (2, 2));
        assert_eq!(Measured::read(&format!("{{{figures}}}"), Some(7)).unwrap().messages, 7);
    }

    #[test]
    fn figures_that_cannot_be_are_named() {
        assert!(refusal(r#"{"messages":1,"sqs":{"biled_requests":5}}"#).contains("`sqs.biled_requests`"));
        assert!(refusal(r#"{"messages":1,"dynamodb":{"units":{"write":-1}}}"#).contains("`dynamodb.units.write` -1"));
        assert!(refusal(r#"{"messages":-1}"#).contains("`messages` -1"));
        assert!(refusal(r#"{"messages":0}"#).contains("no messages"));
        assert!(refusal(r#"{"sqs":{}}"#).contains("`--messages`"));
        assert!(refusal("[]").contains("not a JSON object"));
        assert!(refusal("{").contains("not JSON"));
    }
}
