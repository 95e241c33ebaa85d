//! HTTP on loopback: listening, and the steps that all services share.

mod abandoned;
pub(crate) mod endpoint;
pub(crate) mod listener;
pub(crate) mod silence;
