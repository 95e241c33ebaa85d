//! The attributes of a queue. They are checked when they are set, and stored as they were given.

use std::collections::BTreeMap;

use crate::clock::{Millis, SECOND};
use crate::sqs::error::{Error, Kind};
use crate::sqs::redrive::{self, Redrive};

/// The maximum size of a message and of a batch, in bytes.
pub(super) const MAX_MESSAGE_BYTES: usize = 1_048_576;

/// The settings of a queue.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Settings {
    /// The attributes as they were given.
    pub(super) given: BTreeMap<String, String>,
    pub(super) fifo: bool,
    pub(super) visibility: Millis,
    pub(super) delay: Millis,
    pub(super) retention: Millis,
    pub(super) wait: Millis,
    pub(super) max_message_bytes: usize,
    pub(super) redrive: Option<Redrive>,
    pub(super) deduplicates_by_content: bool,
    pub(super) deduplicates_per_group: bool,
}

/// Attributes with a number: name, minimum, maximum and default, in the order of
/// [`Settings::read`].
const NUMBERS: [(&str, u64, u64, u64); 5] = [
    ("VisibilityTimeout", 0, 43_200, 30),
    ("DelaySeconds", 0, 900, 0),
    ("MessageRetentionPeriod", 60, 1_209_600, 345_600),
    ("ReceiveMessageWaitTimeSeconds", 0, 20, 0),
    ("MaximumMessageSize", 1_024, MAX_MESSAGE_BYTES as u64, MAX_MESSAGE_BYTES as u64),
];

/// Attributes that are checked, stored and returned, but have no effect here. Only
/// `RedriveAllowPolicy` has an effect: it restricts which queues may have this queue as their
/// dead-letter queue.
const INERT: [&str; 6] = [
    "Policy",
    "RedriveAllowPolicy",
    "KmsMasterKeyId",
    "KmsDataKeyReusePeriodSeconds",
    "SqsManagedSseEnabled",
    "FifoThroughputLimit",
];

/// Attributes that only FIFO queues have.
const FIFO_ONLY: [&str; 3] = ["ContentBasedDeduplication", "DeduplicationScope", "FifoThroughputLimit"];

/// Attributes that an empty value removes. Any other attribute must have a value.
const REMOVABLE: [&str; 4] = ["Policy", "RedrivePolicy", "RedriveAllowPolicy", "KmsMasterKeyId"];

impl Settings {
    /// Checks the attributes of a queue with this name.
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
        check(&given, fifo)?;
        Self::read(given, fifo)
    }

    /// Restores the attributes of a queue with this name from the journal. An earlier version may
    /// have accepted attributes that are rejected today.
    pub(super) fn restore(name: &str, mut given: BTreeMap<String, String>) -> Result<Self, Error> {
        let fifo = name.ends_with(".fifo");
        given.retain(|attribute, _| fifo || attribute != "FifoQueue" && !FIFO_ONLY.contains(&attribute.as_str()));
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
            max_message_bytes: usize::try_from(largest?).unwrap_or(MAX_MESSAGE_BYTES),
            redrive: given.get("RedrivePolicy").map(|text| redrive::parse(text)).transpose()?,
            deduplicates_by_content: flag(&given, "ContentBasedDeduplication")?,
            deduplicates_per_group,
            given,
        })
    }

    /// Returns these settings with some attributes changed. An empty value removes a removable
    /// attribute.
    pub(super) fn with(&self, name: &str, changes: BTreeMap<String, String>) -> Result<Self, Error> {
        let mut given = self.given.clone();
        for (attribute, value) in changes {
            if attribute == "FifoQueue" && given.get("FifoQueue") != Some(&value) {
                return Err(invalid(&attribute, &value));
            }
            match value.is_empty() && REMOVABLE.contains(&attribute.as_str()) {
                true => given.remove(&attribute),
                false => given.insert(attribute, value),
            };
        }
        Self::parse(name, given)
    }

    /// Returns all attributes with their given or default values.
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

