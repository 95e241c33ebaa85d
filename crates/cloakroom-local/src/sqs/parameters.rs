//! Checks of parameters that several operations share.

use serde_json::Value;

use crate::sqs::error::{Error, Kind};

/// Checks the range of a parameter. `None` if the parameter is not given.
pub(super) fn within(parameter: &str, value: Option<i64>, min: u64, max: u64) -> Result<Option<u64>, Error> {
    let Some(value) = value else { return Ok(None) };
    match u64::try_from(value) {
        Ok(number) if (min..=max).contains(&number) => Ok(Some(number)),
        _ => Err(Kind::InvalidParameterValue.because(format!(
            "Value {value} for parameter {parameter} is invalid. Reason: Must be between {min} \
             and {max}, if provided."
        ))),
    }
}

/// Checks the format of an identifier that a client chose.
pub(super) fn check_id(parameter: &str, id: &str) -> Result<(), Error> {
    match (1..=128).contains(&id.len()) && id.chars().all(|c| c.is_ascii_graphic()) {
        true => Ok(()),
        false => Err(Kind::InvalidParameterValue.because(format!(
            "Value {} for parameter {parameter} is invalid. Reason: {parameter} can only include \
             alphanumeric and punctuation characters. 1 to 128 in length.",
            Value::from(id)
        ))),
    }
}
