//! The context of a law: its name, its keys, and its failure.

use std::fmt::{Debug, Display};

use crate::error::PortError;

/// Runs laws one after the other. Each law receives its own name.
macro_rules! laws {
    ($scope:expr, $subject:expr; $($law:ident),+ $(,)?) => {
        $(
            $law(&$subject($crate::conformance::law::Law { name: stringify!($law), scope: $scope })).await;
        )+
    };
}

pub(super) use laws;

/// A running law. It makes keys that no other law uses, and it panics with a description if it is
/// broken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Law<'a> {
    pub(super) name: &'static str,
    pub(super) scope: &'a str,
}

impl Law<'_> {
    pub(super) fn key(&self, suffix: impl Display) -> String {
        format!("{} {} {suffix}", self.scope, self.name)
    }

    /// Requires that `actual` equals `expected`. `what` names the compared value.
    #[track_caller]
    pub(super) fn same<T: PartialEq + Debug>(&self, what: &str, actual: &T, expected: &T) {
        if actual != expected {
            self.broken(format_args!("{what}: found {}, expected {}", brief(actual), brief(expected)));
        }
    }

    /// Requires that `holds`. `requirement` describes the condition, and `actual` is the value that
    /// was found.
    #[track_caller]
    pub(super) fn check(&self, requirement: &str, holds: bool, actual: &dyn Debug) {
        if !holds {
            self.broken(format_args!("{requirement}: found {}", brief(&actual)));
        }
    }

    /// Requires a success. `action` names the operation.
    #[track_caller]
    pub(super) fn ok<T>(&self, action: &str, result: Result<T, PortError>) -> T {
        result.unwrap_or_else(|error| self.broken(format_args!("{action}: {error}")))
    }

    #[track_caller]
    pub(super) fn broken(&self, description: impl Display) -> ! {
        panic!("law `{}` is broken: {description}", self.name)
    }
}

/// Shortens long values, because some laws use payloads of a mebibyte.
fn brief(value: &dyn Debug) -> String {
    const CHARS_MAX: usize = 600;
    let text = format!("{value:?}");
    match text.char_indices().nth(CHARS_MAX) {
        None => text,
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
    }
}

/// Texts that some implementations confuse: with a path, a pattern, an encoded or a normalised
/// text.
pub(super) const ODD: [&str; 12] =
    ["ä€😀", "a b", "a+b", "a%20b", "a#b", "a/b", "../a", "a//b", "a?b=c&d", "'\"<>\\", "A", "a"];
