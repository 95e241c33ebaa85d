//! The meaning of failed calls: the one place where errors of the AWS SDK become [`PortError`]s.
//!
//! A [`PortError`] answers two questions: whether the call may have taken effect, and whether it
//! may be repeated. Here the service's code answers them. After a code that is not known here, the
//! call may have taken effect and may be repeated.

pub(crate) mod meaning;
pub(crate) mod refusal;

use std::{borrow::Cow, error::Error as StdError, io};

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::{
    dns::ResolveDnsError, orchestrator::HttpResponse, result::SdkError as SmithyError,
};
use aws_smithy_types::error::metadata::{ErrorMetadata, ProvideErrorMetadata};
use cloakroom::{PortError, error::Retry};

use crate::client::failure::{
    meaning::{Meaning, is_about_content},
    refusal::{Origin, Refusal},
};

/// The error of an SDK call.
pub(crate) type SdkError<E> = SmithyError<E, HttpResponse>;

/// The longest message of a service in an error. Messages may quote the request, so errors stay
/// short.
const MESSAGE_CHARS_MAX: usize = 500;

/// How often a call may have reached the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// The call changes nothing, however often it is sent.
    Read,
    /// At most once: the SDK's retries are off.
    Once,
    /// Several times: the SDK retries as it is configured. It reports only the last try.
    Repeatedly,
}

/// An operation of a service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    name: &'static str,
    /// The permissions that a policy must allow for it.
    permissions: &'static str,
    sending: Sending,
}

impl Operation {
    /// Returns an operation that changes nothing.
    pub(crate) const fn read(name: &'static str, permissions: &'static str) -> Self {
        Self { name, permissions, sending: Sending::Read }
    }

    /// Returns an operation that is sent with the SDK's retries off.
    pub(crate) const fn once(name: &'static str, permissions: &'static str) -> Self {
        Self { name, permissions, sending: Sending::Once }
    }

    /// Returns an operation that the SDK may retry.
    pub(crate) const fn repeatedly(name: &'static str, permissions: &'static str) -> Self {
        Self { name, permissions, sending: Sending::Repeatedly }
    }

    /// The operation and its `target`, for errors.
    pub(crate) fn on(&self, target: &str) -> String {
        format!("{} on {target}", self.name)
    }

    /// Returns the error for a failed call on `target`, such as ``table `orders` ``.
    pub(crate) fn failed<E>(&self, target: &str, error: SdkError<E>) -> PortError
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        match &error {
            SmithyError::ServiceError(context) => {
                let status = context.raw().status().as_u16();
                let code = context.err().code();
                let from = Origin::Answer(code.map(str::to_owned));
                self.refused(target, Meaning::of(Some(status), code), from, &service_text(context.err().meta(), status))
            }
            // Nothing was sent, and the same input would fail again.
            SmithyError::ConstructionFailure(_) => {
                PortError::new(self.on(target), chain(&error)).without_effect().permanent()
            }
            // SUBTLE: "without effect" needs certainty that no byte was sent, neither by this try
            // nor by an earlier one. Otherwise a commit that took effect would be repeated
            // (`call_on_a_refused_connection_has_no_effect`, `call_whose_answer_is_lost_may_have_taken_effect`).
            SmithyError::DispatchFailure(_) => {
                let meaning = if never_sent(&error) { Meaning::Busy } else { Meaning::Open };
                let meaning = if lacks_credentials(&error) { Meaning::Denied } else { meaning };
                let from = if is_unsigned(&error) { Origin::Credentials } else { Origin::Silence };
                self.refused(target, meaning, from, &chain(&error))
            }
            SmithyError::TimeoutError(_) => self.unanswered(target, &chain(&error)),
            SmithyError::ResponseError(_) => self.open(target, &chain(&error)),
            _ => self.open(target, &chain(&error)),
        }
    }

    /// Returns the error for one entry of a batch, for which the service answered with `code`.
    pub(crate) fn entry_failed(&self, target: &str, code: &str, message: &str, sender_fault: bool) -> PortError {
        let known = Meaning::of(None, Some(code));
        // For an unknown code the service still says whether the sender is at fault.
        let meaning = if known == Meaning::Open && sender_fault { Meaning::Invalid } else { known };
        let from = Origin::Answer(Some(code.to_owned()));
        self.refused(target, meaning, from, &format!("{code}: {}", shortened(message)))
    }

    /// Returns the error for a service that did not answer in time. `text` says what happened.
    pub(crate) fn unanswered(&self, target: &str, text: &str) -> PortError {
        let service = self.permissions.split(':').next().unwrap_or_default();
        let look_at = "check the network from here to the service: region, VPC endpoint, proxy, `AWS_ENDPOINT_URL`";
        self.open(target, &format!("`{service}` did not answer: {text}; {look_at}"))
    }

    fn open(&self, target: &str, text: &str) -> PortError {
        self.refused(target, Meaning::Open, Origin::Silence, text)
    }

    fn refused(&self, target: &str, meaning: Meaning, origin: Origin, text: &str) -> PortError {
        // Some services answer a wrong time with the code for a wrong secret. But a retry succeeds
        // once the clock is set.
        let is_about_time = origin.is_about_time(text);
        let meaning = if is_about_time { Meaning::Busy } else { meaning };
        let hint = match meaning {
            _ if is_about_time => {
                " (the clock of this machine is wrong, or the request waited for minutes; set the clock by NTP)"
                    .to_owned()
            }
            Meaning::Absent => {
                format!(" ({target} does not exist here; make it with `cloakroom provision` or `Provisioning`)")
            }
            Meaning::Denied => format!(" (check the credentials, and allow {} on {target})", self.permissions),
            Meaning::Elsewhere => format!(" ({target} is in another region than the client)"),
            Meaning::Busy | Meaning::Throttled | Meaning::Contended | Meaning::Invalid | Meaning::Open => String::new(),
        };
        // The message about an invalid request may quote the request, so logs have only the code,
        // which comes first.
        let code = text.split(':').next().filter(|_| meaning == Meaning::Invalid);
        let in_logs = code.map(|code| format!("{} failed: {code}", self.on(target)));
        let is_about_content = matches!(&origin, Origin::Answer(Some(code)) if is_about_content(code));
        let refusal = Refusal { meaning, origin, permissions: self.permissions, text: format!("{text}{hint}") };
        let error = PortError::new(self.on(target), refusal);
        let error = match in_logs {
            Some(text) => error.in_logs(text),
            None => match without_claims(text) {
                Cow::Borrowed(_) => error.public(),
                Cow::Owned(text) => error.in_logs(format!("{} failed: {text}{hint}", self.on(target))),
            },
        };
        let error = match meaning {
            Meaning::Throttled => error.because(Retry::Throttled),
            Meaning::Contended => error.because(Retry::TransactionConflict),
            Meaning::Busy => error.because(Retry::Failure),
            Meaning::Absent | Meaning::Denied | Meaning::Elsewhere | Meaning::Invalid | Meaning::Open => error,
        };
        match (meaning, self.sending) {
            (Meaning::Open, Sending::Read) => error.without_effect(),
            (Meaning::Open, Sending::Once | Sending::Repeatedly) => error,
            // SUBTLE: (1) a first try takes effect, and its answer is lost, (2) the SDK retries,
            // (3) the service throttles the retry, and the SDK reports only that. So the call may
            // have taken effect (`throttled_call_that_the_sdk_retries_may_have_taken_effect`).
            (Meaning::Busy | Meaning::Throttled | Meaning::Contended, Sending::Repeatedly) => error,
            (Meaning::Busy | Meaning::Throttled | Meaning::Contended, Sending::Read | Sending::Once) => {
                error.without_effect()
            }
            (Meaning::Invalid, _) if is_about_content => error.without_effect().caused_by_data(),
            // An earlier try would have been refused for the same reason.
            (Meaning::Absent | Meaning::Denied | Meaning::Elsewhere | Meaning::Invalid, _) => {
                error.without_effect().permanent()
            }
        }
    }
}

