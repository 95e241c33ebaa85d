//! The only key pair that S3 accepts.

/// The key pair with which clients sign their requests.
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
