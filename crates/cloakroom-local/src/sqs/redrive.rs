//! The attributes of dead-letter queues: `RedrivePolicy` and `RedriveAllowPolicy`.

use serde_json::{Map, Value};

use crate::sqs::address::{arn, name_in_arn};
use crate::sqs::error::{Error, Kind};

/// The dead-letter queue of a queue, and when messages are moved to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Redrive {
    pub(super) target: String,
    pub(super) max_receives: u32,
}

/// The allowed values of `maxReceiveCount`.
const RECEIVES: std::ops::RangeInclusive<u32> = 1..=1_000;
/// The maximum number of source queues in a `RedriveAllowPolicy`.
const MAX_SOURCES: usize = 10;

pub(super) const POLICY: &str = "RedrivePolicy";
pub(super) const ALLOW_POLICY: &str = "RedriveAllowPolicy";
pub(super) const TARGET: &str = "deadLetterTargetArn";
const COUNT: &str = "maxReceiveCount";

pub(super) fn invalid(parameter: &str, text: &str, reason: &str) -> Error {
    Kind::InvalidParameterValue.because(format!("Value {text} for parameter {parameter} is invalid. Reason: {reason}."))
}

/// Parses the attribute `RedrivePolicy`.
pub(super) fn parse(text: &str) -> Result<Redrive, Error> {
    let refuse = |reason: &str| invalid(POLICY, text, reason);
    let policy = map(text).ok_or_else(|| refuse("Redrive policy is not a valid JSON map"))?;
    let given = |name: &str| {
        let missing = || refuse(&format!("Redrive policy does not contain mandatory attribute: {name}"));
        policy.get(name).ok_or_else(missing)
    };
    let target = given(TARGET)?.as_str().and_then(name_in_arn);
    let target = target.ok_or_else(|| refuse("Invalid value for deadLetterTargetArn"))?.to_owned();
    let count = given(COUNT)?;
    // SQS accepts the count as a number or as a string.
    let parsed = match count.as_str() {
        Some(text) => text.parse().ok(),
        None => count.as_u64().and_then(|count| u32::try_from(count).ok()),
    };
    let max_receives = parsed.filter(|count| RECEIVES.contains(count)).ok_or_else(|| {
        let range = "valid values are from 1 to 1000 both inclusive";
        refuse(&format!("Invalid value for maxReceiveCount: {count}, {range}"))
    })?;
    Ok(Redrive { target, max_receives })
}

/// Checks a `RedrivePolicy` that a client sets. It must not have other attributes.
pub(super) fn check_policy(text: &str) -> Result<(), Error> {
    parse(text)?;
    match map(text).is_some_and(|policy| policy.keys().all(|name| name == TARGET || name == COUNT)) {
        true => Ok(()),
        false => {
            let reason = format!("Only following attributes are supported: [{TARGET}, {COUNT}]");
            Err(invalid(POLICY, text, &reason))
        }
    }
}

/// Checks a `RedriveAllowPolicy` that a client sets.
pub(super) fn check_allow_policy(text: &str) -> Result<(), Error> {
    let refuse = |reason: &str| Err(invalid(ALLOW_POLICY, text, reason));
    let Some(policy) = map(text) else {
        return refuse("It is not a valid JSON map");
    };
    if !policy.keys().all(|name| name == "redrivePermission" || name == "sourceQueueArns") {
        return refuse("Only following attributes are supported: [redrivePermission, sourceQueueArns]");
    }
    let sources = policy.get("sourceQueueArns");
    match policy.get("redrivePermission").and_then(Value::as_str) {
        Some("allowAll" | "denyAll") if sources.is_none() => Ok(()),
        Some("allowAll" | "denyAll") => refuse("sourceQueueArns is allowed only with the permission byQueue"),
        Some("byQueue") => match sources.and_then(Value::as_array) {
            Some(arns) if (1..=MAX_SOURCES).contains(&arns.len()) && arns.iter().all(Value::is_string) => Ok(()),
            _ => refuse("sourceQueueArns must be a list of 1 to 10 ARNs"),
        },
        _ => refuse("redrivePermission must be allowAll, denyAll or byQueue"),
    }
}

pub(super) fn map(text: &str) -> Option<Map<String, Value>> {
    serde_json::from_str(text).ok()
}

/// Whether a `RedriveAllowPolicy` allows this source queue.
pub(super) fn allows(policy: &str, source: &str) -> bool {
    let policy = map(policy).unwrap_or_default();
    match policy.get("redrivePermission").and_then(Value::as_str) {
        Some("denyAll") => false,
        Some("byQueue") => {
            let mut arns = policy.get("sourceQueueArns").and_then(Value::as_array).into_iter().flatten();
            arns.any(|named| named.as_str() == Some(&arn(source)))
        }
        _ => true,
    }
}
