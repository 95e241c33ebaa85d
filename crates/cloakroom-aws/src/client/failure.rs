//! What a failed call means: the one place where errors of the AWS SDK become [`PortError`]s.
//!
//! A [`PortError`] answers two questions: may the call have taken effect, and may it be repeated. Here they
//! are answered from the code that the service gave. A code that is not known here leaves both open.

pub(crate) mod refusal;

use std::{borrow::Cow, error::Error as StdError, io};

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::{
    dns::ResolveDnsError, orchestrator::HttpResponse, result::SdkError as SmithyError,
};
use aws_smithy_types::error::metadata::{ErrorMetadata, ProvideErrorMetadata};
use cloakroom::{PortError, error::Retry};

pub(crate) use refusal::{Origin, Refusal};

/// The error of an SDK call.
pub(crate) type SdkError<E> = SmithyError<E, HttpResponse>;

/// Messages of services may quote what was sent to them; errors stay short.
const MESSAGE_CHARS_MAX: usize = 500;

/// How often a call may have reached the service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    /// It changes nothing, however often it is sent.
    Read,
    /// At most once: the SDK's retries are off.
    Once,
    /// The SDK repeats it as it was configured to. What it reports is the last try only.
    Repeatedly,
}

/// An operation of a service.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Operation {
    name: &'static str,
    /// What a policy has to allow for it.
    permissions: &'static str,
    sending: Sending,
}

impl Operation {
    /// One that changes nothing.
    pub(crate) const fn read(name: &'static str, permissions: &'static str) -> Self {
        Self { name, permissions, sending: Sending::Read }
    }

    /// One that is sent with the SDK's retries off.
    pub(crate) const fn once(name: &'static str, permissions: &'static str) -> Self {
        Self { name, permissions, sending: Sending::Once }
    }

    /// One that the SDK may repeat.
    pub(crate) const fn repeatedly(name: &'static str, permissions: &'static str) -> Self {
        Self { name, permissions, sending: Sending::Repeatedly }
    }

    /// What to call it on `target` in errors.
    pub(crate) fn on(&self, target: &str) -> String {
        format!("{} on {target}", self.name)
    }

    /// Says what a failure on `target`, such as ``table `orders` ``, means.
    pub(crate) fn failed<E>(&self, target: &str, error: SdkError<E>) -> PortError
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        match &error {
            SmithyError::ServiceError(context) => {
                let status = context.raw().status().as_u16();
                let code = context.err().code();
                let from = Origin::Answer(code.map(str::to_owned));
                self.refused(target, Meaning::of(Some(status), code), from, &told(context.err().meta(), status))
            }
            // Nothing was sent, and the same input will not make a request the next time.
            SmithyError::ConstructionFailure(_) => {
                PortError::new(self.on(target), chain(&error)).without_effect().permanent()
            }
            // SUBTLE: without effect only if it is certain that no byte was sent, and by no try before
            // this one (`a_refused_connection_has_no_effect`, `a_lost_answer_may_have_happened`).
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

    /// Says what it means that the service answered with `code` for one entry of a batch.
    pub(crate) fn entry_failed(&self, target: &str, code: &str, message: &str, sender_fault: bool) -> PortError {
        let known = Meaning::of(None, Some(code));
        // The service says whose fault it is, also where the code is not known here.
        let meaning = if known == Meaning::Open && sender_fault { Meaning::Invalid } else { known };
        let from = Origin::Answer(Some(code.to_owned()));
        self.refused(target, meaning, from, &format!("{code}: {}", shortened(message)))
    }

    /// Says that the service gave no answer in time, as `text` tells.
    pub(crate) fn unanswered(&self, target: &str, text: &str) -> PortError {
        let service = self.permissions.split(':').next().unwrap_or_default();
        let look_at = "look at the network from here to the service: region, VPC endpoint, proxy, `AWS_ENDPOINT_URL`";
        self.open(target, &format!("`{service}` did not answer: {text}; {look_at}"))
    }

    fn open(&self, target: &str, text: &str) -> PortError {
        self.refused(target, Meaning::Open, Origin::Silence, text)
    }

    fn refused(&self, target: &str, meaning: Meaning, origin: Origin, text: &str) -> PortError {
        // Some services have the code of a wrong secret for it. But it passes when the clock is set.
        let is_about_time = origin.is_about_time(text);
        let meaning = if is_about_time { Meaning::Busy } else { meaning };
        let hint = match meaning {
            _ if is_about_time => {
                " (the clock of this machine is wrong, or the request waited for minutes; have the clock set by NTP)"
                    .to_owned()
            }
            Meaning::Absent => {
                format!(" ({target} does not exist here; make it with `cloakroom provision` or `Provisioning`)")
            }
            Meaning::Denied => format!(" (it takes valid credentials, and {} on {target})", self.permissions),
            Meaning::Elsewhere => format!(" ({target} is in another region than the client)"),
            Meaning::Busy | Meaning::Throttled | Meaning::Contended | Meaning::Invalid | Meaning::Open => String::new(),
        };
        // What is wrong with a request may be told by quoting it. The code comes first.
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
            // SUBTLE: the last try was refused, but a try before it, of which the SDK tells nothing, may have
            // been done without an answer (`a_throttled_repetition_may_have_happened`).
            (Meaning::Busy | Meaning::Throttled | Meaning::Contended, Sending::Repeatedly) => error,
            (Meaning::Busy | Meaning::Throttled | Meaning::Contended, Sending::Read | Sending::Once) => {
                error.without_effect()
            }
            (Meaning::Invalid, _) if is_about_content => error.without_effect().caused_by_data(),
            // These would have met any try before, too.
            (Meaning::Absent | Meaning::Denied | Meaning::Elsewhere | Meaning::Invalid, _) => {
                error.without_effect().permanent()
            }
        }
    }
}

