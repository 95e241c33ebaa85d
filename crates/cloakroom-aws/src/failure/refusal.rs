//! Why a call failed, as data.

use std::{error::Error, fmt};

use cloakroom::PortError;

use super::Meaning;

/// The cause of the errors that are made here, for those who want to know more than their text.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) meaning: Meaning,
    pub(crate) origin: Origin,
    /// What a policy has to allow for the operation.
    pub(crate) permissions: &'static str,
    pub(super) text: String,
}

/// How far a call came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The service answered, with this code if it gave one.
    Answer(Option<String>),
    /// There were no credentials to sign the request with.
    Credentials,
    /// No answer came.
    Silence,
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
