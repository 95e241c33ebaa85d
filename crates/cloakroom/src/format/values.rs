//! Validation of attribute values. DynamoDB refuses a whole commit because of one invalid value,
//! and names neither the item nor the attribute. So values are checked before a request is sent.

use std::{
    collections::{HashMap, HashSet},
    fmt::{self, Write as _},
};

use serde_dynamo::{AttributeValue, Item};

use crate::format::name::shortened;

/// The maximum nesting level of a value. An attribute of the item itself is at level 1.
const LEVELS_MAX: usize = 32;
/// The maximum length of an attribute name, in bytes.
const NAME_BYTES_MAX: usize = 65_535;
/// The maximum number of significant digits of a number. Leading and trailing zeros do not count.
const DIGITS_MAX: usize = 38;
/// The allowed powers of ten of the first significant digit of a number.
const POWERS: std::ops::RangeInclusive<i64> = -130..=125;

/// A value that DynamoDB does not store, and its position in the item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// The position, such as `lines[2].tags`.
    path: String,
    kind: FaultKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum FaultKind {
    EmptyName,
    LongName,
    EmptySet,
    RepeatedMember,
    NoNumber(String),
    ManyDigits,
    Magnitude(String),
    TooDeep,
    FalseNull,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = shortened(&self.path);
        match &self.kind {
            FaultKind::EmptyName => write!(f, "an attribute without a name at `{path}`; a name has at least 1 byte"),
            FaultKind::LongName => {
                write!(f, "an attribute name that is too long at `{path}`; a name has at most {NAME_BYTES_MAX} bytes")
            }
            FaultKind::EmptySet => write!(
                f,
                "an empty set at `{path}`, which DynamoDB does not store; leave the attribute out while the set is \
                 empty (`#[serde(default, skip_serializing_if = \"...\")]`)"
            ),
            FaultKind::RepeatedMember => write!(
                f,
                "a set with a duplicate member at `{path}`, which DynamoDB does not store; use a type without \
                 duplicates, such as `BTreeSet`"
            ),
            FaultKind::NoNumber(digits) => write!(
                f,
                "a number `{digits}` at `{path}`, which no attribute can hold; store it as text, or reject the message"
            ),
            FaultKind::ManyDigits => write!(
                f,
                "a number with more than {DIGITS_MAX} significant digits at `{path}`, which no attribute can hold; \
                 round it, or store it as text"
            ),
            FaultKind::Magnitude(digits) => write!(
                f,
                "a number {digits} at `{path}`, which no attribute can hold; numbers other than 0 have magnitudes \
                 from 1e-130 to below 1e126: store it as text, or reject the message"
            ),
            FaultKind::TooDeep => write!(
                f,
                "more than {LEVELS_MAX} levels of lists and maps at `{path}`, which DynamoDB does not store; store \
                 the deeper levels as JSON text"
            ),
            FaultKind::FalseNull => {
                write!(f, "a null with the value `false` at `{path}`, which DynamoDB does not store; use `true`")
            }
        }
    }
}

/// Returns an error if the item has a value that DynamoDB does not store. If there are several, the
/// error names the one whose path sorts first, so that every attempt returns the same error.
pub(crate) fn check(item: &Item) -> Result<(), Fault> {
    match in_map(item, 1) {
        None => Ok(()),
        Some(fault) => Err(fault),
    }
}

fn in_map(map: &HashMap<String, AttributeValue>, level: usize) -> Option<Fault> {
    let faults = map.iter().filter_map(|(name, value)| {
        let fault = in_name(name).or_else(|| in_value(value, level))?;
        Some(fault.below(if name.is_empty() { "\"\"" } else { shortened(name) }))
    });
    faults.min_by(|one, other| one.path.cmp(&other.path))
}

fn in_name(name: &str) -> Option<Fault> {
    match name.len() {
        0 => Some(FaultKind::EmptyName.here()),
        1..=NAME_BYTES_MAX => None,
        _ => Some(FaultKind::LongName.here()),
    }
}