/// What a code means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Refused for now.
    Busy,
    /// Refused for now: too many requests.
    Throttled,
    /// Refused for now: another transaction, or another conditional write, is at it.
    Contended,
    /// The table, bucket or queue does not exist.
    Absent,
    /// Refused for lack of permission, or of valid credentials.
    Denied,
    /// The bucket is in another region.
    Elsewhere,
    /// Refused for what was asked.
    Invalid,
    /// Nothing is known.
    Open,
}

impl Meaning {
    /// Reads the code of an answer, or its status if it has none: answers to HEAD have no body for a code.
    pub(crate) fn of(status: Option<u16>, code: Option<&str>) -> Self {
        match (code, status) {
            (Some(code), _) => Self::of_code(code),
            (None, Some(301 | 307)) => Self::Elsewhere,
            (None, Some(401 | 403)) => Self::Denied,
            (None, Some(404)) => Self::Absent,
            (None, Some(429)) => Self::Throttled,
            (None, _) => Self::Open,
        }
    }

    fn of_code(code: &str) -> Self {
        // SQS answers with `AWS.SimpleQueueService.` before the codes of its older protocol.
        let code = code.rsplit('.').next().unwrap_or(code);
        let known = MEANINGS.iter().find(|(_, codes)| codes.contains(&code));
        known.map_or(Self::Open, |(meaning, _)| *meaning)
    }
}

