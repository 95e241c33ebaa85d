//! The contract of each port as laws that can be run: every backend passes them, in memory or in the
//! cloud, and so does every decorator around one. A backend that does not is not used.
//!
//! A law that is broken panics, and tells its name and what was seen. `scope` becomes part of every key, so
//! that the laws can run on a table, bucket or queue that others use at the same time; it must be fresh for
//! every run, and of at most 40 ASCII characters. What a law has written stays behind.
//!
//! ```
//! use cloakroom::{conformance, memory::Memory};
//!
//! let memory = Memory::with_queues(["laws"]);
//! let queue = memory.queues.get("laws");
//! memory.run(async {
//!     conformance::partition_store(&*memory.store, "run-1").await;
//!     conformance::payload_store(&*memory.payloads, "run-1").await;
//!     conformance::records(&*memory.store, &*memory.store, "run-1").await;
//!     conformance::queue(&*queue, &*memory.clock, "run-1").await;
//!     conformance::queues(&*memory.queues, "laws", "run-1").await;
//! });
//! ```

mod partition_store;
mod payload_store;
mod queue;
mod queues;
mod records;

use std::fmt::{Debug, Display};

pub use partition_store::partition_store;
pub use payload_store::payload_store;
pub use queue::queue;
pub use queues::queues;
pub use records::records;

use crate::PortError;

/// Runs laws one after the other; each is told its name.
macro_rules! laws {
    ($scope:expr, $subject:expr; $($law:ident),+ $(,)?) => {
        $(
            $law(&$subject($crate::conformance::Law { name: stringify!($law), scope: $scope })).await;
        )+
    };
}
use laws;

/// A law at work: makes keys that no other law uses, and tells what broke it.
#[derive(Clone, Copy, Debug)]
struct Law<'a> {
    name: &'static str,
    scope: &'a str,
}

impl Law<'_> {
    fn key(&self, what: impl Display) -> String {
        format!("{} {} {what}", self.scope, self.name)
    }

    /// Demands that `seen` is as it must be.
    #[track_caller]
    fn same<T: PartialEq + Debug>(&self, what: &str, seen: &T, must: &T) {
        if seen != must {
            self.broken(format_args!("{what}: saw {}, but it must be {}", brief(seen), brief(must)));
        }
    }

    /// Demands that `holds`.
    #[track_caller]
    fn check(&self, what: &str, holds: bool, seen: &dyn Debug) {
        if !holds {
            self.broken(format_args!("{what}: saw {}", brief(&seen)));
        }
    }

    /// Demands a success.
    #[track_caller]
    fn ok<T>(&self, what: &str, result: Result<T, PortError>) -> T {
        result.unwrap_or_else(|error| self.broken(format_args!("{what}: {error}")))
    }

    #[track_caller]
    fn broken(&self, what: impl Display) -> ! {
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
const ODD: [&str; 12] = ["ä€😀", "a b", "a+b", "a%20b", "a#b", "a/b", "../a", "a//b", "a?b=c&d", "'\"<>\\", "A", "a"];
