use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::{
    admin::{
        diagnosis::Problem,
        provisioning::settings::{ATTEMPTS_MAX, validate_names},
    },
    settings::{QueueSettings, SettingsError, within},
};

/// Facts about the endpoints and workers that use the table, the bucket and the queues, for
/// [`Diagnosis`](super::Diagnosis).
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
    /// The largest `attempts_max` of the endpoints that receive from these queues, from 1 to 999.
    /// The limit is 999 because SQS must allow more receives than that, and allows at most 1,000.
    /// Default: 8.
    pub attempts_max: u32,
    /// The longest time that a worker allows for one attempt (`attempt_ms_max`), in seconds.
    /// Default: 15 minutes.
    pub attempt_s_max: u32,
    /// The timeout of the Lambda function that receives from the queues, in seconds, at most 900.
    /// Default: none. Then workers receive, which extend the visibility timeouts of their messages.
    pub lambda_timeout_s: Option<u32>,
    /// Problems that are known and accepted. They are reported as notes. Default: none.
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
    /// Checks names and ranges. `naming` gives the names of queues in SQS.
    ///
    /// # Errors
    /// The first invalid field.
    pub fn validate(&self, naming: &QueueSettings) -> Result<(), SettingsError> {
        validate_names(&self.queues, naming)?;
        within("attempts_max", self.attempts_max.into(), 1, ATTEMPTS_MAX.into())?;
        within("attempt_s_max", self.attempt_s_max.into(), 1, 86_400)?;
        self.lambda_timeout_s.map_or(Ok(()), |timeout| within("lambda_timeout_s", timeout.into(), 1, 900))
    }
}
