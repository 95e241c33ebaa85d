//! The place where payloads are stored.

use serde::{Deserialize, Serialize};

/// Where payloads are stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PayloadPlace {
    /// As objects on S3.
    #[default]
    Objects,
    /// As items of a DynamoDB table of their own.
    Items,
}
