//! The texts of S3's errors, for those that come without one.

use bytes::Bytes;

use crate::http::Response;

/// What S3 says about errors that the framework or the services behind it raise without a text.
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
        _ => "The request was refused. The code of this error says why.",
    }
}

/// An answer in which an error has a text, as all errors of S3 have.
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

/// The body of an error with the text that it lacks. `None` if the body has one, or is no error.
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
    fn only_errors_without_a_text_get_one() {
        let xml = |inner: &str| format!("<?xml version=\"1.0\"?><Error>{inner}</Error>");
        let bare = inserted(xml("<Code>NoSuchTagSet</Code><RequestId>1</RequestId>").as_bytes()).expect("inserted");
        let expected = "<Code>NoSuchTagSet</Code><Message>The TagSet does not exist</Message><RequestId>1</RequestId>";
        assert_eq!(bare, xml(expected));
        assert_eq!(inserted(xml("<Code>NoSuchKey</Code><Message>gone</Message>").as_bytes()), None);
        assert_eq!(inserted(b""), None);
        assert_eq!(inserted(b"<ListBucketResult></ListBucketResult>"), None);
    }
}
