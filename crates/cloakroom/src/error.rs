//! Errors. A [`PortError`] tells the engine what to think of a failed call; an [`Error`] tells the
//! caller what to do next.
//!
//! Their texts are for whoever gets them, and may name partitions and quote what a handler said. What goes into logs is
//! `loggable`: it never does.

use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc};

type Cause = Arc<dyn StdError + Send + Sync>;

/// Makes the text of an error its `Debug`, too: that is what the standard library prints of an error that `main` returns, and
/// what `unwrap` panics with.
#[doc(hidden)]
#[macro_export]
macro_rules! debug_is_display {
    ($error:ty) => {
        impl ::std::fmt::Debug for $error {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                ::std::fmt::Display::fmt(self, f)
            }
        }
    };
}

/// A call to a port that failed. It answers two separate questions: may it have taken effect, and may
/// it be repeated. What is not known may have taken effect.
///
/// ```
/// use cloakroom::PortError;
///
/// let error = PortError::new("GetItem on table `orders`", "throttled").without_effect();
/// assert!(!error.may_have_happened() && error.may_be_repeated());
/// ```
///
/// Its text, which contains that of its cause, is also its `Debug`: so it can be returned from `main`. Its
/// [`source`](StdError::source) is that of the [cause](Self::cause), so that a chain of errors repeats nothing.
#[derive(Clone)]
pub struct PortError {
    what: String,
    cause: Cause,
    may_have_happened: bool,
    may_be_repeated: bool,
    is_caused_by_data: bool,
    reason: Option<Retry>,
    in_logs: InLogs,
}

/// What logs say of a failed call.
#[derive(Clone, Debug)]
enum InLogs {
    /// What it is counted as.
    Reason,
    /// All of its text.
    Everything,
    This(String),
}

impl PortError {
    /// A failure of which nothing is known: it may have happened, and may be repeated.
    /// `what` names the call and its target.
    pub fn new(what: impl Into<String>, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            what: what.into(),
            cause: Arc::from(cause.into()),
            may_have_happened: true,
            may_be_repeated: true,
            is_caused_by_data: false,
            reason: None,
            in_logs: InLogs::Reason,
        }
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

    /// The call fails because of what it reads or sends: an item that cannot be decoded, a message that its queue does not
    /// accept. Repeating it does not help, the configuration is not at fault, and other messages are not affected.
    #[must_use]
    pub fn caused_by_data(self) -> Self {
        Self { may_be_repeated: false, is_caused_by_data: true, ..self }
    }

    /// Its text may be logged: it names neither a key of a user's nor anything that was sent or stored.
    #[must_use]
    pub fn public(self) -> Self {
        Self { in_logs: InLogs::Everything, ..self }
    }

    /// What logs say of it instead of its text, for a text that may quote what was sent.
    #[must_use]
    pub fn in_logs(self, text: impl Into<String>) -> Self {
        Self { in_logs: InLogs::This(text.into()), ..self }
    }

    /// What it is counted as when the call is repeated. Without this it follows from whether it may have happened.
    #[must_use]
    pub fn because(self, reason: Retry) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// It is what a repetition of a call met that had failed with `earlier` before: what may have happened then, may have
    /// happened now.
    #[must_use]
    pub(crate) fn after(self, earlier: &Self) -> Self {
        Self { may_have_happened: self.may_have_happened || earlier.may_have_happened, ..self }
    }

    /// What it was made of: for those who want to know more than its text.
    pub fn cause(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self.cause.as_ref()
    }

    /// Whether the call may have taken effect, or may yet.
    pub const fn may_have_happened(&self) -> bool {
        self.may_have_happened
    }

    /// Whether repeating the call can help.
    pub const fn may_be_repeated(&self) -> bool {
        self.may_be_repeated
    }

    /// What it is counted as when the call is repeated.
    pub fn reason(&self) -> Retry {
        self.reason.unwrap_or(if self.may_have_happened { Retry::UnknownOutcome } else { Retry::Failure })
    }

    /// What logs may say of it: its text if that is [public](PortError::public), or what it is counted as.
    ///
    /// ```
    /// use cloakroom::PortError;
    ///
    /// let error = PortError::new("reading partition `patient#1`", "no answer").without_effect();
    /// assert_eq!(error.loggable(), "a call failed (failure); its text may quote data, and is not logged");
    /// assert_eq!(error.public().loggable(), "reading partition `patient#1` failed: no answer");
    /// ```
    pub fn loggable(&self) -> String {
        match &self.in_logs {
            InLogs::Reason => {
                format!("a call failed ({}); its text may quote data, and is not logged", self.reason().name())
            }
            InLogs::Everything => self.to_string(),
            InLogs::This(text) => text.clone(),
        }
    }

    /// Whether the call failed because of the data that it reads or sends: see [`PortError::caused_by_data`].
    pub const fn is_caused_by_data(&self) -> bool {
        self.is_caused_by_data
    }