/// Checks the attributes that [`Settings::read`] does not parse.
fn check(given: &BTreeMap<String, String>, fifo: bool) -> Result<(), Error> {
    if !fifo && given.contains_key("FifoQueue") {
        return Err(Kind::InvalidAttributeName.because("Unknown Attribute FifoQueue."));
    }
    if let Some(attribute) = FIFO_ONLY.into_iter().find(|attribute| !fifo && given.contains_key(*attribute)) {
        let why = format!("You can specify the {attribute} only when FifoQueue is set to true.");
        return Err(Kind::InvalidAttributeName.because(why));
    }
    number(given, ("KmsDataKeyReusePeriodSeconds", 60, 86_400, 300))?;
    flag(given, "SqsManagedSseEnabled")?;
    let value = |attribute: &str| given.get(attribute).map(String::as_str);
    match (value("FifoThroughputLimit"), value("DeduplicationScope")) {
        (None | Some("perQueue"), _) | (Some("perMessageGroupId"), Some("messageGroup")) => {}
        (Some(limit), _) => return Err(invalid("FifoThroughputLimit", limit)),
    }
    if let Some(policy) = value("Policy")
        && serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(policy).is_err()
    {
        return Err(invalid("Policy", policy));
    }
    value("RedrivePolicy").map_or(Ok(()), redrive::check_policy)?;
    value("RedriveAllowPolicy").map_or(Ok(()), redrive::check_allow_policy)
}

/// Checks that queues have an attribute with this name, whether or not it can be set.
pub(super) fn check_readable(attribute: &str) -> Result<(), Error> {
    match attribute == "All" || is_known(attribute) || DERIVED.contains(&attribute) {
        true => Ok(()),
        false => Err(Kind::InvalidAttributeName.because(format!("Unknown Attribute {attribute}."))),
    }
}

/// Read-only attributes.
const DERIVED: [&str; 6] = [
    "QueueArn",
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesDelayed",
    "ApproximateNumberOfMessagesNotVisible",
    "CreatedTimestamp",
    "LastModifiedTimestamp",
];

fn is_known(attribute: &str) -> bool {
    NUMBERS.iter().any(|(name, ..)| *name == attribute)
        || INERT.contains(&attribute)
        || matches!(attribute, "FifoQueue" | "ContentBasedDeduplication" | "DeduplicationScope" | "RedrivePolicy")
}

fn invalid(attribute: &str, value: &str) -> Error {
    Kind::InvalidAttributeValue.because(format!("Invalid value for the parameter {attribute}: {value}."))
}

fn number(given: &BTreeMap<String, String>, (name, min, max, default): (&str, u64, u64, u64)) -> Result<u64, Error> {
    let Some(value) = given.get(name) else {
        return Ok(default);
    };
    let number = value.parse().ok();
    number.filter(|number| (min..=max).contains(number)).ok_or_else(|| invalid(name, value))
}