/// Returns the code of the service's answer, if there is one.
pub(crate) fn code<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<&str> {
    error.code()
}

/// Returns the status of the service's answer, if there is one.
pub(crate) fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|answer| answer.status().as_u16())
}

/// The service's own error text. The SDK's error displays only as "service error", and its debug
/// form contains bodies.
fn service_text(meta: &ErrorMetadata, status: u16) -> String {
    let code = meta.code().unwrap_or("an answer without a code");
    let message = meta.message().map(|message| format!(": {}", shortened(message))).unwrap_or_default();
    let request = meta.extra("aws_request_id").map(|id| format!(", request {id}")).unwrap_or_default();
    format!("{code}{message} (status {status}{request})")
}

fn shortened(message: &str) -> &str {
    message.char_indices().nth(MESSAGE_CHARS_MAX).map_or(message, |(end, _)| &message[..end])
}

/// Returns the text without claims. If S3 denies access, its message names the object and thereby
/// the claim.
///
/// SUBTLE: a claim is all that is needed to read and delete a payload, so it must not be logged
/// (`claim_in_an_s3_error_is_not_logged`).
fn without_claims(text: &str) -> Cow<'_, str> {
    const DIGITS: usize = 32;
    let is_digit = |byte: &u8| byte.is_ascii_hexdigit();
    let mut cleaned = Cow::Borrowed(text);
    while let Some(dot) = (0..cleaned.len())
        .filter(|at| cleaned.as_bytes()[*at] == b'.')
        .find(|dot| dot.checked_sub(DIGITS).is_some_and(|start| cleaned.as_bytes()[start..*dot].iter().all(is_digit)))
    {
        cleaned = Cow::Owned(format!("{}[claim]{}", &cleaned[..dot - DIGITS], &cleaned[dot..]));
    }
    cleaned
}

/// The texts of an error and its causes.
fn chain(error: &(dyn StdError + 'static)) -> String {
    let texts: Vec<String> = causes(error).map(ToString::to_string).collect();
    texts.join(": ")
}

fn causes<'a>(error: &'a (dyn StdError + 'static)) -> impl Iterator<Item = &'a (dyn StdError + 'static)> {
    std::iter::successors(Some(error), |&error| error.source())
}

/// Whether nothing can have been sent, because the request was not signed or no connection was
/// made. Other errors of a socket may come after the request was sent, and HTTP clients do not
/// distinguish them reliably.
fn never_sent(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| {
        let refused = cause.downcast_ref::<io::Error>().map(io::Error::kind) == Some(io::ErrorKind::ConnectionRefused);
        refused || cause.is::<ResolveDnsError>() || cause.is::<CredentialsError>()
    })
}

/// Whether the request could not be signed.
fn is_unsigned(error: &(dyn StdError + 'static)) -> bool {
    causes(error).any(|cause| cause.is::<CredentialsError>())
}

/// Whether the client has no credentials, and cannot get any with its configuration.
fn lacks_credentials(error: &(dyn StdError + 'static)) -> bool {
    let lasting = |cause: &_| {
        matches!(cause, CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_))
    };
    causes(error).any(|cause| cause.downcast_ref().is_some_and(lasting))
}

#[cfg(test)]
mod tests;
