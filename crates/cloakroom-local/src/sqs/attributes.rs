//! Message attributes: what SQS refuses about them.

use super::error::{Error, Kind};
use super::message::{Attribute, Attributes};

/// How many attributes a message can have.
const MOST: usize = 10;
/// How long the name of an attribute and its type can be.
const LONGEST: usize = 256;
/// Beginnings of names that belong to AWS, in any case.
const RESERVED: [&str; 2] = ["aws.", "amazon."];

/// Checks the attributes that a sender gives.
pub(super) fn check(attributes: &Attributes) -> Result<(), Error> {
    if attributes.len() > MOST {
        return refuse(format!(
            "Number of message attributes [{}] exceeds the allowed maximum [{MOST}].",
            attributes.len()
        ));
    }
    attributes.iter().try_for_each(|(name, attribute)| {
        check_name(name)?;
        check_value(name, attribute)
    })
}

/// Checks the system attributes that a sender gives: there is one, and it is a string.
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
    if name.is_empty() || name.len() > LONGEST || !name.chars().all(plain) {
        return refuse(format!(
            "The message attribute name '{name}' is invalid. Attribute name can contain A-Z, a-z, 0-9, underscore \
             (_), hyphen (-), and period (.) characters, 1 to {LONGEST} of them."
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
    if attribute.data_type.len() > LONGEST || !matches!(kind, "String" | "Number" | "Binary") {
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

/// What XML 1.0 allows, as in the service's older protocol.
pub(super) fn is_allowed(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

/// The most digits that a number can have, without zeros at either end.
const MOST_DIGITS: usize = 38;
/// The decimal exponents of the first digit of a number: from 10^-128 to 10^126.
const EXPONENTS: std::ops::RangeInclusive<i64> = -128..=126;

/// Whether a text is a decimal number that SQS takes: not `NaN`, not infinite, at most 38 digits.
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
    digits.trim_matches('0').len() <= MOST_DIGITS && EXPONENTS.contains(&magnitude)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attribute(data_type: &str, value: &str) -> Attribute {
        Attribute { data_type: data_type.into(), string_value: Some(value.into()), binary_value: None }
    }

    #[test]
    fn attribute_names_that_aws_refuses_are_refused() {
        let taken = |name: &str| check(&Attributes::from([(name.to_owned(), attribute("String", "v"))]));
        for name in ["a", "a.b", "AWSome", "amazonas", "aws", "-", "_a", &"a".repeat(256)] {
            assert_eq!(taken(name), Ok(()), "{name}");
        }
        for name in ["", "AWS.x", "aws.x", "Amazon.x", "AMAZON.", ".a", "a.", "a..b", "a b", "é", &"a".repeat(257)] {
            let error = taken(name).expect_err(name);
            assert_eq!(error.kind, Kind::InvalidParameterValue, "{name}");
        }
    }

    #[test]
    fn numbers_that_aws_refuses_are_refused() {
        let taken = |value: &str| check(&Attributes::from([("n".to_owned(), attribute("Number", value))])).is_ok();
        let (most, long) = ("9".repeat(38), "9".repeat(39));
        for value in ["0", "-1", "+1", "1.50", "1e126", "1E-128", ".5", "5.", "0.000", most.as_str()] {
            assert!(taken(value), "{value}");
        }
        for value in ["NaN", "inf", "-infinity", "1e500", "1e127", "1e-129", "", " 1", "1_000", "0x1", "1e", ".", &long]
        {
            assert!(!taken(value), "{value}");
        }
    }

    #[test]
    fn the_value_of_an_attribute_has_its_type() {
        let taken = |attribute: Attribute| check(&Attributes::from([("n".to_owned(), attribute)])).is_ok();
        assert!(taken(attribute("String.order", "1")) && taken(attribute("Number.int", "1")));
        let binary = |value: &str| Attribute {
            data_type: "Binary".into(),
            string_value: None,
            binary_value: Some(value.into()),
        };
        assert!(taken(binary("AP8=")) && !taken(binary("")) && !taken(binary("?")));
        for (data_type, value) in [("Binary", "v"), ("String", ""), ("Text", "v"), ("string", "v"), ("", "v")] {
            assert!(!taken(attribute(data_type, value)), "{data_type} {value}");
        }
        assert!(!taken(attribute(&format!("String.{}", "x".repeat(250)), "v")));
    }

    #[test]
    fn the_trace_header_is_the_only_system_attribute() {
        let taken = |name: &str, data_type: &str| {
            check_system(&Attributes::from([(name.to_owned(), attribute(data_type, "1"))])).is_ok()
        };
        assert!(taken("AWSTraceHeader", "String"));
        assert!(!taken("AWSTraceHeader", "Number") && !taken("Priority", "String"));
    }
}
