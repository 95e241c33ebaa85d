//! The port of payloads on S3, and what operators see of a bucket.
//!
//! A payload is written at most once under its claim. This module never decides when a payload is deleted: the engine does.

pub(crate) mod address;
pub(crate) mod listing;
pub(crate) mod payloads;
