//! The operation of a request, derived from its method, path and query.

use http::Method;

use crate::http::endpoint::Request;

/// Subresources of buckets with operations of their own: the query parameter, and the name of the
/// operations after the verb.
const BUCKET_SUBRESOURCES: [(&str, &str); 11] = [
    ("lifecycle", "BucketLifecycleConfiguration"),
    ("publicAccessBlock", "PublicAccessBlock"),
    ("versioning", "BucketVersioning"),
    ("encryption", "BucketEncryption"),
    ("ownershipControls", "BucketOwnershipControls"),
    ("tagging", "BucketTagging"),
    ("location", "BucketLocation"),
    ("policy", "BucketPolicy"),
    ("cors", "BucketCors"),
    ("acl", "BucketAcl"),
    ("notification", "BucketNotificationConfiguration"),
];

/// Returns the name of the operation, as AWS spells it.
pub(super) fn name(request: &Request) -> String {
    let path = request.uri().path().trim_start_matches('/');
    let query = request.uri().query().unwrap_or_default();
    let has = |name: &str| {
        let mut parameters = query.split('&');
        parameters.any(|parameter| parameter.split('=').next() == Some(name))
    };
    let method = request.method();
    match path.split_once('/') {
        None if path.is_empty() => "ListBuckets".to_owned(),
        Some((_, key)) if !key.is_empty() => {
            let copies = request.headers().contains_key("x-amz-copy-source");
            on_object(method, has, copies)
        }
        _ => on_bucket(method, has),
    }
}

fn verb(method: &Method) -> &'static str {
    match method.as_str() {
        "PUT" => "Put",
        "DELETE" => "Delete",
        "HEAD" => "Head",
        "POST" => "Post",
        _ => "Get",
    }
}

fn on_bucket(method: &Method, has: impl Fn(&str) -> bool) -> String {
    let verb = verb(method);
    let subresource = BUCKET_SUBRESOURCES.iter().find(|(name, _)| has(name));
    if let Some((parameter, noun)) = subresource {
        // The only name that differs from the others of its subresource.
        return match (*parameter, verb) {
            ("lifecycle", "Delete") => "DeleteBucketLifecycle".to_owned(),
            _ => format!("{verb}{noun}"),
        };
    }
    match verb {
        "Put" => "CreateBucket",
        "Delete" => "DeleteBucket",
        "Head" => "HeadBucket",
        "Post" if has("delete") => "DeleteObjects",
        "Post" => "PostObject",
        _ if has("list-type") => "ListObjectsV2",
        _ if has("uploads") => "ListMultipartUploads",
        _ => "ListObjects",
    }
    .to_owned()
}

fn on_object(method: &Method, has: impl Fn(&str) -> bool, copies: bool) -> String {
    let verb = verb(method);
    if has("tagging") {
        return format!("{verb}ObjectTagging");
    }
    match verb {
        "Put" if has("partNumber") => "UploadPart",
        "Put" if copies => "CopyObject",
        "Put" => "PutObject",
        "Delete" if has("uploadId") => "AbortMultipartUpload",
        "Delete" => "DeleteObject",
        "Head" => "HeadObject",
        "Post" if has("uploads") => "CreateMultipartUpload",
        "Post" => "CompleteMultipartUpload",
        _ => "GetObject",
    }
    .to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_operations_have_the_names_of_aws() {
        for (method, uri, expected) in [
            ("GET", "/", "ListBuckets"),
            ("PUT", "/bucket", "CreateBucket"),
            ("PUT", "/bucket/", "CreateBucket"),
            ("GET", "/bucket?list-type=2&prefix=tagging", "ListObjectsV2"),
            ("POST", "/bucket?delete", "DeleteObjects"),
            ("GET", "/bucket?lifecycle", "GetBucketLifecycleConfiguration"),
            ("DELETE", "/bucket?lifecycle", "DeleteBucketLifecycle"),
            ("PUT", "/bucket/a/b?x-id=PutObject", "PutObject"),
            ("DELETE", "/bucket/key", "DeleteObject"),
            ("PUT", "/bucket/key?tagging", "PutObjectTagging"),
            ("HEAD", "/bucket/key", "HeadObject"),
        ] {
            let request = http::Request::builder().method(method).uri(uri);
            let request = request.body(bytes::Bytes::new()).expect("a request");
            assert_eq!(name(&request), expected, "{method} {uri}");
        }
    }
}
