//! `cloakroom cost`: the price of a measured use.

use std::{fmt, process::ExitCode};

use cloakroom::observe::{
    Consumption,
    prices::{Dollars, Prices},
};
use cloakroom_local::Usage;
use serde::{Serialize, de::DeserializeOwned};
use serde_json::Value;

use crate::{
    operate::Output,
    price::{PriceOptions, consumption, read, source_name, without_depth_reads},
    site::Failure,
};

/// Prices a measured use of DynamoDB, S3 and SQS
///
/// The price includes requests and request units. It does not include storage and data transfer out
/// of the region.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The use, as JSON: the output of `cloakroom demo --json`; or the consumption that an observer
    /// received, such as
    /// {"messages":1000,"consumption":{"dynamodb":{"GetItem":{"requests":2000,"read_units":2000}}}};
    /// or your own figures, such as
    /// {"messages":1000,"dynamodb":{"units":{"write":4000,"read":1000}},"s3":{"put_class":1000,"get_class":1000},
    /// "sqs":{"billed_requests":600}}. `-` reads standard input
    #[arg(value_name = "FILE")]
    usage: String,
    /// The number of messages of this use; replaces the number in the file
    #[arg(long, value_name = "N")]
    messages: Option<u64>,
    #[command(flatten)]
    prices: PriceOptions,
    #[command(flatten)]
    output: Output,
}

pub(crate) fn run(options: &Options) -> Result<ExitCode, Failure> {
    let Options { usage, messages, prices, output } = options;
    if usage == "-" && prices.prices.as_deref() == Some("-") {
        return Err(Failure::new("standard input cannot be both the use and the prices; give a file for one of them"));
    }
    let (source, text) = (source_name(usage), read(usage)?);
    let measured = Measured::read(&text, *messages).map_err(|problem| Failure::new(format!("{source} {problem}")))?;
    output.print(&Bill::new(&measured, &prices.prices()?))?;
    Ok(ExitCode::SUCCESS)
}

/// A use, and the number of its messages.
struct Measured {
    messages: u64,
    consumption: Consumption,
}

impl Measured {
    /// Reads a report of the demonstration, the consumption that an observer received, or figures
    /// alone. If `messages` is given, it replaces the number in the text.
    fn read(text: &str, messages: Option<u64>) -> Result<Self, String> {
        let mut value: Value = serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))?;
        let Some(fields) = value.as_object_mut() else { return Err("is not a JSON object".to_owned()) };
        let counted = fields.remove("messages");
        let counted =
            counted.map(|count| count.as_u64().ok_or(format!("has `messages` {count}; it must be a whole number")));
        let messages = messages.map(Ok).or(counted).transpose()?;
        let messages = messages.ok_or("has no `messages`, the number of messages of this use; give `--messages`")?;
        if messages == 0 {
            return Err("is a use for no messages (`messages` is 0); give a number above 0".to_owned());
        }
        let consumption = match (fields.remove("consumption"), fields.remove("usage")) {
            (Some(observed), _) => consumption_of(&observed)?,
            (None, Some(usage)) => consumption(&without_depth_reads(&usage_of(&usage)?)),
            (None, None) if names_operations(&value) => consumption_of(&value)?,
            (None, None) => consumption(&usage_of(&value)?),
        };
        Ok(Self { messages, consumption })
    }
}

/// Returns whether the value has names of operations, as a [`Consumption`] has. Their first letter
/// is a capital.
fn names_operations(value: &Value) -> bool {
    let services = value.as_object().into_iter().flat_map(|services| services.values());
    let mut names = services.filter_map(Value::as_object).flat_map(|operations| operations.keys());
    names.any(|name| name.starts_with(char::is_uppercase))
}

fn consumption_of(value: &Value) -> Result<Consumption, String> {
    let consumption: Consumption = figures(value)?;
    for (service, operation, used) in consumption.iter() {
        for (field, units) in [("read_units", used.read_units), ("write_units", used.write_units)] {
            must_be_positive(&format!("{}.{operation}.{field}", service.name()), units)?;
        }
    }
    Ok(consumption)
}

