use std::collections::BTreeSet;

use cloakroom::{
    engine::parking::{dead_letter_queue, receives_before_copy},
    ports::fifo::is_fifo,
};
use serde::{Deserialize, Serialize};

use crate::{
    aws::settings::AwsSettings,
    settings::{
        DAY_S, DEAD_LETTER_RETENTION_S, QueueSettings, RETENTION_S, SettingsError, expiry_days_min, is_queue_character,
        within,
    },
};

const RETENTION_S_MAX: u64 = 14 * DAY_S;
const QUEUE_NAME_CHARS_MAX: usize = 80;
/// The largest `maxReceiveCount` that SQS takes.
pub(crate) const RECEIVES_MAX: u32 = 1_000;
/// The largest `attempts_max` of an endpoint: `maxReceiveCount` must be larger than it.
pub(crate) const ATTEMPTS_MAX: u32 = RECEIVES_MAX - 1;
/// The visibility timeout of a new queue, in seconds, if the caller sets none.
pub(super) const VISIBILITY_S: u32 = 30;
/// The lowest `maxReceiveCount` of a new standard queue, if the caller sets none.
const RECEIVES_OF_STANDARD_QUEUES: u32 = 16;

/// Settings of [`Provisioning`](super::Provisioning).
///
/// ```
/// let settings: cloakroom_aws::ProvisioningSettings = serde_json::from_str(r#"{ "queues": ["orders"] }"#)?;
/// assert_eq!((settings.receives_max, settings.expiry_days), (None, 50));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ProvisioningSettings {
    /// The queues, by the names that endpoints and routes use. The names of FIFO queues end in
    /// `.fifo`. Each queue gets a [dead-letter queue](cloakroom::engine::parking::dead_letter_queue), which is not
    /// listed here. Default: none.
    pub queues: Vec<String>,
    /// The visibility timeout of the queue in seconds, at most 43,200. It applies to receivers that
    /// set none. Cloakroom's workers set one. The queue of a Lambda function needs six times the
    /// timeout of the function. Default: `None`. Then a new queue gets 30, and an existing queue
    /// keeps a longer time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visibility_s: Option<u32>,
    /// The retention of a queue, in seconds; 60 to 1,209,600. A longer retention of an existing
    /// queue stays, since SQS would delete messages that are older than the new one. Default: 4
    /// days.
    pub retention_s: u32,
    /// The retention of a dead-letter queue, in seconds. It must not be shorter than that of the
    /// queue: a message of a standard queue keeps its age when it is moved. Default: 14 days, the
    /// maximum of SQS.
    pub dead_letter_retention_s: u32,
    /// The `maxReceiveCount` of a queue, at most 1,000: the number of receives after which SQS
    /// moves a message to the dead-letter queue. It must be larger than `attempts_max`, because a
    /// worker parks a message with a reason and SQS moves it without one. It must also be larger
    /// than 4: a worker replaces a message that was given back without a failure by a fresh copy
    /// after `attempts_max` receives, but not after fewer than 4.
    ///
    /// Default: `None`. Then a new standard queue gets twice `attempts_max`, and at least 16. A new
    /// FIFO queue gets 1,000: its messages are not replaced, and a message at the head of its group
    /// that is given back uses up receives of the later ones. An existing queue keeps a larger
    /// number.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub receives_max: Option<u32>,
    /// The largest `attempts_max` of the endpoints that receive from these queues. Default: 8.
    pub attempts_max: u32,
    /// After how many days payloads and dedupe entries expire. A message whose payload has expired
    /// is treated as processed, so a payload must outlive its message. There are two lower bounds,
    /// where `q` and `d` are the retentions of a queue and of its dead-letter queue:
    ///
    /// - `2 * (q + d)` and a week. A payload is as old as the commit that sent it. The incoming
    ///   message of that commit may have waited for `q + d` before it was finished, and the message
    ///   with the payload may wait as long.
    /// - `28 days + q + d`. Endpoints finish a record, and operators redrive a dead letter, until
    ///   its payload is as old as `payload_ttl_ms` of the endpoint, which is 28 days by default. If
    ///   it is longer, add the difference.
    ///
    /// A longer retention of an existing queue stays, and counts. A longer expiry of a shared
    /// bucket stays, too. Default: 50.
    pub expiry_days: u32,
    /// Whether the table gets point-in-time recovery for the last 35 days, at a price that depends
    /// on its size. Default: no.
    pub point_in_time_recovery: bool,
}

