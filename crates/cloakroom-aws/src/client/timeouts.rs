//! Timeouts of clients.

use std::time::Duration;

use aws_smithy_types::timeout::TimeoutConfig;
use cloakroom::PortError;

use crate::client::failure::Operation;

/// The timeout of one try of a request. A long poll may take as much longer as it waits.
const ATTEMPT: Duration = Duration::from_secs(4);
/// The timeout of an operation, including the SDK's retries and a refresh of credentials. It is
/// shorter than `call_ms_max` of an endpoint, so that the SDK ends the call first: it closes the
/// connection, and its error names the operation.
pub(crate) const OPERATION: Duration = Duration::from_secs(9);

/// Whether a client with these timeouts may wait forever for an answer.
pub(crate) fn are_missing(timeouts: Option<&TimeoutConfig>) -> bool {
    let bounds = timeouts.map(|own| [own.operation_timeout(), own.operation_attempt_timeout(), own.read_timeout()]);
    bounds.is_none_or(|bounds| bounds.iter().all(Option::is_none))
}

/// Returns the timeouts of a client, with those of this module if it may wait forever. Timeouts
/// that are set or disabled stay as they are.
pub(crate) fn filled(timeouts: Option<&TimeoutConfig>) -> TimeoutConfig {
    let mut filled = timeouts.cloned().unwrap_or_else(|| TimeoutConfig::builder().build());
    if are_missing(timeouts) {
        let ours = TimeoutConfig::builder().operation_attempt_timeout(ATTEMPT).operation_timeout(OPERATION);
        filled.take_defaults_from(&ours.build());
    }
    filled
}

/// Returns timeouts that are longer by `extra`, for a request with a large body, or `None` if no
/// timeout is set.
///
/// SUBTLE: to the SDK, an override without any timeout disables all timeouts, also its own for
/// connecting (`large_payload_keeps_the_connect_timeout_of_a_client_without_timeouts`).
///
/// For every distinct read timeout, the SDK's HTTP client keeps a connector with its connections
/// forever. So read timeouts are raised by powers of two seconds, of which there are few.
pub(crate) fn raised(timeouts: Option<&TimeoutConfig>, extra: Duration) -> Option<TimeoutConfig> {
    let own = timeouts?;
    let longer = |timeout: Option<Duration>, by: Duration| timeout.map(|timeout| timeout + by);
    let mut raised = TimeoutConfig::builder();
    raised
        .set_read_timeout(longer(own.read_timeout(), power_of_two_seconds(extra)))
        .set_operation_attempt_timeout(longer(own.operation_attempt_timeout(), extra))
        .set_operation_timeout(longer(own.operation_timeout(), extra));
    Some(raised.build()).filter(TimeoutConfig::has_timeouts)
}

/// The duration, rounded up to a power of two seconds.
fn power_of_two_seconds(duration: Duration) -> Duration {
    let seconds = duration.as_secs() + u64::from(duration.subsec_nanos() > 0);
    Duration::from_secs(seconds.next_power_of_two())
}

/// Returns the result of a call that may take several requests, or an error after [`OPERATION`].
pub(crate) async fn answer<T>(
    operation: &Operation,
    target: &str,
    call: impl Future<Output = Result<T, PortError>>,
) -> Result<T, PortError> {
    answer_within(OPERATION, operation, target, call).await
}

async fn answer_within<T>(
    bound: Duration,
    operation: &Operation,
    target: &str,
    call: impl Future<Output = Result<T, PortError>>,
) -> Result<T, PortError> {
    let late = |_| Err(operation.unanswered(target, &format!("no answer within {} ms", bound.as_millis())));
    tokio::time::timeout(bound, call).await.unwrap_or_else(late)
}

#[cfg(test)]
mod tests;
