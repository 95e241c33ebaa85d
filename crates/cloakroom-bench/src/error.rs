//! Why a run was not made.

use std::fmt;

use cloakroom::{Error, PortError};
use cloakroom_aws::SettingsError;

/// Why a run could not be made, or was given up. Its text is for the person at the terminal.
#[derive(Clone, PartialEq, Eq)]
pub enum RunError {
    /// What was asked for cannot be: nothing has begun.
    BadInput(String),
    /// Something failed on the way. What the run had made was deleted as far as that went.
    Failed(String),
}

impl RunError {
    pub(crate) fn failed(text: impl fmt::Display) -> Self {
        Self::Failed(text.to_string())
    }

    /// The same, and what was left behind.
    pub(crate) fn with(self, left: &[String]) -> Self {
        match self {
            Self::Failed(ref text) if !left.is_empty() => Self::Failed(format!("{text}; {}", left.join("; "))),
            Self::Failed(_) | Self::BadInput(_) => self,
        }
    }
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadInput(text) | Self::Failed(text) => f.write_str(text),
        }
    }
}

cloakroom::debug_is_display!(RunError);

impl std::error::Error for RunError {}

impl From<PortError> for RunError {
    fn from(error: PortError) -> Self {
        Self::failed(error)
    }
}

impl From<Error> for RunError {
    fn from(error: Error) -> Self {
        Self::failed(error)
    }
}

impl From<SettingsError> for RunError {
    fn from(error: SettingsError) -> Self {
        Self::BadInput(error.to_string())
    }
}
