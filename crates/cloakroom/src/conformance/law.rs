//! What every law needs: its name, its keys, and how it fails.

use std::fmt::{Debug, Display};

use crate::error::PortError;

/// Runs laws one after the other; each is told its name.
macro_rules! laws {
    ($scope:expr, $subject:expr; $($law:ident),+ $(,)?) => {
        $(
            $law(&$subject($crate::conformance::law::Law { name: stringify!($law), scope: $scope })).await;
        )+
    };
}

pub(super) use laws;

/// A law at work: makes keys that no other law uses, and tells what broke it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Law<'a> {
    pub(super) name: &'static str,
    pub(super) scope: &'a str,
}

impl Law<'_> {
    pub(super) fn key(&self, what: impl Display) -> String {
        format!("{} {} {what}", self.scope, self.name)
    }

    /// Demands that `seen` is as it must be.
    #[track_caller]
    pub(super) fn same<T: PartialEq + Debug>(&self, what: &str, seen: &T, must: &T) {
        if seen != must {
            self.broken(format_args!("{what}: saw {}, but it must be {}", brief(seen), brief(must)));
        }
    }

    /// Demands that `holds`.
    #[track_caller]
    pub(super) fn check(&self, what: &str, holds: bool, seen: &dyn Debug) {
        if !holds {
            self.broken(format_args!("{what}: saw {}", brief(&seen)));
        }
    }

    /// Demands a success.
    #[track_caller]
    pub(super) fn ok<T>(&self, what: &str, result: Result<T, PortError>) -> T {
        result.unwrap_or_else(|error| self.broken(format_args!("{what}: {error}")))
    }

    #[track_caller]
    pub(super) fn broken(&self, what: impl Display) -> ! {
        panic!("law `{}` is broken: {what}", self.name)
    }
}

/// Payloads of a mebibyte are seen, too.
fn brief(value: &dyn Debug) -> String {
    const CHARS_MAX: usize = 600;
    let text = format!("{value:?}");
    match text.char_indices().nth(CHARS_MAX) {
        None => text,
        Some((end, _)) => format!("{}… ({} bytes)", &text[..end], text.len()),
    }
}

/// Texts that have been mistaken for something else: for a path, a pattern, an encoded or a normalised text.
pub(super) const ODD: [&str; 12] =
    ["ä€😀", "a b", "a+b", "a%20b", "a#b", "a/b", "../a", "a//b", "a?b=c&d", "'\"<>\\", "A", "a"];
