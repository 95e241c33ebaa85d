//! The one pair of keys that is accepted.

/// What clients sign their requests with.
#[derive(Debug, Clone)]
pub(crate) struct Credentials {
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
}

impl Default for Credentials {
    fn default() -> Self {
        Self { access_key_id: "AKIDTEST".into(), secret_access_key: "SECRETTEST".into() }
    }
}
