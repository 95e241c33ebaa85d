//! The reason why a call failed, as data.

use std::{error::Error, fmt};

use cloakroom::PortError;

use crate::client::failure::meaning::Meaning;

/// The cause of every [`PortError`] of a failed call. It has more information than its text.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) meaning: Meaning,
    pub(crate) origin: Origin,
    /// The permissions that a policy must allow for the operation.
    pub(crate) permissions: &'static str,
    pub(super) text: String,
}

/// The part of a call that failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The service answered with an error, with this code if it gave one.
    Answer(Option<String>),
    /// There were no credentials for the signature of the request.
    Credentials,
    /// There was no answer.
    Silence,
}

/// The codes with which a service refuses only the time of a signature.
const OF_TIME: &[&str] = &["RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed"];

impl Origin {
    /// Whether the service refuses the time of a signature. DynamoDB and SQS have the same code for
    /// a wrong secret and for a wrong time, so the text of the answer decides.
    pub(crate) fn is_about_time(&self, text: &str) -> bool {
        let Self::Answer(code) = self else { return false };
        let code = code.as_deref().and_then(|code| code.rsplit('.').next());
        code.is_some_and(|code| OF_TIME.contains(&code))
            || text.contains("Signature expired")
            || text.contains("Signature not yet current")
    }
}

impl Refusal {
    pub(crate) fn of(error: &PortError) -> Option<&Self> {
        (error.cause() as &(dyn Error + 'static)).downcast_ref()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Error for Refusal {}
