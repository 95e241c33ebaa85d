//! When a batch is sent.

use std::time::Duration;

/// How long a request that is not full waits for more entries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// A request waits for this time. For requests whose price does not depend on the number of
    /// entries.
    Linger(Duration),
    /// A request waits only while another request is in flight, and at most for this time. Calls in
    /// the same turn of the executor share a request. So requests become fuller under load, and a
    /// single call does not wait.
    Prompt(Duration),
}

impl Pace {
    pub(crate) const fn longest(self) -> Duration {
        let (Self::Linger(time) | Self::Prompt(time)) = self;
        time
    }
}