fn in_value(value: &AttributeValue, level: usize) -> Option<Fault> {
    if level > LEVELS_MAX {
        return Some(FaultKind::TooDeep.here());
    }
    let kind = match value {
        AttributeValue::M(map) => return in_map(map, level + 1),
        AttributeValue::L(list) => {
            return list.iter().enumerate().find_map(|(number, value)| {
                in_value(value, level + 1).map(|fault| fault.below(&format!("[{number}]")))
            });
        }
        AttributeValue::N(digits) => Decimal::read(digits).err(),
        AttributeValue::Ss(set) => in_set(set.iter().map(Ok)),
        AttributeValue::Bs(set) => in_set(set.iter().map(Ok)),
        AttributeValue::Ns(set) => in_set(set.iter().map(|digits| Decimal::read(digits))),
        AttributeValue::Null(is_null) => (!is_null).then_some(FaultKind::FalseNull),
        AttributeValue::S(_) | AttributeValue::Bool(_) | AttributeValue::B(_) => None,
    };
    kind.map(FaultKind::here)
}

fn in_set<T: Eq + std::hash::Hash>(members: impl ExactSizeIterator<Item = Result<T, FaultKind>>) -> Option<FaultKind> {
    if members.len() == 0 {
        return Some(FaultKind::EmptySet);
    }
    let mut seen = HashSet::with_capacity(members.len());
    for member in members {
        match member.map(|member| seen.insert(member)) {
            Ok(true) => {}
            Ok(false) => return Some(FaultKind::RepeatedMember),
            Err(kind) => return Some(kind),
        }
    }
    None
}

impl FaultKind {
    const fn here(self) -> Fault {
        Fault { path: String::new(), kind: self }
    }
}

impl Fault {
    /// Returns the fault with the path from the list or map that contains it.
    fn below(mut self, segment: &str) -> Self {
        let inner = std::mem::replace(&mut self.path, segment.to_owned());
        if !inner.is_empty() && !inner.starts_with('[') {
            self.path.push('.');
        }
        self.path.push_str(&inner);
        self
    }
}

/// A number in the form in which DynamoDB compares it: `1`, `1.0` and `10e-1` are equal. Zero has
/// no digits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Decimal {
    is_negative: bool,
    /// The digits without leading and trailing zeros.
    digits: String,
    /// The power of ten of the first digit.
    power: i64,
}

impl Decimal {
    fn read(text: &str) -> Result<Self, FaultKind> {
        let no_number = || FaultKind::NoNumber(shortened(text).to_owned());
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (coefficient, exponent) = match unsigned.split_once(['e', 'E']) {
            None => (unsigned, 0),
            Some((coefficient, exponent)) => (coefficient, exponent.parse::<i32>().map_err(|_| no_number())?),
        };
        let (whole, fraction) = coefficient.split_once('.').unwrap_or((coefficient, ""));
        let all = [whole, fraction].concat();
        if all.is_empty() || !all.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(no_number());
        }
        let significant = all.trim_start_matches('0');
        let before_point = whole.len() as i64 - (all.len() - significant.len()) as i64;
        let digits = significant.trim_end_matches('0');
        if digits.is_empty() {
            return Ok(Self { is_negative: false, digits: String::new(), power: 0 });
        }
        let power = before_point - 1 + i64::from(exponent);
        if digits.len() > DIGITS_MAX {
            return Err(FaultKind::ManyDigits);
        }
        let decimal = Self { is_negative: text.starts_with('-'), digits: digits.to_owned(), power };
        if POWERS.contains(&power) { Ok(decimal) } else { Err(FaultKind::Magnitude(decimal.scientific())) }
    }

    fn scientific(&self) -> String {
        let sign = if self.is_negative { "-" } else { "" };
        let (first, rest) = self.digits.split_at(1);
        let mut text = format!("{sign}{first}");
        if !rest.is_empty() {
            write!(text, ".{rest}").expect("writing to a string does not fail");
        }
        write!(text, "e{}", self.power).expect("writing to a string does not fail");
        text
    }
}

#[cfg(test)]
mod tests;
