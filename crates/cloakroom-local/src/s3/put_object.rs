//! Putting and copying objects.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use md5::{Digest as _, Md5};
use s3s::dto::{
    ChecksumType, CopyObjectInput, CopyObjectOutput, CopyObjectResult, CopySource, Metadata, MetadataDirective,
    PutObjectInput, PutObjectOutput, StreamingBlob, TaggingDirective,
};
use s3s::{Body, S3Result, TrailingHeaders, s3_error};

use crate::clock;
use crate::s3::checksums::Checksums;
use crate::s3::conditions::{ReadCondition, WriteCondition};
use crate::s3::limits;
use crate::s3::object::{Headers, Object, Properties, etag};
use crate::s3::service::Buckets;

impl Buckets {
    pub(super) async fn put(
        &self,
        mut input: PutObjectInput,
        trailers: Option<TrailingHeaders>,
    ) -> S3Result<PutObjectOutput> {
        let body = read(input.body.take()).await?;
        if let Some(sent) = &input.content_md5
            && *sent != STANDARD.encode(Md5::digest(&body))
        {
            return Err(s3_error!(BadDigest, "The Content-MD5 you specified did not match what we received."));
        }
        let mut sent = Checksums::sent(&input);
        if let Some(trailers) = trailers {
            trailers.read(|trailers| sent.add_trailers(trailers));
        }
        let checksums = sent.verify(input.checksum_algorithm.as_ref(), &body)?;
        let condition = WriteCondition { if_match: input.if_match.take(), if_none_match: input.if_none_match.take() };
        let (bucket, key) = (input.bucket.clone(), input.key.clone());
        let object = Object { properties: properties(input, &body, checksums.clone())?, body };
        let etag = object.etag();
        self.store.put(&bucket, &key, object, &condition)?;
        Ok(PutObjectOutput {
            e_tag: Some(etag),
            checksum_crc32: checksums.crc32,
            checksum_crc32c: checksums.crc32c,
            checksum_crc64nvme: checksums.crc64nvme,
            checksum_sha1: checksums.sha1,
            checksum_sha256: checksums.sha256,
            checksum_type: Some(ChecksumType::from_static(ChecksumType::FULL_OBJECT)),
            ..Default::default()
        })
    }

    pub(super) fn copy_object(&self, input: CopyObjectInput) -> S3Result<CopyObjectOutput> {
        let CopySource::Bucket { bucket, key, .. } = &input.copy_source else {
            return Err(s3_error!(NotImplemented, "cloakroom-local supports copies from buckets only."));
        };
        let source = self.store.object(bucket, key)?;
        ReadCondition {
            if_match: input.copy_source_if_match.clone(),
            if_none_match: input.copy_source_if_none_match.clone(),
            ..ReadCondition::default()
        }
        .check(&source)
        .map_err(|_| s3_error!(PreconditionFailed, "The source object does not satisfy the condition."))?;

        let mut copy = Object::clone(&source);
        copy.properties.modified_at = clock::now();
        let replaces = |directive: Option<&str>| directive == Some("REPLACE");
        if replaces(input.metadata_directive.as_ref().map(MetadataDirective::as_str)) {
            copy.properties.headers = Headers {
                content_type: input.content_type,
                content_encoding: input.content_encoding,
                content_language: input.content_language,
                content_disposition: input.content_disposition,
                cache_control: input.cache_control,
            };
            copy.properties.metadata = metadata(input.metadata)?;
        }
        if replaces(input.tagging_directive.as_ref().map(TaggingDirective::as_str)) {
            copy.properties.tags = parse_tags(input.tagging.as_deref().unwrap_or_default())?;
        }
        let result = CopyObjectResult {
            e_tag: Some(copy.etag()),
            last_modified: Some(copy.last_modified()),
            ..Default::default()
        };
        let unconditional = WriteCondition::default();
        self.store.put(&input.bucket, &input.key, copy, &unconditional)?;
        Ok(CopyObjectOutput { copy_object_result: Some(result), ..Default::default() })
    }
}

async fn read(body: Option<StreamingBlob>) -> S3Result<Bytes> {
    let Some(body) = body else {
        return Ok(Bytes::new());
    };
    // The length was limited when the request was received. An error here concerns the framing or
    // the signature of a chunk.
    let read = Body::from(body).store_all_limited(usize::MAX).await;
    read.map_err(|error| s3_error!(IncompleteBody, "The body cannot be read: {error}"))
}

fn properties(input: PutObjectInput, body: &[u8], checksums: Checksums) -> S3Result<Properties> {
    Ok(Properties {
        etag: etag(body),
        modified_at: clock::now(),
        headers: Headers {
            content_type: input.content_type,
            content_encoding: input.content_encoding,
            content_language: input.content_language,
            content_disposition: input.content_disposition,
            cache_control: input.cache_control,
        },
        metadata: metadata(input.metadata)?,
        checksums,
        tags: parse_tags(input.tagging.as_deref().unwrap_or_default())?,
    })
}

fn metadata(given: Option<Metadata>) -> S3Result<BTreeMap<String, String>> {
    let metadata = given.into_iter().flatten().collect();
    limits::check_metadata(&metadata)?;
    Ok(metadata)
}

/// Parses the tags in a header, which are encoded like the query of a URL.
fn parse_tags(header: &str) -> S3Result<Vec<(String, String)>> {
    let pairs = header.split('&').filter(|pair| !pair.is_empty());
    let tags = pairs.map(|pair| {
        let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
        Some((unescape(key)?, unescape(value)?))
    });
    let tags = tags
        .collect::<Option<Vec<_>>>()
        .ok_or_else(|| s3_error!(InvalidArgument, "The header x-amz-tagging must be URL-encoded."))?;
    limits::check_tags(&tags)?;
    Ok(tags)
}

fn unescape(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [rest.next()?, rest.next()?];
                u8::from_str_radix(std::str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_in_headers_are_url_encoded() {
        let tags = parse_tags("a=1&b%20c=d%3De+f&flag").expect("well formed");
        let expected = [("a", "1"), ("b c", "d=e f"), ("flag", "")];
        assert_eq!(tags, expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert!(parse_tags("a=%2").is_err());
        assert!(parse_tags("").expect("nothing").is_empty());
    }
}
