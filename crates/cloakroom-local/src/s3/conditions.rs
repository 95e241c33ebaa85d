//! Conditions of requests: If-Match, If-None-Match, If-Modified-Since and If-Unmodified-Since.

use s3s::dto::{ETag, ETagCondition, Timestamp};
use s3s::{S3Error, S3Result, s3_error};

use crate::s3::object::Object;

/// The condition of a write on the existing object.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct WriteCondition {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
}

impl WriteCondition {
    /// The condition that no object exists.
    #[cfg(test)]
    pub(super) fn absent() -> Self {
        Self { if_none_match: Some(ETagCondition::Any), ..Self::default() }
    }

    /// Checks that an object may replace `existing`.
    pub(super) fn check_put(&self, existing: Option<&Object>) -> S3Result<()> {
        match (&self.if_none_match, existing) {
            (Some(ETagCondition::ETag(_)), _) => {
                return Err(s3_error!(NotImplemented, "If-None-Match on a PUT supports only the value *, as in S3."));
            }
            (Some(ETagCondition::Any), Some(_)) => return Err(failed("If-None-Match")),
            (Some(ETagCondition::Any) | None, _) => {}
        }
        match (&self.if_match, existing) {
            (Some(_), None) => Err(s3_error!(NoSuchKey, "The specified key does not exist.")),
            (Some(condition), Some(object)) if !matches(condition, object) => Err(failed("If-Match")),
            _ => Ok(()),
        }
    }

    /// Checks that `existing` may be deleted. Deleting a missing object is always allowed.
    pub(super) fn check_delete(&self, existing: Option<&Object>) -> S3Result<()> {
        match (&self.if_match, existing) {
            (Some(condition), Some(object)) if !matches(condition, object) => Err(failed("If-Match")),
            _ => Ok(()),
        }
    }
}

/// The condition of a read.
#[derive(Debug, Default)]
pub(super) struct ReadCondition {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
    pub(super) if_modified_since: Option<Timestamp>,
    pub(super) if_unmodified_since: Option<Timestamp>,
}

impl ReadCondition {
    pub(super) fn check(&self, object: &Object) -> S3Result<()> {
        let modified = object.last_modified();
        // A condition on the ETag takes precedence over one on the date.
        let is_satisfied = match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) => matches(condition, object),
            (None, Some(since)) => modified <= *since,
            (None, None) => true,
        };
        if !is_satisfied {
            return Err(failed("If-Match"));
        }
        let is_unmodified = match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) => matches(condition, object),
            (None, Some(since)) => modified <= *since,
            (None, None) => false,
        };
        match is_unmodified {
            true => Err(s3_error!(NotModified)),
            false => Ok(()),
        }
    }
}

fn matches(condition: &ETagCondition, object: &Object) -> bool {
    match condition {
        ETagCondition::Any => true,
        ETagCondition::ETag(etag) => is_etag_of(etag, object),
    }
}

fn is_etag_of(etag: &ETag, object: &Object) -> bool {
    etag.value() == object.properties.etag
}

fn failed(header: &str) -> S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold: {header}")
}
