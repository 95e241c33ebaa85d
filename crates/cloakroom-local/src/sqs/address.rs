//! How queues and deliveries are named on the wire: URLs, ARNs and receipt handles.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::error::{Error, Kind};
use super::message::Number;

/// The account that owns everything here.
pub(crate) const ACCOUNT: &str = "000000000000";

const ARN_PREFIX: &str = "arn:aws:sqs:";

/// The URL of a queue, on the host by which the client reached us.
pub(super) fn url(host: &str, name: &str) -> String {
    format!("http://{host}/{ACCOUNT}/{name}")
}

pub(crate) fn arn(name: &str) -> String {
    format!("{ARN_PREFIX}{}:{ACCOUNT}:{name}", crate::REGION)
}

/// The queue that an ARN names, in whatever region and account.
pub(super) fn name_in_arn(arn: &str) -> Option<&str> {
    let (_, name) = arn.strip_prefix(ARN_PREFIX)?.rsplit_once(':')?;
    Some(name).filter(|name| !name.is_empty())
}

/// The queue that a URL names. A bare name will do too.
pub(super) fn name_in_url(url: &str) -> Result<&str, Error> {
    match url.rsplit('/').next() {
        Some(name) if !name.is_empty() => Ok(name),
        _ => Err(Kind::MissingParameter.because("The request must contain the parameter QueueUrl.")),
    }
}

/// A delivery of a message of a queue, as a receipt handle names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Handle {
    pub(super) number: Number,
    pub(super) receipt: Number,
}

impl Handle {
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
    fn a_receipt_handle_is_good_for_its_queue_only() {
        let handle = Handle { number: 7, receipt: 8 };
        let text = handle.encode("orders");
        assert_eq!(Handle::decode("orders", &text), Ok(handle));
        assert!(Handle::decode("others", &text).is_err());
        assert!(Handle::decode("orders", "bogus").is_err());
    }

    #[test]
    fn names_are_found_in_urls_and_arns() {
        assert_eq!(name_in_url(&url("127.0.0.1:1", "orders")), Ok("orders"));
        assert!(name_in_url("").is_err());
        assert_eq!(name_in_arn(&arn("orders")), Some("orders"));
        assert_eq!(name_in_arn("orders"), None);
    }
}
