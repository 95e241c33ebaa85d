//! What is offered: how many messages, how fast, how large, and for whom.

use serde::{Deserialize, Serialize};

use crate::{RunError, report::Workload};

/// A workload. Each contestant is offered the same one.
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
    /// Messages a second (an open loop: nobody waits for anybody), up to a million; none: each is offered when one before it
    /// has ended (a closed loop). Default: a closed loop.
    pub rate_per_s: Option<f64>,
    /// When it is enough. Default: 10,000 messages.
    pub extent: Extent,
    /// Entities that the messages are for, up to a million. Default: 1,000.
    pub entities: u32,
    /// Exponent of Zipf's law by which the messages are spread over the entities, up to 5. Default: 0, which is evenly.
    pub skew: f64,
    /// Bytes in the payload of each message, incoming and outgoing, in JSON; 100 to 10,485,760. Default: 1,000.
    pub payload_bytes: usize,
    /// Messages that a worker has in hand at most, up to 10,000. Default: 64.
    pub in_flight_max: usize,
    /// Workers, up to 1,000; all in this process. Default: 1.
    pub workers: usize,
    /// What the choice of entities follows from.
    pub seed: u64,
}

/// When a run is long enough.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Extent {
    /// After so many messages; up to 10 million.
    Messages(u64),
    /// After so many seconds, in which messages are offered; those that were then are finished. Up to a day.
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

/// More than that no contestant is offered.
pub(crate) const MESSAGES_MAX: u64 = 10_000_000;

impl LoadSettings {
    /// Checks ranges.
    ///
    /// # Errors
    /// The first setting that is out of its range.
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

    /// How many messages each contestant is offered; none if that depends on how fast it is.
    pub fn messages(&self) -> Option<u64> {
        match (self.extent, self.rate_per_s) {
            (Extent::Messages(messages), _) => Some(messages),
            (Extent::Seconds(seconds), Some(rate)) => Some((seconds * rate).ceil() as u64),
            (Extent::Seconds(_), None) => None,
        }
    }

    /// What a closed loop has under way at most: what all workers can have in hand, and as much in the queue, so that nobody
    /// waits for work.
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

/// NaN is in no range.
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
    fn what_cannot_be_offered_is_refused_by_name() {
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