impl Default for ProvisioningSettings {
    fn default() -> Self {
        Self {
            queues: Vec::new(),
            visibility_s: None,
            retention_s: RETENTION_S,
            dead_letter_retention_s: DEAD_LETTER_RETENTION_S,
            receives_max: None,
            attempts_max: 8,
            expiry_days: 50,
            point_in_time_recovery: false,
        }
    }
}

impl ProvisioningSettings {
    /// Checks names and ranges, and that nothing expires while it is needed. `naming` gives the
    /// names of queues in SQS.
    ///
    /// # Errors
    /// The first invalid field.
    pub fn validate(&self, naming: &QueueSettings) -> Result<(), SettingsError> {
        validate_names(&self.queues, naming)?;
        self.visibility_s.map_or(Ok(()), |seconds| within("visibility_s", seconds.into(), 0, 43_200))?;
        within("retention_s", self.retention_s.into(), 60, RETENTION_S_MAX)?;
        within(
            "dead_letter_retention_s",
            self.dead_letter_retention_s.into(),
            self.retention_s.into(),
            RETENTION_S_MAX,
        )?;
        within("attempts_max", self.attempts_max.into(), 1, ATTEMPTS_MAX.into())?;
        self.validate_receives()?;
        let days_min = expiry_days_min(self.retention_s, self.dead_letter_retention_s);
        within("expiry_days", self.expiry_days.into(), days_min, 3_650)
    }

    fn validate_receives(&self) -> Result<(), SettingsError> {
        let least = receives_max_min(self.attempts_max);
        match self.receives_max {
            Some(receives) if !(least..=RECEIVES_MAX).contains(&receives) => {
                let demand = format!("from {least} to {RECEIVES_MAX}: {}", why_receives(self.attempts_max));
                Err(SettingsError::new("receives_max", receives, demand))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Checks that payloads in the payload table, if there is one, do not expire while they are
    /// needed.
    pub(super) fn validate_payload_ttl(&self, settings: &AwsSettings) -> Result<(), SettingsError> {
        let days_min = expiry_days_min(self.retention_s, self.dead_letter_retention_s);
        match settings.payload_table {
            Some(_) => within("payload_ttl_days", settings.payload_ttl_days.into(), days_min, 3_650),
            None => Ok(()),
        }
    }
}

/// The lowest `maxReceiveCount` with which a worker parks or replaces a message before SQS moves
/// it.
pub(crate) const fn receives_max_min(attempts_max: u32) -> u32 {
    receives_before_copy(attempts_max) + 1
}

/// The `maxReceiveCount` to propose for a queue of this name. It leaves room for receives without a
/// failure. For a FIFO queue it is the maximum.
pub(crate) fn receives_proposed(queue: &str, attempts_max: u32) -> u32 {
    let of_standard_queue = attempts_max.saturating_mul(2).clamp(RECEIVES_OF_STANDARD_QUEUES, RECEIVES_MAX);
    if is_fifo(queue) { RECEIVES_MAX } else { of_standard_queue }
}

/// Why `maxReceiveCount` must not be lower than [`receives_max_min`].
pub(crate) fn why_receives(attempts_max: u32) -> String {
    format!(
        "a worker parks a message after {attempts_max} failures (`attempts_max`), and replaces a message that is \
         given back without a failure by a fresh copy after {} receives; SQS must not move it before, because it \
         records no reason",
        receives_before_copy(attempts_max)
    )
}

/// Checks the names of queues. `naming` gives the names of queues in SQS.
pub(crate) fn validate_names(queues: &[String], naming: &QueueSettings) -> Result<(), SettingsError> {
    let mut names = BTreeSet::new();
    for queue in queues {
        let plain = queue.strip_suffix(".fifo").unwrap_or(queue);
        let whole = naming.full_name(&dead_letter_queue(queue));
        if plain.is_empty() || !plain.chars().all(is_queue_character) || whole.len() > QUEUE_NAME_CHARS_MAX {
            let demand = "letters, digits and `_-`, optionally with `.fifo` at the end; with the prefix and `-dead` at \
                          most 80 characters";
            return Err(SettingsError::new("queues", queue, demand));
        }
        if plain.ends_with("-dead") {
            let demand = "a queue that endpoints receive from, not a dead-letter queue: each queue gets its own \
                          automatically";
            return Err(SettingsError::new("queues", queue, demand));
        }
        if !names.insert(queue) {
            return Err(SettingsError::new("queues", queue, "listed once"));
        }
    }
    Ok(())
}
