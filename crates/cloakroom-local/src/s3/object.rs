//! An object: its bytes and what is known about them.

use std::collections::BTreeMap;

use bytes::Bytes;
use md5::{Digest as _, Md5};
use s3s::dto::{ETag, Timestamp};
use serde::{Deserialize, Serialize};

use super::checksums::Checksums;
use crate::clock::Millis;

/// An object as it was put. It never changes: a put replaces it.
#[derive(Debug, Clone)]
pub(super) struct Object {
    pub(super) about: About,
    pub(super) body: Bytes,
}

/// What is known about an object.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct About {
    /// The MD5 of the body in hexadecimal, without quotes.
    pub(super) etag: String,
    pub(super) modified_at: Millis,
    pub(super) headers: Headers,
    pub(super) metadata: BTreeMap<String, String>,
    pub(super) checksums: Checksums,
    pub(super) tags: Vec<(String, String)>,
}

/// Standard headers that are given back as they were received.
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
        ETag::Strong(self.about.etag.clone())
    }

    pub(super) fn size(&self) -> i64 {
        i64::try_from(self.body.len()).unwrap_or(i64::MAX)
    }

    pub(super) fn last_modified(&self) -> Timestamp {
        timestamp(self.about.modified_at)
    }
}

/// A time in the form that S3's answers take.
pub(super) fn timestamp(millis: Millis) -> Timestamp {
    (std::time::UNIX_EPOCH + std::time::Duration::from_millis(millis)).into()
}

/// The ETag of a body.
pub(super) fn etag(body: &[u8]) -> String {
    let digest = Md5::digest(body);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
