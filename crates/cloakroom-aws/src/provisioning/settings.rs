use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::dead_letter_queue;
use crate::{
    AwsSettings, QueueSettings, SettingsError,
    settings::{is_queue_character, within},
};

const DAY_S: u64 = 24 * 60 * 60;
/// What payloads outlive their messages by, at least.
const MARGIN_DAYS: u64 = 7;
const RETENTION_S_MAX: u64 = 14 * DAY_S;
const QUEUE_NAME_CHARS_MAX: usize = 80;

/// What [`Provisioning`](super::Provisioning) makes.
///
/// ```
/// let settings: cloakroom_aws::ProvisioningSettings = serde_json::from_str(r#"{ "queues": ["orders"] }"#)?;
/// assert_eq!((settings.receives_max, settings.expiry_days), (16, 45));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProvisioningSettings {
    /// The queues, by the names that endpoints and routes use; FIFO queues end in `.fifo`. Each gets a
    /// [dead-letter queue](super::dead_letter_queue), which is not listed. Default: none.
    pub queues: Vec<String>,
    /// For how many seconds a received message is invisible to others, where its receiver does not say otherwise; up
    /// to 43,200. Cloakroom's workers do say otherwise; a Lambda function wants six times its timeout. Default: 30.
    pub visibility_s: u32,
    /// How long messages stay in a queue, in seconds; 60 to 1,209,600. A longer time that a queue has already stays,
    /// since SQS deletes what is older than a time that is set. Default: 4 days.
    pub retention_s: u32,
    /// How long messages stay in a dead-letter queue, in seconds, and not shorter than in the queue: on standard
    /// queues the age goes on. Default: 14 days, which is the most that SQS has.
    pub dead_letter_retention_s: u32,
    /// After how many receives SQS moves a message to the dead-letter queue by itself; up to 1,000. It must be more
    /// than `attempts_max`, since Cloakroom parks a message with the reason, and SQS without one. Default: 16.
    pub receives_max: u32,
    /// The largest `attempts_max` of the endpoints that take messages from these queues. Default: 8.
    pub attempts_max: u32,
    /// After how many days payloads and dedupe entries expire. It must exceed twice the retention of queue and
    /// dead-letter queue together by a week: a payload is as old as the commit that sent it, and a message whose
    /// payload is gone looks processed. A longer expiry that a shared bucket has already stays. Default: 45.
    pub expiry_days: u32,
    /// Whether the table can be restored to any second of the last 35 days, at a price by its size. Default: no.
    pub point_in_time_recovery: bool,
}

impl Default for ProvisioningSettings {
    fn default() -> Self {
        Self {
            queues: Vec::new(),
            visibility_s: 30,
            retention_s: 345_600,
            dead_letter_retention_s: 1_209_600,
            receives_max: 16,
            attempts_max: 8,
            expiry_days: 45,
            point_in_time_recovery: false,
        }
    }
}

impl ProvisioningSettings {
    /// Checks names, ranges, and that nothing expires before what needs it. Queues are called in SQS as `naming` says.
    ///
    /// # Errors
    /// The first field that cannot be.
    pub fn validate(&self, naming: &QueueSettings) -> Result<(), SettingsError> {
        validate_names(&self.queues, naming)?;
        within("visibility_s", self.visibility_s.into(), 0, 43_200)?;
        within("retention_s", self.retention_s.into(), 60, RETENTION_S_MAX)?;
        within(
            "dead_letter_retention_s",
            self.dead_letter_retention_s.into(),
            self.retention_s.into(),
            RETENTION_S_MAX,
        )?;
        within("attempts_max", self.attempts_max.into(), 1, 999)?;
        within("receives_max", self.receives_max.into(), u64::from(self.attempts_max) + 1, 1_000)?;
        let days_min = expiry_days_min(self.retention_s, self.dead_letter_retention_s);
        within("expiry_days", self.expiry_days.into(), days_min, 3_650)
    }

    /// Checks that the items of the payload table, if there is one, do not expire before what needs them.
    pub(super) fn validate_payload_ttl(&self, settings: &AwsSettings) -> Result<(), SettingsError> {
        let days_min = expiry_days_min(self.retention_s, self.dead_letter_retention_s);
        match settings.payload_table {
            Some(_) => within("payload_ttl_days", settings.payload_ttl_days.into(), days_min, 3_650),
            None => Ok(()),
        }
    }
}

/// After how many days payloads may expire at the earliest, where a queue and its dead-letter queue keep messages for so
/// many seconds.
pub(crate) fn expiry_days_min(retention_s: u32, dead_letter_retention_s: u32) -> u64 {
    let lives_s = u64::from(retention_s) + u64::from(dead_letter_retention_s);
    // Twice: a payload is written when its sender commits, and the sender's own message may live as long before
    // somebody finishes it and sends this one.
    (2 * lives_s).div_ceil(DAY_S) + MARGIN_DAYS
}

/// Checks the names of queues, which are called in SQS as `naming` says.
pub(crate) fn validate_names(queues: &[String], naming: &QueueSettings) -> Result<(), SettingsError> {
    let mut names = BTreeSet::new();
    for queue in queues {
        let plain = queue.strip_suffix(".fifo").unwrap_or(queue);
        let whole = naming.full_name(&dead_letter_queue(queue));
        if plain.is_empty() || !plain.chars().all(is_queue_character) || whole.len() > QUEUE_NAME_CHARS_MAX {
            let demand = "letters, digits and `_-`, perhaps with `.fifo` at the end, and with the prefix and `-dead` at \
                          most 80 characters";
            return Err(SettingsError::new("queues", queue, demand));
        }
        if plain.ends_with("-dead") {
            let demand = "a queue that endpoints take messages from, not a dead-letter queue: each queue has its own";
            return Err(SettingsError::new("queues", queue, demand));
        }
        if !names.insert(queue) {
            return Err(SettingsError::new("queues", queue, "listed once"));
        }
    }
    Ok(())
}
