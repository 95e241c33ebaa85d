//! The checks of message attributes.

use crate::sqs::error::{Error, Kind};
use crate::sqs::message::{Attribute, Attributes};

/// The maximum number of attributes of a message.
const MAX_ATTRIBUTES: usize = 10;
/// The maximum length of an attribute's name and of its type, in bytes.
const MAX_NAME_BYTES: usize = 256;
/// Prefixes of names that are reserved for AWS, in any case.
const RESERVED: [&str; 2] = ["aws.", "amazon."];

/// Checks the message attributes of a sender.
pub(super) fn check(attributes: &Attributes) -> Result<(), Error> {
    if attributes.len() > MAX_ATTRIBUTES {
        return refuse(format!(
            "Number of message attributes [{}] exceeds the allowed maximum [{MAX_ATTRIBUTES}].",
            attributes.len()
        ));
    }
    attributes.iter().try_for_each(|(name, attribute)| {
        check_name(name)?;
        check_value(name, attribute)
    })
}

/// Checks the system attributes of a sender. Only `AWSTraceHeader` exists, and it is a string.
pub(super) fn check_system(attributes: &Attributes) -> Result<(), Error> {
    attributes.iter().try_for_each(|(name, attribute)| {
        if name != "AWSTraceHeader" {
            return refuse(format!("Message system attribute name '{name}' is invalid."));
        }
        if attribute.data_type != "String" {
            return refuse(format!("The message system attribute '{name}' must be of the type String."));
        }
        check_value(name, attribute)
    })
}

fn refuse(why: String) -> Result<(), Error> {
    Err(Kind::InvalidParameterValue.because(why))
}

fn check_name(name: &str) -> Result<(), Error> {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if name.is_empty() || name.len() > MAX_NAME_BYTES || !name.chars().all(plain) {
        return refuse(format!(
            "The message attribute name '{name}' is invalid. Attribute name can contain A-Z, a-z, 0-9, underscore \
             (_), hyphen (-), and period (.) characters, 1 to {MAX_NAME_BYTES} of them."
        ));
    }
    if name.starts_with('.') || name.ends_with('.') || name.contains("..") {
        return refuse(format!(
            "The message attribute name '{name}' is invalid. It must not start or end with a period, nor have \
             successive periods."
        ));
    }
    let lower = name.to_ascii_lowercase();
    match RESERVED.iter().any(|reserved| lower.starts_with(reserved)) {
        true => refuse(format!(
            "The message attribute name '{name}' is invalid. Reserved prefixes are AWS. and Amazon., in any casing."
        )),
        false => Ok(()),
    }
}

fn check_value(name: &str, attribute: &Attribute) -> Result<(), Error> {
    let kind = attribute.data_type.split('.').next().unwrap_or_default();
    if attribute.data_type.len() > MAX_NAME_BYTES || !matches!(kind, "String" | "Number" | "Binary") {
        return refuse(format!(
            "The type of message attribute '{name}' is invalid. You must use only the following supported type \
             prefixes: Binary, Number, String."
        ));
    }
    let text = attribute.string_value.as_deref();
    let filled = attribute.value().is_some_and(|value| !value.is_empty());
    let fits = match kind {
        "Binary" => text.is_none(),
        _ => text.is_some_and(|text| text.chars().all(is_allowed)),
    };
    if !filled || !fits {
        return refuse(format!("The message attribute '{name}' must contain a non-empty value of its type."));
    }
    match kind == "Number" && !text.is_some_and(is_number) {
        true => refuse(format!("Can't cast the value of message (user) attribute '{name}' to a number.")),
        false => Ok(()),
    }
}

/// Whether XML 1.0 allows a character. SQS's older protocol is XML.
pub(super) fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// The maximum number of digits of a number, without leading and trailing zeros.
const MAX_DIGITS: usize = 38;
/// The allowed decimal exponents of the first digit of a number: from 10^-128 to 10^126.
const EXPONENTS: std::ops::RangeInclusive<i64> = -128..=126;

/// Whether a text is a decimal number that SQS accepts: not `NaN`, not infinite, at most 38 digits.
fn is_number(text: &str) -> bool {
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().ok()),
        None => (unsigned, Some(0)),
    };
    let Some(exponent) = exponent else { return false };
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = [whole, fraction].concat();
    if digits.is_empty() || !digits.bytes().all(|digit| digit.is_ascii_digit()) {
        return false;
    }
    let Some(first) = digits.find(|digit| digit != '0') else {
        return true;
    };
    let magnitude = exponent.saturating_add(whole.len() as i64 - first as i64 - 1);
    digits.trim_matches('0').len() <= MAX_DIGITS && EXPONENTS.contains(&magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(data_type: &str, value: &str) -> Attribute {
        Attribute { data_type: data_type.into(), string_value: Some(value.into()), binary_value: None }
    }

    #[test]
    fn attribute_names_that_aws_rejects_are_rejected() {
        let is_accepted = |name: &str| check(&Attributes::from([(name.to_owned(), attribute("String", "v"))]));
        for name in ["a", "a.b", "AWSome", "amazonas", "aws", "-", "_a", &"a".repeat(256)] {
            assert_eq!(is_accepted(name), Ok(()), "{name}");
        }
        for name in ["", "AWS.x", "aws.x", "Amazon.x", "AMAZON.", ".a", "a.", "a..b", "a b", "é", &"a".repeat(257)] {
            let error = is_accepted(name).expect_err(name);
            assert_eq!(error.kind, Kind::InvalidParameterValue, "{name}");
        }
    }

    #[test]
    fn numbers_that_aws_rejects_are_rejected() {
        let is_accepted =
            |value: &str| check(&Attributes::from([("n".to_owned(), attribute("Number", value))])).is_ok();
        let (max, long) = ("9".repeat(38), "9".repeat(39));
        for value in ["0", "-1", "+1", "1.50", "1e126", "1E-128", ".5", "5.", "0.000", max.as_str()] {
            assert!(is_accepted(value), "{value}");
        }
        for value in ["NaN", "inf", "-infinity", "1e500", "1e127", "1e-129", "", " 1", "1_000", "0x1", "1e", ".", &long]
        {
            assert!(!is_accepted(value), "{value}");
        }
    }

    #[test]
    fn attribute_value_must_have_the_type_of_the_attribute() {
        let is_accepted = |attribute: Attribute| check(&Attributes::from([("n".to_owned(), attribute)])).is_ok();
        assert!(is_accepted(attribute("String.order", "1")) && is_accepted(attribute("Number.int", "1")));
        let binary = |value: &str| Attribute {
            data_type: "Binary".into(),
            string_value: None,
            binary_value: Some(value.into()),
        };
        assert!(is_accepted(binary("AP8=")) && !is_accepted(binary("")) && !is_accepted(binary("?")));
        for (data_type, value) in [("Binary", "v"), ("String", ""), ("Text", "v"), ("string", "v"), ("", "v")] {
            assert!(!is_accepted(attribute(data_type, value)), "{data_type} {value}");
        }
        assert!(!is_accepted(attribute(&format!("String.{}", "x".repeat(250)), "v")));
    }

    #[test]
    fn the_trace_header_is_the_only_system_attribute() {
        let is_accepted = |name: &str, data_type: &str| {
            check_system(&Attributes::from([(name.to_owned(), attribute(data_type, "1"))])).is_ok()
        };
        assert!(is_accepted("AWSTraceHeader", "String"));
        assert!(!is_accepted("AWSTraceHeader", "Number") && !is_accepted("Priority", "String"));
    }
}
