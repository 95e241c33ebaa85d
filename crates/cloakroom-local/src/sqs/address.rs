//! The wire format of the names of queues, messages and deliveries: URLs, ARNs, sequence numbers
//! and receipt handles.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::sqs::error::{Error, Kind};
use crate::sqs::message::Number;

/// The account of all resources.
pub(crate) const ACCOUNT: &str = "000000000000";

const ARN_PREFIX: &str = "arn:aws:sqs:";

/// Returns the URL of a queue, with the host that the client used.
pub(super) fn url(host: &str, name: &str) -> String {
    format!("http://{host}/{ACCOUNT}/{name}")
}

pub(crate) fn arn(name: &str) -> String {
    format!("{ARN_PREFIX}{}:{ACCOUNT}:{name}", crate::REGION)
}

/// Returns the name of the queue in an ARN, of any region and account.
pub(super) fn name_in_arn(arn: &str) -> Option<&str> {
    let (_, name) = arn.strip_prefix(ARN_PREFIX)?.rsplit_once(':')?;
    Some(name).filter(|name| !name.is_empty())
}

/// Returns the name of the queue in a URL. A name without a URL is also accepted.
pub(super) fn name_in_url(url: &str) -> Result<&str, Error> {
    match url.rsplit('/').next() {
        Some(name) if !name.is_empty() => Ok(name),
        _ => Err(Kind::MissingParameter.because("The request must contain the parameter QueueUrl.")),
    }
}

/// Returns a sequence number, which has twenty digits.
pub(super) fn sequence(number: u64) -> String {
    format!("{number:020}")
}

/// A delivery of a message, as encoded in a receipt handle.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ReceiptHandle {
    pub(super) number: Number,
    pub(super) receipt: Number,
}

impl ReceiptHandle {
    pub(super) fn encode(self, queue: &str) -> String {
        URL_SAFE_NO_PAD.encode(format!("{}/{}/{queue}", self.number, self.receipt))
    }

    pub(super) fn decode(queue: &str, handle: &str) -> Result<Self, Error> {
        let decode = || {
            let text = String::from_utf8(URL_SAFE_NO_PAD.decode(handle).ok()?).ok()?;
            let mut parts = text.splitn(3, '/');
            let handle = Self { number: parts.next()?.parse().ok()?, receipt: parts.next()?.parse().ok()? };
            (parts.next()? == queue).then_some(handle)
        };
        decode().ok_or_else(|| {
            Kind::ReceiptHandleIsInvalid.because(format!(
                "The input receipt handle \"{handle}\" is not a valid receipt handle of the \
                 queue {queue}."
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipt_handle_is_valid_only_for_its_queue() {
        let handle = ReceiptHandle { number: 7, receipt: 8 };
        let text = handle.encode("orders");
        assert_eq!(ReceiptHandle::decode("orders", &text), Ok(handle));
        assert!(ReceiptHandle::decode("others", &text).is_err());
        assert!(ReceiptHandle::decode("orders", "bogus").is_err());
    }

    #[test]
    fn queue_names_are_parsed_from_urls_and_arns() {
        assert_eq!(name_in_url(&url("127.0.0.1:1", "orders")), Ok("orders"));
        assert!(name_in_url("").is_err());
        assert_eq!(name_in_arn(&arn("orders")), Some("orders"));
        assert_eq!(name_in_arn("orders"), None);
    }
}
