//! Errors. A [`PortError`] tells the engine what to think of a failed call; an [`Error`] tells the
//! caller what to do next.

use std::{error::Error as StdError, fmt, sync::Arc};

type Cause = Arc<dyn StdError + Send + Sync>;

/// A call to a port that failed. It answers two separate questions: may it have taken effect, and may
/// it be repeated. What is not known may have taken effect.
///
/// ```
/// use cloakroom::PortError;
///
/// let error = PortError::new("GetItem on table `orders`", "throttled").without_effect();
/// assert!(!error.may_have_happened() && error.may_be_repeated());
/// ```
#[derive(Clone, Debug)]
pub struct PortError {
    what: String,
    cause: Cause,
    may_have_happened: bool,
    may_be_repeated: bool,
}

impl PortError {
    /// A failure of which nothing is known: it may have happened, and may be repeated.
    /// `what` names the call and its target.
    pub fn new(what: impl Into<String>, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self { what: what.into(), cause: Arc::from(cause.into()), may_have_happened: true, may_be_repeated: true }
    }

    /// It is certain that nothing happened, and that nothing will.
    #[must_use]
    pub fn without_effect(self) -> Self {
        Self { may_have_happened: false, ..self }
    }

    /// It would fail again: somebody has to mend something first.
    #[must_use]
    pub fn permanent(self) -> Self {
        Self { may_be_repeated: false, ..self }
    }

    /// Whether the call may have taken effect, or may yet.
    pub const fn may_have_happened(&self) -> bool {
        self.may_have_happened
    }

    /// Whether repeating the call can help.
    pub const fn may_be_repeated(&self) -> bool {
        self.may_be_repeated
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.what, self.cause)?;
        if self.may_have_happened { f.write_str(" (it may have taken effect)") } else { Ok(()) }
    }
}

impl StdError for PortError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        Some(self.cause.as_ref())
    }
}

/// What the caller of the library should do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Give the message back to its queue. Its handler failed; when that goes on, the message is parked.
    RetryMessage,
    /// Give the message back to its queue. A service failed or was busy, which is not the message's fault.
    AwaitService,
    /// Mend the configuration or the infrastructure; until then no try can succeed.
    MendConfiguration,
}

/// Why a message was not finished, or an endpoint could not be built. Its text says what happened,
/// to what, and what to do.
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    text: String,
    cause: Option<Cause>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), cause: None }
    }

    pub(crate) fn misconfigured(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::MendConfiguration, text)
    }

    /// What to do about it.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl From<PortError> for Error {
    fn from(error: PortError) -> Self {
        let kind = if error.may_be_repeated() { ErrorKind::AwaitService } else { ErrorKind::MendConfiguration };
        Self { kind, text: error.to_string(), cause: Some(Arc::new(error)) }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_ref().and_then(|cause| cause.source())
    }
}

/// Something is larger than what AWS takes. Found before the call, so nothing has happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LimitError {
    /// What is too large, such as ``state of partition `order#1` ``.
    pub what: String,
    /// How large it is.
    pub size: usize,
    /// How large it may be.
    pub size_max: usize,
    /// `bytes`, `items`, `attributes`.
    pub unit: &'static str,
}

impl fmt::Display for LimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { what, size, size_max, unit } = self;
        write!(f, "{what} has {size} {unit}; at most {size_max} are possible")
    }
}

impl StdError for LimitError {}