fn flag(given: &BTreeMap<String, String>, name: &str) -> Result<bool, Error> {
    match given.get(name).map(String::as_str) {
        None | Some("false") => Ok(false),
        Some("true") => Ok(true),
        Some(other) => Err(invalid(name, other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        let pairs = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into()));
        pairs.collect()
    }

    #[test]
    fn invalid_queue_attribute_values_are_rejected() {
        for (name, value) in [
            ("VisibilityTimeout", "43201"),
            ("MaximumMessageSize", "1048577"),
            ("DelaySeconds", "-1"),
            ("DelaySeconds", ""),
            ("MessageRetentionPeriod", "59"),
            ("ReceiveMessageWaitTimeSeconds", "21"),
            ("FifoQueue", "yes"),
            ("KmsDataKeyReusePeriodSeconds", "59"),
            ("SqsManagedSseEnabled", "maybe"),
            ("Policy", "anyone"),
        ] {
            let error = Settings::parse("q", given(&[(name, value)])).expect_err(name);
            assert_eq!(error.kind, Kind::InvalidAttributeValue, "{name}");
        }
        let error = Settings::parse("q", given(&[("Colour", "red")])).expect_err("unknown");
        assert_eq!(error.kind, Kind::InvalidAttributeName);
    }

    #[test]
    fn fifo_queue_needs_the_suffix_and_the_attribute() {
        let fifo = given(&[("FifoQueue", "true")]);
        assert!(Settings::parse("q", fifo.clone()).is_err());
        assert!(Settings::parse("q.fifo", given(&[])).is_err());
        let settings = Settings::parse("q.fifo", fifo).expect("both");
        assert!(settings.with("q.fifo", given(&[("FifoQueue", "false")])).is_err());
    }

    #[test]
    fn attributes_of_fifo_queues_are_rejected_on_standard_queues() {
        for (name, value) in [
            ("FifoQueue", "false"),
            ("ContentBasedDeduplication", "false"),
            ("DeduplicationScope", "queue"),
            ("FifoThroughputLimit", "perQueue"),
        ] {
            let error = Settings::parse("q", given(&[(name, value)])).expect_err(name);
            assert_eq!(error.kind, Kind::InvalidAttributeName, "{name}");
        }
    }

    #[test]
    fn high_throughput_of_a_fifo_queue_needs_deduplication_by_group() {
        let with = |more: &[(&str, &str)]| {
            let pairs = [&[("FifoQueue", "true")], more].concat();
            Settings::parse("q.fifo", given(&pairs)).map_err(|error| error.kind)
        };
        let (limit, scope) = ("FifoThroughputLimit", "DeduplicationScope");
        assert!(with(&[(limit, "perMessageGroupId"), (scope, "messageGroup")]).is_ok());
        assert!(with(&[(limit, "perQueue"), (scope, "messageGroup")]).is_ok());
        for wrong in [
            vec![(limit, "perMessageGroupId")],
            vec![(limit, "perMessageGroupId"), (scope, "queue")],
            vec![(limit, "perGroup"), (scope, "messageGroup")],
            vec![(scope, "world")],
            vec![("ContentBasedDeduplication", "yes")],
        ] {
            assert_eq!(with(&wrong), Err(Kind::InvalidAttributeValue), "{wrong:?}");
        }
    }

    #[test]
    fn redrive_policies_that_aws_rejects_are_rejected() {
        let target = r#""deadLetterTargetArn":"arn:aws:sqs:us-east-1:000000000000:dead""#;
        let refused = |attribute: &str, text: &str| {
            let error = Settings::parse("q", given(&[(attribute, text)])).expect_err(text);
            assert_eq!(error.kind, Kind::InvalidParameterValue, "{text}");
            error.message
        };
        for (policy, reason) in [
            ("dead".to_owned(), "not a valid JSON map"),
            ("[]".to_owned(), "not a valid JSON map"),
            ("{}".to_owned(), "mandatory attribute: deadLetterTargetArn"),
            (format!("{{{target}}}"), "mandatory attribute: maxReceiveCount"),
            (r#"{"deadLetterTargetArn":"dead","maxReceiveCount":1}"#.to_owned(), "deadLetterTargetArn"),
            (format!(r#"{{{target},"maxReceiveCount":0}}"#), "from 1 to 1000"),
            (format!(r#"{{{target},"maxReceiveCount":1001}}"#), "from 1 to 1000"),
            (format!(r#"{{{target},"maxReceiveCount":1.5}}"#), "from 1 to 1000"),
            (format!(r#"{{{target},"maxReceiveCount":"many"}}"#), "from 1 to 1000"),
            (format!(r#"{{{target},"maxReceiveCount":1,"delay":1}}"#), "attributes are supported"),
        ] {
            let message = refused("RedrivePolicy", &policy);
            assert!(message.contains(reason), "{message}");
        }
        for policy in [
            "[]",
            r#"{"redrivePermission":"some"}"#,
            r#"{"redrivePermission":"byQueue"}"#,
            r#"{"redrivePermission":"byQueue","sourceQueueArns":[]}"#,
            r#"{"redrivePermission":"allowAll","sourceQueueArns":["arn:aws:sqs:us-east-1:000000000000:q"]}"#,
            r#"{"redrivePermission":"allowAll","colour":"red"}"#,
        ] {
            refused("RedriveAllowPolicy", policy);
        }
    }

    #[test]
    fn queues_of_earlier_versions_are_restored_with_attributes_that_are_now_rejected() {
        let settings = Settings::restore("q", given(&[("FifoQueue", "false"), ("DeduplicationScope", "queue")]));
        assert!(!settings.expect("restored").fifo);
    }

    #[test]
    fn empty_value_removes_a_queue_attribute() {
        let arn = "arn:aws:sqs:us-east-1:000000000000:dead";
        let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"3"}}"#);
        let settings = Settings::parse("q", given(&[("RedrivePolicy", &policy)])).expect("a policy");
        let redrive = settings.redrive.clone().expect("parsed");
        assert_eq!((redrive.target.as_str(), redrive.max_receives), ("dead", 3));
        let settings = settings.with("q", given(&[("RedrivePolicy", "")]));
        assert_eq!(settings.expect("valid").redrive, None);
    }
}
