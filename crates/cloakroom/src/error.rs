//! Errors. A [`PortError`] describes a failed call for the engine. An [`Error`] shows the caller
//! what to do next.
//!
//! Their texts are for the caller. They may name partitions and quote the error text of a handler.
//! Logs contain the `loggable` text instead, which never does either.

use std::{borrow::Cow, error::Error as StdError, fmt, sync::Arc};

type Cause = Arc<dyn StdError + Send + Sync>;

/// Implements `Debug` with the `Display` text of an error. The standard library prints `Debug` if
/// `main` returns an error and if `unwrap` panics.
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

/// A failed call to a port. It answers two separate questions: may the call have taken effect, and
/// can a retry help? If the outcome of a call is unknown, it may have taken effect.
///
/// ```
/// use cloakroom::PortError;
///
/// let error = PortError::new("GetItem on table `orders`", "throttled").without_effect();
/// assert!(!error.may_have_happened() && error.may_be_repeated());
/// ```
///
/// The text contains the text of the cause. `Debug` shows the same text, so `main` can return the
/// error. The [`source`](StdError::source) is the source of the [cause](Self::cause), so a chain of
/// errors repeats nothing.
#[derive(Clone)]
pub struct PortError {
    call: String,
    cause: Cause,
    may_have_happened: bool,
    may_be_repeated: bool,
    is_caused_by_data: bool,
    reason: Option<Retry>,
    in_logs: InLogs,
}

/// The text that logs contain for a failed call.
#[derive(Clone, Debug)]
enum InLogs {
    /// Only the [reason](PortError::reason).
    Reason,
    /// The full text of the error.
    FullText,
    Text(String),
}

impl PortError {
    /// Creates an error about whose call nothing is known: the call may have taken effect, and may
    /// be repeated. `call` names the call and its target.
    pub fn new(call: impl Into<String>, cause: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            call: call.into(),
            cause: Arc::from(cause.into()),
            may_have_happened: true,
            may_be_repeated: true,
            is_caused_by_data: false,
            reason: None,
            in_logs: InLogs::Reason,
        }
    }

    /// Marks the call as certain to have no effect, neither now nor later.
    #[must_use]
    pub fn without_effect(self) -> Self {
        Self { may_have_happened: false, ..self }
    }

    /// Marks the error as permanent: the call fails again until an operator fixes the cause.
    #[must_use]
    pub fn permanent(self) -> Self {
        Self { may_be_repeated: false, ..self }
    }

    /// Marks the error as caused by the data that the call reads or sends. Examples are an item
    /// that cannot be decoded and a message that its queue does not accept. A retry does not help,
    /// the configuration is not at fault, and other messages are not affected.
    #[must_use]
    pub fn caused_by_data(self) -> Self {
        Self { may_be_repeated: false, is_caused_by_data: true, ..self }
    }

    /// Allows logs to contain the text of the error. The text must contain no key of a user and no
    /// data that was sent or stored.
    #[must_use]
    pub fn public(self) -> Self {
        Self { in_logs: InLogs::FullText, ..self }
    }

    /// Sets the text that logs contain instead of the error's text. For errors whose text may quote
    /// data that was sent.
    #[must_use]
    pub fn in_logs(self, text: impl Into<String>) -> Self {
        Self { in_logs: InLogs::Text(text.into()), ..self }
    }

    /// Sets the [reason](Self::reason) under which a retry of the call is counted. The default
    /// depends on whether the call may have taken effect.
    #[must_use]
    pub fn because(self, reason: Retry) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// Combines the error of a retry with the error `earlier` of the try before it. If the earlier
    /// try may have taken effect, the call as a whole may have.
    #[must_use]
    pub(crate) fn after(self, earlier: &Self) -> Self {
        Self { may_have_happened: self.may_have_happened || earlier.may_have_happened, ..self }
    }

    /// Returns the cause, which may have more details than the text.
    pub fn cause(&self) -> &(dyn StdError + Send + Sync + 'static) {
        self.cause.as_ref()
    }

    /// Returns whether the call may have taken effect, or may still take effect.
    pub const fn may_have_happened(&self) -> bool {
        self.may_have_happened
    }

    /// Returns whether a retry of the call can help.
    pub const fn may_be_repeated(&self) -> bool {
        self.may_be_repeated
    }

    /// Returns the reason under which a retry of the call is counted.
    pub fn reason(&self) -> Retry {
        self.reason.unwrap_or(if self.may_have_happened { Retry::UnknownOutcome } else { Retry::Failure })
    }

    /// Returns the text for logs: the text of the error if it is [public](PortError::public),
    /// otherwise only the [reason](PortError::reason).
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
            InLogs::FullText => self.to_string(),
            InLogs::Text(text) => text.clone(),
        }
    }

    /// Returns whether the call failed because of the data that it reads or sends. See
    /// [`PortError::caused_by_data`].
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

    /// Returns whether calls for other messages also fail until the service recovers. A transaction
    /// conflict affects only the items of one partition.
    fn is_outage(&self) -> bool {
        self.may_be_repeated && self.reason() != Retry::TransactionConflict
    }
}

impl fmt::Display for PortError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} failed: {}", self.call, self.cause)?;
        if self.may_have_happened { f.write_str(" (it may have taken effect)") } else { Ok(()) }
    }
}

