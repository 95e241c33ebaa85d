//! Limits of S3 on requests.

use std::collections::{BTreeMap, BTreeSet};

use s3s::{S3Error, S3ErrorCode, S3Result, s3_error};

/// The maximum number of keys in one DeleteObjects.
const MAX_DELETED_KEYS: usize = 1_000;
/// The maximum number of tags of an object.
const MAX_TAGS: usize = 10;
/// The maximum number of characters in the key and in the value of a tag.
const MAX_TAG_CHARS: (usize, usize) = (128, 256);
/// The maximum number of bytes in the names and values of user metadata.
const MAX_METADATA_BYTES: usize = 2 * 1024;

/// Checks the number of keys in one DeleteObjects.
pub(super) fn check_deleted(keys: usize) -> S3Result<()> {
    match (1..=MAX_DELETED_KEYS).contains(&keys) {
        true => Ok(()),
        false => Err(s3_error!(
            MalformedXML,
            "The XML you provided was not well-formed or did not validate against our published schema: it has {keys} \
             keys; 1 to {MAX_DELETED_KEYS} are allowed."
        )),
    }
}

/// Checks a parameter that limits the length of a page.
pub(super) fn check_page(parameter: &str, value: Option<i32>, min: i32) -> S3Result<()> {
    match value.is_none_or(|value| value >= min) {
        true => Ok(()),
        false => {
            Err(s3_error!(InvalidArgument, "Argument {parameter} must be an integer between {min} and {}", i32::MAX))
        }
    }
}

/// Checks the tags of an object.
pub(super) fn check_tags(tags: &[(String, String)]) -> S3Result<()> {
    if tags.len() > MAX_TAGS {
        let code = S3ErrorCode::Custom("BadRequest".into());
        let mut error = S3Error::with_message(code, format!("Object tags cannot be greater than {MAX_TAGS}"));
        error.set_status_code(http::StatusCode::BAD_REQUEST);
        return Err(error);
    }
    let mut keys = BTreeSet::new();
    for (key, value) in tags {
        if key.is_empty() || key.chars().count() > MAX_TAG_CHARS.0 {
            return Err(s3_error!(InvalidTag, "The TagKey you have provided is invalid"));
        }
        if value.chars().count() > MAX_TAG_CHARS.1 {
            return Err(s3_error!(InvalidTag, "The TagValue you have provided is invalid"));
        }
        if !keys.insert(key) {
            return Err(s3_error!(InvalidTag, "Cannot provide multiple Tags with the same key"));
        }
    }
    Ok(())
}

/// Checks the user metadata of an object.
pub(super) fn check_metadata(metadata: &BTreeMap<String, String>) -> S3Result<()> {
    let size: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    match size <= MAX_METADATA_BYTES {
        true => Ok(()),
        false => Err(s3_error!(MetadataTooLarge, "Your metadata headers exceed the maximum allowed metadata size")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_and_metadata_that_aws_rejects_are_rejected() {
        let tag = |key: &str, value: &str| (key.to_owned(), value.to_owned());
        let tags = |count: usize| (0..count).map(|number| tag(&number.to_string(), "v")).collect::<Vec<_>>();
        assert!(check_tags(&tags(10)).is_ok() && check_tags(&tags(11)).is_err());
        let long = "x".repeat(257);
        for refused in [vec![tag("", "v")], vec![tag(&long[..129], "v")], vec![tag("k", &long)], vec![tag("k", "1"); 2]]
        {
            assert!(check_tags(&refused).is_err(), "{refused:?}");
        }
        let metadata = |bytes: usize| BTreeMap::from([("key".to_owned(), "x".repeat(bytes - 3))]);
        assert!(check_metadata(&metadata(2_048)).is_ok() && check_metadata(&metadata(2_049)).is_err());
    }
}