    pub(crate) const fn kind(&self) -> ErrorKind {
        match (self.may_be_repeated, self.is_caused_by_data) {
            (true, _) => ErrorKind::AwaitService,
            (false, true) => ErrorKind::RetryMessage,
            (false, false) => ErrorKind::FixConfiguration,
        }
    }

    /// Whether calls for other messages fail, too, until the service recovers. A transaction conflict concerns the items of
    /// one partition only.
    fn is_outage(&self) -> bool {
        self.may_be_repeated && self.reason() != Retry::TransactionConflict
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.what, self.cause)?;
        if self.may_have_happened { f.write_str(" (it may have taken effect)") } else { Ok(()) }
    }
}

debug_is_display!(PortError);

impl StdError for PortError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.source()
    }
}

/// What the caller of the library should do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Give the message back to its queue. The fault lies with this message: its handler failed, its payload is in a store that
    /// the endpoint does not have, or stored data that it needs cannot be read. If that continues, the message is parked.
    RetryMessage,
    /// Give the message back to its queue. A service failed or was busy, which is not the message's fault. The message is not
    /// parked for it.
    AwaitService,
    /// Fix the configuration or the infrastructure: a permission or a queue is missing. Until then no try can succeed, and the
    /// message is not parked.
    FixConfiguration,
}

impl ErrorKind {
    /// Its name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RetryMessage => "retry_message",
            Self::AwaitService => "await_service",
            Self::FixConfiguration => "fix_configuration",
        }
    }
}

/// Why a message was not finished, or an endpoint could not be built. Its text says what happened,
/// to what, and what to do. Its `Debug` is the same text with the [kind](ErrorKind::name), so it can be returned from `main`.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    text: String,
    /// What logs say instead of the text; none if the text itself may be logged.
    in_logs: Option<Cow<'static, str>>,
    cause: Option<Cause>,
    /// What the failure shows about the services that every message needs: whether they answer. `None` if it shows nothing.
    services_answer: Option<bool>,
}

impl Error {
    /// An error whose text may be logged.
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), in_logs: None, cause: None, services_answer: None }
    }

    /// What logs say of it instead of its text, which may quote keys or a handler.
    pub(crate) fn in_logs(self, text: impl Into<Cow<'static, str>>) -> Self {
        Self { in_logs: Some(text.into()), ..self }
    }

    /// Records that a service failed or answered, unless that is known already.
    pub(crate) fn with_services_answering(self, answering: bool) -> Self {
        Self { services_answer: self.services_answer.or(Some(answering)), ..self }
    }

    /// Whether the services that every message needs answer, as far as this failure shows it.
    pub(crate) const fn services_answer(&self) -> Option<bool> {
        self.services_answer
    }

    pub(crate) fn misconfigured(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::FixConfiguration, text)
    }

    /// Says in its text, also in logs, what it is about.
    pub(crate) fn of(self, subject: impl fmt::Display) -> Self {
        let in_logs = self.in_logs.map(|text| Cow::Owned(format!("{subject}: {text}")));
        Self { text: format!("{subject}: {}", self.text), in_logs, ..self }
    }

    /// What to do about it.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What logs may say of it: its text, but for keys of users and what a handler said.
    pub fn loggable(&self) -> &str {
        self.in_logs.as_deref().unwrap_or(&self.text)
    }
}

impl From<PortError> for Error {
    fn from(error: PortError) -> Self {
        let in_logs = Some(Cow::Owned(error.loggable()));
        let services_answer = error.is_outage().then_some(false);
        Self { kind: error.kind(), text: error.to_string(), in_logs, cause: Some(Arc::new(error)), services_answer }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self} [{}]", self.kind.name())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.as_ref().and_then(|cause| cause.source())
    }
}

/// Something is larger than what AWS takes. Found before the call, so nothing has happened.
#[derive(Clone, PartialEq, Eq)]
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

debug_is_display!(LimitError);

impl StdError for LimitError {}

/// Why something is done once more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Retry {
    /// A commit was lost to another one: everything is read anew.
    Conflict,
    /// Nobody knows whether the call took effect.
    UnknownOutcome,
    /// Another transaction had the item.
    TransactionConflict,
    /// Too many requests.
    Throttled,
    /// The call failed otherwise, and did not take effect.
    Failure,
}

impl Retry {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Conflict, Self::UnknownOutcome, Self::TransactionConflict, Self::Throttled, Self::Failure];

    /// Its name in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Conflict => "conflict",
            Self::UnknownOutcome => "unknown_outcome",
            Self::TransactionConflict => "transaction_conflict",
            Self::Throttled => "throttled",
            Self::Failure => "failure",
        }
    }
}

pub(crate) fn within(field: &str, value: u64, min: u64, max: u64) -> Result<(), Error> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::misconfigured(format!("setting `{field}` is {value}; it must be from {min} to {max}")))
}