debug_is_display!(PortError);

impl StdError for PortError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause.source()
    }
}

/// The action that an [`Error`] requires from the caller of the library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// Return the message to its queue. The fault lies with this message: its handler failed, its
    /// payload is in a store that the endpoint does not have, or stored data that it needs cannot
    /// be read. If the failures continue, the message is parked.
    RetryMessage,
    /// Return the message to its queue. A service failed or was busy, which is not the message's
    /// fault. Such failures do not cause the message to be parked.
    AwaitService,
    /// Fix the configuration or the infrastructure: a permission or a queue is missing. Until then
    /// every try fails. The message is not parked.
    FixConfiguration,
}

impl ErrorKind {
    /// Returns the name of the kind in metrics and logs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::RetryMessage => "retry_message",
            Self::AwaitService => "await_service",
            Self::FixConfiguration => "fix_configuration",
        }
    }
}

/// What the result of a message shows about the services that every message needs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Services {
    /// The result shows nothing about them.
    #[default]
    Unknown,
    /// They fail, so that other messages fail, too.
    Failing,
    /// They answer.
    Answering,
}

impl Services {
    /// Combines the results of two messages. One message for which the services answer is enough.
    pub(crate) const fn combined_with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Answering, _) | (_, Self::Answering) => Self::Answering,
            (Self::Failing, _) | (_, Self::Failing) => Self::Failing,
            (Self::Unknown, Self::Unknown) => Self::Unknown,
        }
    }
}

/// The reason why a message was not finished, or why an endpoint could not be built. The text names
/// the failure, the thing that it concerns, and what to do. `Debug` shows the same text with the
/// [kind](ErrorKind::name), so `main` can return the error.
#[derive(Clone)]
pub struct Error {
    kind: ErrorKind,
    text: String,
    /// The text that logs contain instead of `text`. `None` if `text` itself may be logged.
    in_logs: Option<Cow<'static, str>>,
    cause: Option<Cause>,
    services: Services,
}

impl Error {
    /// Creates an error whose text may be logged.
    pub(crate) fn new(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self { kind, text: text.into(), in_logs: None, cause: None, services: Services::Unknown }
    }

    /// Sets the text that logs contain instead of the error's text. For errors whose text may quote
    /// keys or a handler's error.
    pub(crate) fn in_logs(self, text: impl Into<Cow<'static, str>>) -> Self {
        Self { in_logs: Some(text.into()), ..self }
    }

    /// Records what the failure shows about the services, unless the error has already recorded it.
    pub(crate) fn with_services(self, services: Services) -> Self {
        match self.services {
            Services::Unknown => Self { services, ..self },
            Services::Failing | Services::Answering => self,
        }
    }

    /// Returns what the failure shows about the services.
    pub(crate) const fn services(&self) -> Services {
        self.services
    }

    pub(crate) fn misconfigured(text: impl Into<String>) -> Self {
        Self::new(ErrorKind::FixConfiguration, text)
    }

    /// Puts the subject of the error before its text, also in logs.
    pub(crate) fn of(self, subject: impl fmt::Display) -> Self {
        let in_logs = self.in_logs.map(|text| Cow::Owned(format!("{subject}: {text}")));
        Self { text: format!("{subject}: {}", self.text), in_logs, ..self }
    }

    /// Returns the action that the error requires.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Returns the text for logs: the text of the error without keys of users and without the error
    /// text of a handler.
    pub fn loggable(&self) -> &str {
        self.in_logs.as_deref().unwrap_or(&self.text)
    }
}

impl From<PortError> for Error {
    fn from(error: PortError) -> Self {
        let in_logs = Some(Cow::Owned(error.loggable()));
        let services = if error.is_outage() { Services::Failing } else { Services::Unknown };
        Self { kind: error.kind(), text: error.to_string(), in_logs, cause: Some(Arc::new(error)), services }
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

/// An item, message or key that is larger than AWS accepts. It was found before the call, so the
/// call was not made.
#[derive(Clone, PartialEq, Eq)]
pub struct LimitError {
    /// The thing that is too large, such as ``state of partition `order#1` ``.
    pub what: String,
    /// Its size.
    pub size: usize,
    /// The largest size that is allowed.
    pub size_max: usize,
    /// The unit of both sizes: `bytes`, `items` or `attributes`.
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

/// The reason for a retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Retry {
    /// Another commit was faster. The worker reads everything again.
    Conflict,
    /// It is unknown whether the call took effect.
    UnknownOutcome,
    /// Another transaction was working on the item.
    TransactionConflict,
    /// The service throttled the request.
    Throttled,
    /// The call failed for another reason, and did not take effect.
    Failure,
}

impl Retry {
    /// All reasons.
    pub const ALL: [Self; 5] =
        [Self::Conflict, Self::UnknownOutcome, Self::TransactionConflict, Self::Throttled, Self::Failure];

    /// Returns the name of the reason in metrics and logs.
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

/// Returns an error if the value of a setting is not in the range from `min` to `max`.
pub(crate) fn within(field: &str, value: u64, min: u64, max: u64) -> Result<(), Error> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(Error::misconfigured(format!("setting `{field}` is {value}; it must be from {min} to {max}")))
}
