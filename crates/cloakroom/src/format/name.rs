//! The names of partitions, messages and claims. Each kind of name has its own type, so that a
//! claim cannot be used as a message id by mistake.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, PortError},
    format::derived_id::derived_id,
};

macro_rules! name {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(String);

        impl $name {
            /// Creates the name from the text, unchecked. [`Limits`](crate::ports::Limits) checks
            /// the limits of the store.
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// Returns the text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }

        impl From<String> for $name {
            fn from(text: String) -> Self {
                Self(text)
            }
        }
    };
}

name! {
    /// The key of a partition. A partition is one item collection, and the only unit of atomicity.
    Partition
}
name! {
    /// The id of a logical message. It is the same in every retry and every dispatch.
    MessageId
}
name! {
    /// The key of a payload. It is random, unique to one attempt, and never written twice.
    Claim
}

impl Claim {
    /// Creates a claim from 128 random bits, for a payload in the store with this name. It consists
    /// of 32 hexadecimal digits, a dot, and the name. It begins with the digits so that keys spread
    /// evenly.
    ///
    /// ```
    /// let claim = cloakroom::format::Claim::from_random(7, "orders-payloads");
    /// assert_eq!(claim.store(), Some("orders-payloads"));
    /// ```
    pub fn from_random(bits: u128, store: &str) -> Self {
        Self(format!("{bits:032x}.{store}"))
    }

    /// Returns the name of the store that has the payload. `None` if the claim does not contain it.
    pub fn store(&self) -> Option<&str> {
        self.0.split_once('.').map(|(_, store)| store)
    }

    /// Returns the digest that represents the claim in logs: 16 hexadecimal digits. The claim
    /// itself is not logged, because it gives access to the payload. The claim cannot be computed
    /// from the digest.
    ///
    /// ```
    /// let claim = cloakroom::format::Claim::from_random(7, "orders-payloads");
    /// assert_eq!(claim.digest(), "0f62ebf649d750ba");
    /// ```
    pub fn digest(&self) -> String {
        let digest = derived_id(&["claim", &self.0]).as_u128() >> 64;
        format!("{digest:016x}")
    }

    /// Returns whether the text can be a claim: 1 to 128 letters, digits, `-`, `_`, `.` and `:`. No
    /// other key of Cloakroom has this form.
    pub fn is_well_formed(&self) -> bool {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        (1..=128).contains(&self.0.len()) && self.0.chars().all(fits)
    }
}

/// Returns the first 100 bytes of a key, for error texts. An attacker can send very long keys,
/// which must not make errors long.
pub(crate) fn shortened(key: &str) -> &str {
    let end = key.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= 100).last();
    &key[..end.unwrap_or(0)]
}

/// Returns an error if an endpoint cannot have this name.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > 64 || name.contains(['#', '/']) {
        return Err(Error::misconfigured(format!(
            "endpoint name `{name}` must have 1 to 64 bytes, without `#` and `/`: it is part of keys"
        )));
    }
    Ok(())
}

// This is not in module `error`, because `error` must not import claims.
impl PortError {
    /// Allows logs to contain the text of the error, with the claim's digest instead of the claim.
    /// Call it last, because it copies the current text of the error.
    ///
    /// ```
    /// use cloakroom::{PortError, format::Claim};
    ///
    /// let claim = Claim::from_random(7, "coats");
    /// let error = PortError::new(format!("finding payload `{claim}`"), "no such store").without_effect();
    /// let logged = error.public_without(&claim).loggable();
    /// assert!(logged.contains(&claim.digest()) && !logged.contains(claim.as_str()));
    /// ```
    #[must_use]
    pub fn public_without(self, claim: &Claim) -> Self {
        let text = self.to_string().replace(claim.as_str(), &format!("digest {}", claim.digest()));
        self.in_logs(text)
    }
}
