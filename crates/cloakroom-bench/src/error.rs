//! The errors of a run.

use std::fmt;

use cloakroom::{Error, PortError};
use cloakroom_aws::SettingsError;

/// The reason why a run did not start, or failed. Its text is for the person at the terminal.
#[derive(Clone, PartialEq, Eq)]
pub enum RunError {
    /// The input is invalid. Nothing was started.
    BadInput(String),
    /// The run failed. Its resources were deleted if possible. The text lists those that remain.
    Failed(String),
}

impl RunError {
    pub(crate) fn failed(text: impl fmt::Display) -> Self {
        Self::Failed(text.to_string())
    }

    /// Adds the resources that could not be deleted to the text.
    pub(crate) fn with(self, remaining: &[String]) -> Self {
        match self {
            Self::Failed(ref text) if !remaining.is_empty() => {
                Self::Failed(format!("{text}; {}", remaining.join("; ")))
            }
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
