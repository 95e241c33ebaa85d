//! The port of payloads on S3, and the listing of a bucket for operators.
//!
//! A payload is written at most once under its claim. The engine decides when a payload is deleted,
//! and not this module.

pub(crate) mod address;
pub(crate) mod listing;
pub(crate) mod payloads;
