use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    admin::{
        diagnosis::Problem,
        provisioning::settings::{ATTEMPTS_MAX, validate_names},
    },
    settings::{QueueSettings, SettingsError, within},
};

/// What [`Diagnosis`](super::Diagnosis) has to know of those who use the table, the bucket and the queues.
///
/// ```
/// let settings: cloakroom_aws::DiagnosisSettings = serde_json::from_str(r#"{ "queues": ["orders"] }"#)?;
/// assert_eq!((settings.attempts_max, settings.lambda_timeout_s), (8, None));
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DiagnosisSettings {
    /// The queues, by the names that endpoints and routes use. Default: none.
    pub queues: Vec<String>,
    /// The largest `attempts_max` of the endpoints that take messages from these queues; up to 999, since SQS has to
    /// allow more receives than that, and allows 1,000 at most. Default: 8.
    pub attempts_max: u32,
    /// The longest that a worker lets one attempt take (`attempt_ms_max`), in seconds. Default: 15 minutes.
    pub attempt_s_max: u32,
    /// The timeout of the Lambda function that takes messages from the queues, in seconds; up to 900. Default: there is
    /// none, but workers, which extend the leases of their messages.
    pub lambda_timeout_s: Option<u32>,
    /// Problems that are known and wanted: they are told as notes. Default: none.
    pub accepted: BTreeSet<Problem>,
}

impl Default for DiagnosisSettings {
    fn default() -> Self {
        Self {
            queues: Vec::new(),
            attempts_max: 8,
            attempt_s_max: 900,
            lambda_timeout_s: None,
            accepted: BTreeSet::new(),
        }
    }
}

impl DiagnosisSettings {
    /// Checks names and ranges. Queues are called in SQS as `naming` says.
    ///
    /// # Errors
    /// The first field that cannot be.
    pub fn validate(&self, naming: &QueueSettings) -> Result<(), SettingsError> {
        validate_names(&self.queues, naming)?;
        within("attempts_max", self.attempts_max.into(), 1, ATTEMPTS_MAX.into())?;
        within("attempt_s_max", self.attempt_s_max.into(), 1, 86_400)?;
        self.lambda_timeout_s.map_or(Ok(()), |timeout| within("lambda_timeout_s", timeout.into(), 1, 900))
    }
}
