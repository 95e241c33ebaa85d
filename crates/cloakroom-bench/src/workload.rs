//! The workload: the number, rate and size of messages, and their entities.

use serde::{Deserialize, Serialize};

use crate::{error::RunError, report::Workload};

/// A workload. It is the same for each contestant.
///
/// ```
/// use cloakroom_bench::{Extent, LoadSettings};
///
/// let load = LoadSettings { rate_per_s: Some(200.0), extent: Extent::Seconds(30.0), ..LoadSettings::default() };
/// load.validate()?;
/// assert_eq!(load.messages(), Some(6_000));
/// # Ok::<(), cloakroom_bench::RunError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LoadSettings {
    /// The rate of an open loop, in messages per second, up to a million. `None` is a closed loop,
    /// where each message is offered when an earlier one has ended. Default: a closed loop.
    pub rate_per_s: Option<f64>,
    /// The extent of the run. Default: 10,000 messages.
    pub extent: Extent,
    /// The number of entities, up to a million. Default: 1,000.
    pub entities: u32,
    /// The exponent of the Zipf distribution of messages over entities, up to 5. Default: 0, which
    /// is even.
    pub skew: f64,
    /// The payload size of each incoming and outgoing message as JSON, in bytes, 100 to 10,485,760.
    /// Default: 1,000.
    pub payload_bytes: usize,
    /// The maximum number of messages that a worker has in flight, up to 10,000. Default: 64.
    pub in_flight_max: usize,
    /// The number of workers, up to 1,000, all in this process. Default: 1.
    pub workers: usize,
    /// The seed for the choice of entities. Default: 1.
    pub seed: u64,
}

/// The extent of a run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// A number of messages, up to 10 million.
    Messages(u64),
    /// The number of seconds for which messages are offered, up to a day. Offered messages are then
    /// finished.
    Seconds(f64),
}

impl Default for LoadSettings {
    fn default() -> Self {
        Self {
            rate_per_s: None,
            extent: Extent::Messages(10_000),
            entities: 1_000,
            skew: 0.0,
            payload_bytes: 1_000,
            in_flight_max: 64,
            workers: 1,
            seed: 1,
        }
    }
}

/// The maximum number of messages for a contestant.
pub(crate) const MESSAGES_MAX: u64 = 10_000_000;

impl LoadSettings {
    /// Checks the ranges of all settings.
    ///
    /// # Errors
    /// A setting is out of its range. The error names the first one.
    pub fn validate(&self) -> Result<(), RunError> {
        if let Some(rate) = self.rate_per_s {
            within("rate_per_s", rate, 0.001, 1e6)?;
        }
        match self.extent {
            Extent::Messages(messages) => within("messages", messages as f64, 1.0, MESSAGES_MAX as f64)?,
            Extent::Seconds(seconds) => within("seconds", seconds, 0.1, 86_400.0)?,
        }
        if let Some(messages) = self.messages() {
            within("messages (rate by seconds)", messages as f64, 1.0, MESSAGES_MAX as f64)?;
        }
        within("entities", self.entities.into(), 1.0, 1e6)?;
        within("skew", self.skew, 0.0, 5.0)?;
        within("payload_bytes", self.payload_bytes as f64, 100.0, 10_485_760.0)?;
        within("in_flight_max", self.in_flight_max as f64, 1.0, 10_000.0)?;
        within("workers", self.workers as f64, 1.0, 1_000.0)
    }

    /// Returns the number of messages for each contestant. `None` if it depends on the contestant's
    /// throughput.
    pub fn messages(&self) -> Option<u64> {
        match (self.extent, self.rate_per_s) {
            (Extent::Messages(messages), _) => Some(messages),
            (Extent::Seconds(seconds), Some(rate)) => Some((seconds * rate).ceil() as u64),
            (Extent::Seconds(_), None) => None,
        }
    }

    /// Returns the window of a closed loop: twice the number of messages that all workers can have
    /// in flight. The other half is in the queue, so that no worker waits for messages.
    pub(crate) fn window(&self) -> u64 {
        2 * (self.workers * self.in_flight_max) as u64
    }

    pub(crate) fn described(&self, messages: u64) -> Workload {
        Workload {
            rate_per_s: self.rate_per_s,
            messages,
            entities: self.entities.into(),
            skew: self.skew,
            payload_bytes: self.payload_bytes as u64,
            in_flight_max: self.in_flight_max,
            workers: self.workers,
        }
    }
}

/// Checks that a value is in a range. NaN is in no range.
fn within(field: &str, value: f64, min: f64, max: f64) -> Result<(), RunError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(RunError::BadInput(format!("setting `{field}` is {value}; it must be from {min} to {max}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(load: LoadSettings) -> String {
        load.validate().unwrap_err().to_string()
    }

    #[test]
    fn invalid_load_settings_are_rejected_by_name() {
        let plain = LoadSettings::default();
        plain.validate().unwrap();
        for rate in [0.0, -1.0, f64::NAN, f64::INFINITY, 2e6] {
            assert!(refusal(LoadSettings { rate_per_s: Some(rate), ..plain.clone() }).contains("`rate_per_s`"));
        }
        assert!(refusal(LoadSettings { extent: Extent::Messages(0), ..plain.clone() }).contains("`messages`"));
        assert!(refusal(LoadSettings { extent: Extent::Seconds(0.0), ..plain.clone() }).contains("`seconds`"));
        let long = LoadSettings { rate_per_s: Some(1e6), extent: Extent::Seconds(60.0), ..plain.clone() };
        assert!(refusal(long).contains("(rate by seconds)"));
        assert!(refusal(LoadSettings { entities: 0, ..plain.clone() }).contains("`entities`"));
        assert!(refusal(LoadSettings { skew: -0.1, ..plain.clone() }).contains("`skew`"));
        assert!(refusal(LoadSettings { payload_bytes: 99, ..plain.clone() }).contains("from 100 to 10485760"));
        assert!(refusal(LoadSettings { in_flight_max: 0, ..plain.clone() }).contains("`in_flight_max`"));
        assert!(refusal(LoadSettings { workers: 0, ..plain }).contains("`workers`"));
    }
}
