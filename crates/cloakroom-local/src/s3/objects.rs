//! Reading, deleting and tagging objects.

use std::ops;
use std::sync::Arc;

use bytes::Bytes;
use s3s::dto::{
    ChecksumMode, ChecksumType, DeleteObjectInput, DeleteObjectOutput, DeleteObjectTaggingInput,
    DeleteObjectTaggingOutput, DeleteObjectsInput, DeleteObjectsOutput, DeletedObject, ETagCondition, Error,
    GetObjectInput, GetObjectOutput, GetObjectTaggingInput, GetObjectTaggingOutput, HeadObjectInput, HeadObjectOutput,
    ObjectIdentifier, PutObjectTaggingInput, PutObjectTaggingOutput, Range, Tag,
};
use s3s::{Body, S3Result};

use crate::s3::checksums::Checksums;
use crate::s3::conditions::{ReadCondition, WriteCondition};
use crate::s3::limits;
use crate::s3::object::Object;
use crate::s3::service::Buckets;

/// Reads an object for GET or HEAD. Their inputs and outputs have the same fields, but no common
/// type. Returns the object, the requested bytes, and the output with the fields that both have.
macro_rules! read {
    ($store:expr, $input:expr, $output:ident) => {{
        let input = $input;
        let object = $store.object(&input.bucket, &input.key)?;
        ReadCondition {
            if_match: input.if_match,
            if_none_match: input.if_none_match,
            if_modified_since: input.if_modified_since,
            if_unmodified_since: input.if_unmodified_since,
        }
        .check(&object)?;
        let part = part(&object, input.range)?;
        let sums = checksums(&object, input.checksum_mode.as_ref(), input.range);
        let headers = object.properties.headers.clone();
        let output = $output {
            accept_ranges: Some("bytes".into()),
            content_length: i64::try_from(part.bytes.len()).ok(),
            content_range: part.content_range,
            cache_control: input.response_cache_control.or(headers.cache_control),
            content_disposition: input.response_content_disposition.or(headers.content_disposition),
            content_encoding: input.response_content_encoding.or(headers.content_encoding),
            content_language: input.response_content_language.or(headers.content_language),
            content_type: input.response_content_type.or(content_type(&object)),
            e_tag: Some(object.etag()),
            last_modified: Some(object.last_modified()),
            metadata: metadata(&object),
            checksum_type: full_object(&sums),
            checksum_crc32: sums.crc32,
            checksum_crc32c: sums.crc32c,
            checksum_crc64nvme: sums.crc64nvme,
            checksum_sha1: sums.sha1,
            checksum_sha256: sums.sha256,
            ..Default::default()
        };
        (object, part.bytes, output)
    }};
}

impl Buckets {
    pub(super) fn get_object(&self, input: GetObjectInput) -> S3Result<GetObjectOutput> {
        let (object, bytes, output) = read!(self.store, input, GetObjectOutput);
        Ok(GetObjectOutput { body: Some(Body::from(bytes).into()), tag_count: tag_count(&object), ..output })
    }

    pub(super) fn head_object(&self, input: HeadObjectInput) -> S3Result<HeadObjectOutput> {
        let (_, _, output) = read!(self.store, input, HeadObjectOutput);
        Ok(output)
    }

    pub(super) fn delete_object(&self, input: DeleteObjectInput) -> S3Result<DeleteObjectOutput> {
        let condition = WriteCondition { if_match: input.if_match, if_none_match: None };
        self.store.delete(&input.bucket, &input.key, &condition)?;
        Ok(DeleteObjectOutput::default())
    }

    pub(super) fn delete_objects(&self, input: DeleteObjectsInput) -> S3Result<DeleteObjectsOutput> {
        self.store.read(&input.bucket, |_| ())?;
        limits::check_deleted(input.delete.objects.len())?;
        let quiet = input.delete.quiet.unwrap_or(false);
        let (mut deleted, mut errors) = (Vec::new(), Vec::new());
        for ObjectIdentifier { key, e_tag, .. } in input.delete.objects {
            let condition = WriteCondition { if_match: e_tag.map(ETagCondition::ETag), if_none_match: None };
            match self.store.delete(&input.bucket, &key, &condition) {
                Ok(()) if quiet => {}
                Ok(()) => deleted.push(DeletedObject { key: Some(key), ..Default::default() }),
                Err(error) => errors.push(Error {
                    code: Some(error.code().as_str().to_owned()),
                    message: error.message().map(str::to_owned),
                    key: Some(key),
                    version_id: None,
                }),
            }
        }
        Ok(DeleteObjectsOutput { deleted: Some(deleted), errors: Some(errors), ..Default::default() })
    }

    pub(super) fn put_object_tagging(&self, input: PutObjectTaggingInput) -> S3Result<PutObjectTaggingOutput> {
        let tags = input.tagging.tag_set.into_iter();
        let tags: Vec<_> = tags.map(|tag| (tag.key.unwrap_or_default(), tag.value.unwrap_or_default())).collect();
        limits::check_tags(&tags)?;
        self.store.tag(&input.bucket, &input.key, tags)?;
        Ok(PutObjectTaggingOutput::default())
    }

    pub(super) fn get_object_tagging(&self, input: GetObjectTaggingInput) -> S3Result<GetObjectTaggingOutput> {
        let object = self.store.object(&input.bucket, &input.key)?;
        let tags = object
            .properties
            .tags
            .iter()
            .map(|(key, value)| Tag { key: Some(key.clone()), value: Some(value.clone()) });
        Ok(GetObjectTaggingOutput { tag_set: tags.collect(), version_id: None })
    }

    pub(super) fn delete_object_tagging(&self, input: DeleteObjectTaggingInput) -> S3Result<DeleteObjectTaggingOutput> {
        self.store.tag(&input.bucket, &input.key, Vec::new())?;
        Ok(DeleteObjectTaggingOutput::default())
    }
}

/// The bytes of a requested range.
struct Part {
    bytes: Bytes,
    content_range: Option<String>,
}

fn part(object: &Arc<Object>, range: Option<Range>) -> S3Result<Part> {
    let Some(range) = range else {
        return Ok(Part { bytes: object.body.clone(), content_range: None });
    };
    let length = object.body.len() as u64;
    let ops::Range { start, end } = range.check(length)?;
    // Both are at most the length of a body in memory.
    let bytes = object.body.slice(start as usize..end as usize);
    Ok(Part { bytes, content_range: Some(format!("bytes {start}-{}/{length}", end.saturating_sub(1))) })
}

/// Returns the checksums of the response: only if the client requested them, and only for a whole
/// object.
fn checksums(object: &Object, mode: Option<&ChecksumMode>, range: Option<Range>) -> Checksums {
    let enabled = mode.is_some_and(|mode| mode.as_str() == ChecksumMode::ENABLED);
    match enabled && range.is_none() {
        true => object.properties.checksums.clone(),
        false => Checksums::default(),
    }
}

fn full_object(sums: &Checksums) -> Option<ChecksumType> {
    (*sums != Checksums::default()).then(|| ChecksumType::from_static(ChecksumType::FULL_OBJECT))
}

fn content_type(object: &Object) -> Option<String> {
    let given = object.properties.headers.content_type.clone();
    given.or_else(|| Some("binary/octet-stream".to_owned()))
}

fn metadata(object: &Object) -> Option<s3s::dto::Metadata> {
    let metadata = &object.properties.metadata;
    (!metadata.is_empty()).then(|| metadata.clone().into_iter().collect())
}

fn tag_count(object: &Object) -> Option<i32> {
    let count = i32::try_from(object.properties.tags.len()).ok();
    count.filter(|count| *count > 0)
}
