//! The attributes of a queue: checked when they are set, kept as they were given.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::error::{Error, Kind};
use crate::clock::{Millis, SECOND};

/// The largest message, and the largest batch, in bytes.
pub(super) const LARGEST_MESSAGE: usize = 1_048_576;

/// What a queue was configured to do.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    /// The attributes as they were given.
    pub(super) given: BTreeMap<String, String>,
    pub(super) fifo: bool,
    pub(super) visibility: Millis,
    pub(super) delay: Millis,
    pub(super) retention: Millis,
    pub(super) wait: Millis,
    pub(super) largest_message: usize,
    pub(super) redrive: Option<Redrive>,
    pub(super) deduplicates_by_content: bool,
    pub(super) deduplicates_per_group: bool,
}

/// When messages go to which dead-letter queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redrive {
    pub(super) target: String,
    pub(super) most_receives: u32,
}

/// Attributes with a number: name, least, most and default, in the order of [`Settings::read`].
const NUMBERS: [(&str, u64, u64, u64); 5] = [
    ("VisibilityTimeout", 0, 43_200, 30),
    ("DelaySeconds", 0, 900, 0),
    ("MessageRetentionPeriod", 60, 1_209_600, 345_600),
    ("ReceiveMessageWaitTimeSeconds", 0, 20, 0),
    ("MaximumMessageSize", 1_024, LARGEST_MESSAGE as u64, LARGEST_MESSAGE as u64),
];

/// Attributes that are kept and given back, but change nothing here.
const INERT: [&str; 6] = [
    "Policy",
    "RedriveAllowPolicy",
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
    "SqsManagedSseEnabled",
    "FifoThroughputLimit",
];

impl Settings {
    /// Checks the attributes of a queue of this name.
    pub(super) fn parse(name: &str, given: BTreeMap<String, String>) -> Result<Self, Error> {
        for attribute in given.keys() {
            if !is_known(attribute) {
                return Err(Kind::InvalidAttributeName.because(format!("Unknown Attribute {attribute}.")));
            }
        }
        let fifo = flag(&given, "FifoQueue")?;
        if fifo != name.ends_with(".fifo") {
            return Err(Kind::InvalidParameterValue.because(
                "The name of a FIFO queue can only include alphanumeric characters, hyphens, or \
                 underscores, must end with .fifo suffix and be 1 to 80 in length; set FifoQueue \
                 to true for it, and for no other.",
            ));
        }
        Self::read(given, fifo)
    }

    fn read(given: BTreeMap<String, String>, fifo: bool) -> Result<Self, Error> {
        let [visibility, delay, retention, wait, largest] = NUMBERS.map(|n| number(&given, n));
        let deduplicates_per_group = match given.get("DeduplicationScope").map(String::as_str) {
            Some("messageGroup") => true,
            None | Some("queue") => false,
            Some(other) => return Err(invalid("DeduplicationScope", other)),
        };
        Ok(Self {
            fifo,
            visibility: visibility? * SECOND,
            delay: delay? * SECOND,
            retention: retention? * SECOND,
            wait: wait? * SECOND,
            largest_message: usize::try_from(largest?).unwrap_or(LARGEST_MESSAGE),
            redrive: redrive(&given)?,
            deduplicates_by_content: flag(&given, "ContentBasedDeduplication")?,
            deduplicates_per_group,
            given,
        })
    }

    /// These settings with some attributes changed. An empty value takes an attribute back.
    pub(super) fn with(&self, name: &str, changes: BTreeMap<String, String>) -> Result<Self, Error> {
        let mut given = self.given.clone();
        for (attribute, value) in changes {
            if attribute == "FifoQueue" && given.get("FifoQueue") != Some(&value) {
                return Err(invalid(&attribute, &value));
            }
            match value.is_empty() {
                true => given.remove(&attribute),
                false => given.insert(attribute, value),
            };
        }
        Self::parse(name, given)
    }