fn usage_of(value: &Value) -> Result<Usage, String> {
    let usage: Usage = figures(value)?;
    must_be_positive("dynamodb.units.write", usage.dynamodb.units.write)?;
    must_be_positive("dynamodb.units.read", usage.dynamodb.units.read)?;
    Ok(usage)
}

fn must_be_positive(name: &str, units: f64) -> Result<(), String> {
    if units < 0.0 { Err(format!("has `{name}` {units}; it must be 0 or more")) } else { Ok(()) }
}

/// Reads figures, and rejects unknown fields.
fn figures<T: DeserializeOwned + Serialize>(value: &Value) -> Result<T, String> {
    let figures: T = serde_json::from_value(value.clone()).map_err(|error| format!("has invalid figures: {error}"))?;
    let known = serde_json::to_value(&figures).map_err(|error| error.to_string())?;
    // An unknown field would cost nothing, and the result would be too low without any sign.
    unknown(value, &known).map_or(Ok(figures), |name| {
        Err(format!("has the unknown field `{name}`; `cloakroom cost --help` shows the accepted forms"))
    })
}

/// Returns the path of the first unknown field, with dots between its parts.
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
    fn new(Measured { messages, consumption }: &Measured, prices: &Prices) -> Self {
        let dollars = prices.of(consumption);
        let dollars_per_million = dollars.per_million(*messages);
        Self {
            messages: *messages,
            price_region: prices.region().to_owned(),
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
    use cloakroom::observe::Service;

    use super::*;

    fn refusal(text: &str) -> String {
        Measured::read(text, None).err().unwrap_or_default()
    }

    #[test]
    fn report_and_plain_figures_give_the_same_consumption() {
        let figures = r#""dynamodb":{"units":{"write":4,"read":2}},"s3":{"put_class":3},"sqs":{"billed_requests":5}"#;
        let plain = Measured::read(&format!("{{\"messages\":2,{figures}}}"), None).unwrap();
        let report = Measured::read(&format!("{{\"orders\":1,\"messages\":2,\"usage\":{{{figures}}}}}"), None).unwrap();
        assert_eq!(plain.consumption, report.consumption);
        assert_eq!((plain.messages, report.messages), (2, 2));
        assert_eq!(Measured::read(&format!("{{{figures}}}"), Some(7)).unwrap().messages, 7);
    }

    #[test]
    fn consumption_is_read_alone_or_as_a_field() {
        let observed =
            r#"{"dynamodb":{"GetItem":{"requests":2,"read_units":2.5}},"sqs_fifo":{"ReceiveMessage":{"requests":3}}}"#;
        let alone = Measured::read(observed, Some(2)).unwrap();
        let part =
            Measured::read(&format!("{{\"messages\":2,\"seconds\":1,\"consumption\":{observed}}}"), None).unwrap();
        assert_eq!(alone.consumption, part.consumption);
        assert_eq!(alone.consumption.of(Service::DynamoDb, "GetItem").read_units, 2.5);
        assert_eq!(alone.consumption.of(Service::SqsFifo, "ReceiveMessage").requests, 3);
    }

    #[test]
    fn invalid_figures_are_named_in_the_error() {
        assert!(refusal(r#"{"messages":1,"sqs":{"biled_requests":5}}"#).contains("`sqs.biled_requests`"));
        assert!(refusal(r#"{"messages":1,"dynamodb":{"units":{"write":-1}}}"#).contains("`dynamodb.units.write` -1"));
        assert!(refusal(r#"{"messages":1,"s3":{"GetObject":{"reqests":5}}}"#).contains("`s3.GetObject.reqests`"));
        assert!(
            refusal(r#"{"messages":1,"consumption":{"dynamodb":{"PutItem":{"write_units":-1}}}}"#)
                .contains("`dynamodb.PutItem.write_units` -1")
        );
        assert!(refusal(r#"{"messages":1,"consumption":{"lambda":{}}}"#).contains("`lambda`"));
        assert!(refusal(r#"{"messages":-1}"#).contains("`messages` -1"));
        assert!(refusal(r#"{"messages":0}"#).contains("no messages"));
        assert!(refusal(r#"{"sqs":{}}"#).contains("`--messages`"));
        assert!(refusal("[]").contains("not a JSON object"));
        assert!(refusal("{").contains("not JSON"));
    }
}
