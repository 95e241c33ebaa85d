//! An object: its body and its properties.

use std::collections::BTreeMap;

use bytes::Bytes;
use md5::{Digest as _, Md5};
use s3s::dto::{ETag, Timestamp};
use serde::{Deserialize, Serialize};

use crate::clock::Millis;
use crate::s3::checksums::Checksums;

/// An object. It is immutable: a put replaces it.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) properties: Properties,
    pub(super) body: Bytes,
}

/// The properties of an object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Properties {
    /// The MD5 of the body in hexadecimal, without quotes.
    pub(super) etag: String,
    pub(super) modified_at: Millis,
    pub(super) headers: Headers,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) checksums: Checksums,
    pub(super) tags: Vec<(String, String)>,
}

/// Standard headers that are returned as they were received.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Headers {
    pub(super) content_type: Option<String>,
    pub(super) content_encoding: Option<String>,
    pub(super) content_language: Option<String>,
    pub(super) content_disposition: Option<String>,
    pub(super) cache_control: Option<String>,
}

impl Object {
    pub(super) fn etag(&self) -> ETag {
        ETag::Strong(self.properties.etag.clone())
    }

    pub(super) fn size(&self) -> i64 {
        i64::try_from(self.body.len()).unwrap_or(i64::MAX)
    }

    pub(super) fn last_modified(&self) -> Timestamp {
        timestamp(self.properties.modified_at)
    }
}

/// Returns a time in the format of S3's responses.
pub(super) fn timestamp(millis: Millis) -> Timestamp {
    (std::time::UNIX_EPOCH + std::time::Duration::from_millis(millis)).into()
}

/// Returns the ETag of a body: its MD5 in hexadecimal.
pub(super) fn etag(body: &[u8]) -> String {
    let digest = Md5::digest(body);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
