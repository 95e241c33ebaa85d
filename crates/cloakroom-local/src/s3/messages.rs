//! The messages of S3's errors, for errors that are raised without a message.

use bytes::Bytes;

use crate::http::endpoint::Response;

/// Returns the message of S3 for errors that the framework or the operations raise without a
/// message.
fn text(code: &str) -> &'static str {
    match code {
        "InvalidBucketName" => "The specified bucket is not valid.",
        "InvalidRange" => "The requested range is not satisfiable",
        "KeyTooLongError" => "Your key is too long",
        "MalformedXML" => "The XML you provided was not well-formed or did not validate against our published schema",
        "MethodNotAllowed" => "The specified method is not allowed against this resource.",
        "MissingContentLength" => "You must provide the Content-Length HTTP header.",
        "NoSuchBucketPolicy" => "The bucket policy does not exist",
        "NoSuchLifecycleConfiguration" => "The lifecycle configuration does not exist",
        "NoSuchTagSet" => "The TagSet does not exist",
        "NotImplemented" => "A header you provided implies functionality that is not implemented.",
        "OwnershipControlsNotFoundError" => "The bucket ownership controls were not found",
        "SignatureDoesNotMatch" => {
            "The request signature we calculated does not match the signature you provided. Check your key and signing \
             method."
        }
        _ => "The request was rejected. The code of this error states the reason.",
    }
}

/// Adds the message to an error response without one. All errors of S3 have a message.
pub(super) fn with_message(answer: Response) -> Response {
    let is_error = answer.status().is_client_error() || answer.status().is_server_error();
    match is_error.then(|| inserted(answer.body())).flatten() {
        None => answer,
        Some(body) => {
            let (mut head, _) = answer.into_parts();
            head.headers.remove(http::header::CONTENT_LENGTH);
            Response::from_parts(head, body)
        }
    }
}

/// Returns the body of an error with its missing message. `None` if the body has a message, or is
/// not an error.
fn inserted(body: &[u8]) -> Option<Bytes> {
    let body = std::str::from_utf8(body).ok()?;
    let (_, rest) = body.split_once("<Error><Code>")?;
    let (code, rest) = rest.split_once("</Code>")?;
    if rest.contains("<Message>") {
        return None;
    }
    let head = &body[..body.len() - rest.len()];
    Some(Bytes::from(format!("{head}<Message>{}</Message>{rest}", text(code))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_errors_without_a_message_get_one() {
        let xml = |inner: &str| format!("<?xml version=\"1.0\"?><Error>{inner}</Error>");
        let bare = inserted(xml("<Code>NoSuchTagSet</Code><RequestId>1</RequestId>").as_bytes()).expect("inserted");
        let expected = "<Code>NoSuchTagSet</Code><Message>The TagSet does not exist</Message><RequestId>1</RequestId>";
        assert_eq!(bare, xml(expected));
        assert_eq!(inserted(xml("<Code>NoSuchKey</Code><Message>gone</Message>").as_bytes()), None);
        assert_eq!(inserted(b""), None);
        assert_eq!(inserted(b"<ListBucketResult></ListBucketResult>"), None);
    }
}