    /// All attributes with their values, given or by default.
    pub(super) fn effective(&self) -> BTreeMap<String, String> {
        let mut all = self.given.clone();
        for (name, _, _, default) in NUMBERS {
            all.entry(name.to_owned()).or_insert_with(|| default.to_string());
        }
        all.entry("SqsManagedSseEnabled".to_owned()).or_insert_with(|| "true".to_owned());
        if self.fifo {
            for (name, default) in [
                ("ContentBasedDeduplication", "false"),
                ("DeduplicationScope", "queue"),
                ("FifoThroughputLimit", "perQueue"),
            ] {
                all.entry(name.to_owned()).or_insert_with(|| default.to_owned());
            }
        }
        all
    }
}

fn is_known(attribute: &str) -> bool {
    NUMBERS.iter().any(|(name, ..)| *name == attribute)
        || INERT.contains(&attribute)
        || matches!(attribute, "FifoQueue" | "ContentBasedDeduplication" | "DeduplicationScope" | "RedrivePolicy")
}

fn invalid(attribute: &str, value: &str) -> Error {
    Kind::InvalidAttributeValue.because(format!("Invalid value for the parameter {attribute}: {value}."))
}

fn number(given: &BTreeMap<String, String>, (name, least, most, default): (&str, u64, u64, u64)) -> Result<u64, Error> {
    let Some(value) = given.get(name) else {
        return Ok(default);
    };
    let number = value.parse().ok();
    number.filter(|number| (least..=most).contains(number)).ok_or_else(|| invalid(name, value))
}

fn flag(given: &BTreeMap<String, String>, name: &str) -> Result<bool, Error> {
    match given.get(name).map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(invalid(name, other)),
    }
}

fn redrive(given: &BTreeMap<String, String>) -> Result<Option<Redrive>, Error> {
    /// People write the count as a number or as a string, and SQS takes both.
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Count {
        Number(u32),
        Text(String),
    }
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Policy {
        dead_letter_target_arn: String,
        max_receive_count: Count,
    }

    let Some(text) = given.get("RedrivePolicy") else {
        return Ok(None);
    };
    let policy: Policy = serde_json::from_str(text).map_err(|_| invalid("RedrivePolicy", text))?;
    let count = match policy.max_receive_count {
        Count::Number(count) => Some(count),
        Count::Text(count) => count.parse().ok(),
    };
    let most_receives =
        count.filter(|count| (1..=1_000).contains(count)).ok_or_else(|| invalid("RedrivePolicy", text))?;
    let target =
        super::address::name_in_arn(&policy.dead_letter_target_arn).ok_or_else(|| invalid("RedrivePolicy", text))?;
    Ok(Some(Redrive { target: target.to_owned(), most_receives }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        pairs.collect()
    }

    #[test]
    fn values_are_checked() {
        for (name, value) in [
            ("VisibilityTimeout", "43201"),
            ("MaximumMessageSize", "1048577"),
            ("DelaySeconds", "-1"),
            ("RedrivePolicy", "{}"),
            ("DeduplicationScope", "world"),
            ("FifoQueue", "yes"),
        ] {
            let error = Settings::parse("q", given(&[(name, value)])).expect_err(name);
            assert_eq!(error.kind, Kind::InvalidAttributeValue, "{name}");
        }
        let error = Settings::parse("q", given(&[("Colour", "red")])).expect_err("unknown");
        assert_eq!(error.kind, Kind::InvalidAttributeName);
    }

    #[test]
    fn a_fifo_queue_has_the_suffix_and_the_attribute() {
        let fifo = given(&[("FifoQueue", "true")]);
        assert!(Settings::parse("q", fifo.clone()).is_err());
        assert!(Settings::parse("q.fifo", given(&[])).is_err());
        let settings = Settings::parse("q.fifo", fifo).expect("both");
        assert!(settings.with("q.fifo", given(&[("FifoQueue", "false")])).is_err());
    }

    #[test]
    fn an_empty_value_takes_an_attribute_back() {
        let arn = "arn:aws:sqs:us-east-1:000000000000:dead";
        let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"3"}}"#);
        let settings = Settings::parse("q", given(&[("RedrivePolicy", &policy)])).expect("a policy");
        let redrive = settings.redrive.clone().expect("parsed");
        assert_eq!((redrive.target.as_str(), redrive.most_receives), ("dead", 3));
        let settings = settings.with("q", given(&[("RedrivePolicy", "")]));
        assert_eq!(settings.expect("valid").redrive, None);
    }
}
