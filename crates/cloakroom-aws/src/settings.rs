//! Settings as plain data. They are validated when a component is built.

use std::fmt;

use cloakroom::EndpointSettings;
use serde::{Deserialize, Serialize};

pub(crate) const fn payload_ttl_days() -> u32 {
    50
}

/// The names and the use of queues.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QueueSettings {
    /// The prefix of the names of all queues in SQS. Routes and endpoints use the names without it.
    pub prefix: String,
    /// Whether messages on standard queues get their source partition as message group, so that SQS
    /// is fair between partitions ("fair queues"). Messages on FIFO queues always get it. Default:
    /// no.
    pub fair: bool,
}

impl QueueSettings {
    /// Checks names and ranges.
    ///
    /// # Errors
    /// The first field that AWS would refuse.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if self.prefix.len() > 60 || !self.prefix.chars().all(is_queue_character) {
            return Err(SettingsError::new("queues.prefix", &self.prefix, "up to 60 letters, digits and `_-`"));
        }
        Ok(())
    }

    /// Returns the name in SQS of the queue `name`.
    pub fn full_name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }
}

pub(crate) fn is_queue_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-')
}

pub(crate) fn within(field: &str, value: u64, min: u64, max: u64) -> Result<(), SettingsError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(SettingsError::new(field, value, format_args!("from {min} to {max}")))
}

/// The error for an invalid setting.
#[derive(Clone, PartialEq, Eq)]
pub struct SettingsError {
    field: String,
    text: String,
}

impl SettingsError {
    pub(crate) fn new(field: impl Into<String>, value: impl fmt::Display, demand: impl fmt::Display) -> Self {
        let field = field.into();
        let text = format!("setting `{field}` is `{value}`; it must be {demand}");
        Self { field, text }
    }

    /// The error of invalid limits, whose text names the limit.
    pub(crate) fn of_limits(error: &cloakroom::Error) -> Self {
        Self { field: "limits".to_owned(), text: error.to_string() }
    }

    /// Returns the field, with dots between its parts, such as `queues.prefix`.
    pub fn field(&self) -> &str {
        &self.field
    }
}

impl fmt::Display for SettingsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

cloakroom::debug_is_display!(SettingsError);

impl std::error::Error for SettingsError {}

/// The retention of a queue and of its dead-letter queue, in seconds, if the caller sets none.
pub(crate) const RETENTION_S: u32 = 345_600;
pub(crate) const DEAD_LETTER_RETENTION_S: u32 = 1_209_600;
pub(crate) const DAY_S: u64 = 24 * 60 * 60;

/// The minimum number of days by which payloads outlive their messages.
const MARGIN_DAYS: u64 = 7;

/// After how many days payloads may expire at the earliest, given the retention of a queue and of
/// its dead-letter queue.
pub(crate) fn expiry_days_min(retention_s: u32, dead_letter_retention_s: u32) -> u64 {
    let kept_s = u64::from(retention_s) + u64::from(dead_letter_retention_s);
    // Twice: a payload is written when its sender commits. The sender's own message may wait as
    // long before an endpoint finishes it and sends this one.
    let finished_late = (2 * kept_s).div_ceil(DAY_S) + MARGIN_DAYS;
    // An endpoint finishes a record, and an operator redrives a dead letter, until the payload is
    // as old as `payload_ttl_ms`. The message that is sent then may wait as long as any other.
    let payload_ttl_s = EndpointSettings::default().payload_ttl_ms.div_ceil(1_000);
    let sent_late = (payload_ttl_s + kept_s).div_ceil(DAY_S);
    finished_late.max(sent_late)
}
