//! Conditions of requests: If-Match, If-None-Match and their kin.

use s3s::dto::{ETag, ETagCondition, Timestamp};
use s3s::{S3Error, S3Result, s3_error};

use super::object::Object;

/// What a writer requires of the object that is there.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct WriteCondition {
    pub(super) if_match: Option<ETagCondition>,
    pub(super) if_none_match: Option<ETagCondition>,
}

impl WriteCondition {
    /// Only where nothing is yet.
    #[cfg(test)]
    pub(super) fn absent() -> Self {
        Self { if_none_match: Some(ETagCondition::Any), ..Self::default() }
    }

    /// Whether an object may be put in place of `existing`.
    pub(super) fn check_put(&self, existing: Option<&Object>) -> S3Result<()> {
        match (&self.if_none_match, existing) {
            (Some(ETagCondition::ETag(_)), _) => {
                return Err(s3_error!(NotImplemented, "If-None-Match on a PUT takes only the value *, on S3 too."));
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

    /// Whether `existing` may be deleted. What is not there may always be.
    pub(super) fn check_delete(&self, existing: Option<&Object>) -> S3Result<()> {
        match (&self.if_match, existing) {
            (Some(condition), Some(object)) if !matches(condition, object) => Err(failed("If-Match")),
            _ => Ok(()),
        }
    }
}

/// What a reader requires.
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
        // An ETag decides over a date.
        let as_required = match (&self.if_match, &self.if_unmodified_since) {
            (Some(condition), _) => matches(condition, object),
            (None, Some(since)) => modified <= *since,
            (None, None) => true,
        };
        if !as_required {
            return Err(failed("If-Match"));
        }
        let known = match (&self.if_none_match, &self.if_modified_since) {
            (Some(condition), _) => matches(condition, object),
            (None, Some(since)) => modified <= *since,
            (None, None) => false,
        };
        match known {
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
    etag.value() == object.about.etag
}

fn failed(header: &str) -> S3Error {
    s3_error!(PreconditionFailed, "At least one of the pre-conditions you specified did not hold: {header}")
}
