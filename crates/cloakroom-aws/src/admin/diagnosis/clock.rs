//! Checks of this machine's clock against the clock of AWS.

use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::{
    box_error::BoxError,
    client::{
        interceptors::{Intercept, context::BeforeDeserializationInterceptorContextRef},
        runtime_components::RuntimeComponents,
    },
};
use aws_smithy_types::{DateTime, config_bag::ConfigBag, date_time::Format};
use cloakroom::ports::Clock;

use crate::admin::diagnosis::{Problem, finding::Finding};

/// DynamoDB and SQS refuse signatures whose time is further away than this, S3 after 15 minutes. A
/// client that corrects its clock still signs correctly. But expiry times are written by the
/// machine's clock.
const SKEW_MS_MAX: u64 = 5 * 60 * 1000;
/// A larger difference is a warning.
const DRIFT_MS_MAX: u64 = 60 * 1000;

const HERE: &str = "this machine's clock";
const FIX: &str = "set the clock by NTP; on EC2, and in containers there, `chronyc tracking` shows its time source";

/// Reads the time from the `date` header of responses.
#[derive(Clone, Debug)]
pub(super) struct Watch {
    clock: Arc<dyn Clock>,
    /// By how much this machine's clock was ahead at the last response, in milliseconds.
    ahead_ms: Arc<Mutex<Option<i128>>>,
}

impl Watch {
    pub(super) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, ahead_ms: Arc::default() }
    }

    pub(super) fn finding(&self) -> Option<Finding> {
        let ahead_ms = *self.ahead_ms.lock().unwrap_or_else(PoisonError::into_inner);
        judge(ahead_ms?)
    }
}

impl Intercept for Watch {
    fn name(&self) -> &'static str {
        "Watch"
    }

    fn read_after_transmit(
        &self,
        context: &BeforeDeserializationInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let date = context.response().headers().get("date");
        let there = date.and_then(|date| DateTime::from_str(date, Format::HttpDate).ok()?.to_millis().ok());
        let here = i128::from(self.clock.now().as_millis());
        let ahead_ms = there.map(|there| here - i128::from(there));
        *self.ahead_ms.lock().unwrap_or_else(PoisonError::into_inner) = ahead_ms;
        Ok(())
    }
}

fn judge(ahead_ms: i128) -> Option<Finding> {
    let off_ms = u64::try_from(ahead_ms.unsigned_abs()).unwrap_or(u64::MAX);
    let side = if ahead_ms > 0 { "ahead of" } else { "behind" };
    let off = format!("the clock is {} seconds {side} that of AWS", off_ms / 1000);
    if off_ms <= DRIFT_MS_MAX {
        return None;
    }
    if off_ms > SKEW_MS_MAX {
        let text = format!(
            "{off}; AWS refuses requests signed with it, and a client that corrects it writes wrong expiry times"
        );
        return Some(Finding::new(Problem::ClockSkew, HERE, text, FIX));
    }
    let text = format!(
        "{off}; from {} seconds on, DynamoDB and SQS refuse requests that are signed with it",
        SKEW_MS_MAX / 1000
    );
    Some(Finding::new(Problem::ClockDrift, HERE, text, FIX))
}

/// Returns the finding that AWS refused a signature because of its time.
pub(super) fn refused(why: &str) -> Finding {
    let text = format!("AWS refuses requests because their signatures have the wrong time: {why}");
    Finding::new(Problem::ClockSkew, HERE, text, FIX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clock_error_above_one_minute_warns_and_above_five_is_an_error() {
        let problem = |ahead_ms| judge(ahead_ms).map(|finding| finding.problem);
        assert_eq!(problem(60_000), None);
        assert_eq!(problem(-60_001), Some(Problem::ClockDrift));
        assert_eq!(problem(300_000), Some(Problem::ClockDrift));
        assert_eq!(problem(-300_001), Some(Problem::ClockSkew));
        assert!(judge(-600_000).unwrap().text.contains("600 seconds behind"));
        assert!(judge(600_000).unwrap().text.contains("600 seconds ahead of"));
    }
}