/// The codes that are known, by what they mean.
const MEANINGS: &[(Meaning, &[&str])] = &[
    (
        Meaning::Throttled,
        &[
            "Throttling",
            "ThrottlingError",
            "ThrottlingException",
            "ThrottledException",
            "RequestThrottled",
            "RequestThrottledException",
            "RequestLimitExceeded",
            "TooManyRequestsException",
            "ProvisionedThroughputExceeded",
            "ProvisionedThroughputExceededException",
            "KmsThrottled",
            "OverLimit",
            "SlowDown",
        ],
    ),
    (
        Meaning::Contended,
        &[
            // Another transaction has the item.
            "TransactionConflict",
            "TransactionConflictException",
            // Another conditional write, or another change of the bucket, has the key.
            "ConditionalRequestConflict",
            "OperationAborted",
        ],
    ),
    (
        Meaning::Busy,
        &[
            "PriorRequestNotComplete",
            // The SDK renews credentials after these.
            "ExpiredToken",
            "ExpiredTokenException",
            // Resources that are being changed, and control-plane quotas.
            "LimitExceededException",
            "ResourceInUseException",
            "ContinuousBackupsUnavailableException",
            "QueueDeletedRecently",
        ],
    ),
    (
        Meaning::Absent,
        &[
            "ResourceNotFoundException",
            "TableNotFoundException",
            "NoSuchBucket",
            // The SDK's word for a 404 of S3 that has no body, and so does not say what is missing.
            "NotFound",
            "QueueDoesNotExist",
            "NonExistentQueue",
        ],
    ),
    (
        Meaning::Denied,
        &[
            "AccessDenied",
            "AccessDeniedException",
            "AllAccessDisabled",
            "AuthFailure",
            "IncompleteSignature",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSecurity",
            "KmsAccessDenied",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "NotSignedUp",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        ],
    ),
    (Meaning::Elsewhere, &["AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"]),
    (
        Meaning::Invalid,
        &[
            "BatchRequestTooLong",
            "BucketAlreadyExists",
            "EntityTooLarge",
            "InvalidArgument",
            "InvalidAddress",
            "InvalidAttributeName",
            "InvalidAttributeValue",
            "InvalidBucketName",
            "InvalidMessageContents",
            "InvalidParameterCombination",
            "InvalidParameterValue",
            "InvalidRequest",
            "ItemCollectionSizeLimitExceeded",
            "ItemCollectionSizeLimitExceededException",
            "KeyTooLongError",
            "KmsDisabled",
            "KmsInvalidKeyUsage",
            "KmsInvalidState",
            "KmsNotFound",
            "KmsOptInRequired",
            "MalformedXML",
            "MessageNotInflight",
            "MessageTooLong",
            "MethodNotAllowed",
            "MissingParameter",
            "NotImplemented",
            "ReceiptHandleIsInvalid",
            "SerializationException",
            "UnknownOperationException",
            "UnsupportedOperation",
            "ValidationError",
            "ValidationException",
        ],
    ),
];

/// The codes with which a service refuses the content of one message, payload or partition, and nothing else.
const CONTENT_CODES: &[&str] = &[
    "EntityTooLarge",
    "InvalidMessageContents",
    "ItemCollectionSizeLimitExceeded",
    "ItemCollectionSizeLimitExceededException",
    "KeyTooLongError",
    "MessageTooLong",
];

fn is_about_content(code: &str) -> bool {
    CONTENT_CODES.contains(&code.rsplit('.').next().unwrap_or(code))
}

/// The code that a service answered with, if it answered with one.
pub(crate) fn code<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<&str> {
    error.code()
}

/// The status of an answer, if there was one.
pub(crate) fn status<E>(error: &SdkError<E>) -> Option<u16> {
    error.raw_response().map(|answer| answer.status().as_u16())
}

/// The service's own words. The SDK's error displays as "service error", and its debug form has bodies in it.
fn told(meta: &ErrorMetadata, status: u16) -> String {
    let code = meta.code().unwrap_or("an answer without a code");
    let message = meta.message().map(|message| format!(": {}", shortened(message))).unwrap_or_default();
    let request = meta.extra("aws_request_id").map(|id| format!(", request {id}")).unwrap_or_default();
    format!("{code}{message} (status {status}{request})")
}

fn shortened(message: &str) -> &str {
    message.char_indices().nth(MESSAGE_CHARS_MAX).map_or(message, |(end, _)| &message[..end])
}

/// The text without claims. S3 names the object, and so the claim, when it denies access.
///
/// SUBTLE: a claim is all that it takes to collect a payload, and must not be logged (`claim_that_s3_quotes_is_not_logged`).
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

/// Whether the request was not signed, or no connection came about, so that nothing can have been sent. Other failures
/// of a socket may come after the request, and HTTP clients do not tell reliably.
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

/// Whether the client has no credentials to sign with, nor can get any as it is configured.
fn lacks_credentials(error: &(dyn StdError + 'static)) -> bool {
    let lasting = |cause: &_| {
        matches!(cause, CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_))
    };
    causes(error).any(|cause| cause.downcast_ref().is_some_and(lasting))
}

#[cfg(test)]
mod tests;
