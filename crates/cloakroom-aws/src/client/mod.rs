//! How requests are made and what their failures mean: HTTP client, credentials, timeouts, retries
//! and consumption.
//!
//! This module knows the AWS SDK and none of the tables, buckets or queues. It is the only place
//! that turns an error of the SDK into a [`PortError`](cloakroom::PortError).

pub(crate) mod consumption;
pub(crate) mod credentials;
pub(crate) mod failure;
pub(crate) mod http;
pub(crate) mod timeouts;
pub(crate) mod unretried;
