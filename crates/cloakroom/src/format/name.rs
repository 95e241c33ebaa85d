//! The names of things: partitions, messages, claims, versions. Each is a type of its own, so that a
//! claim is never taken for a message id.

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
            /// Takes the text as it is; what a store accepts is checked by [`Limits`](crate::ports::Limits).
            pub fn new(text: impl Into<String>) -> Self {
                Self(text.into())
            }

            /// The text.
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
    /// A partition: the key of one item collection, the only unit of atomicity.
    Partition
}
name! {
    /// The identity of a logical message. It stays the same through every retry and every dispatch.
    MessageId
}
name! {
    /// The key of a payload: random, unique to one attempt, never written twice.
    Claim
}

impl Claim {
    /// The claim that 128 random bits make, on a payload in the store of this name: 32 hexadecimal digits, so that
    /// keys spread evenly, a dot, and the name.
    ///
    /// ```
    /// let claim = cloakroom::format::Claim::from_random(7, "orders-payloads");
    /// assert_eq!(claim.store(), Some("orders-payloads"));
    /// ```
    pub fn from_random(bits: u128, store: &str) -> Self {
        Self(format!("{bits:032x}.{store}"))
    }

    /// The name of the store that has the payload, if the claim tells.
    pub fn store(&self) -> Option<&str> {
        self.0.split_once('.').map(|(_, store)| store)
    }

    /// What names the claim in logs: 16 hexadecimal digits that follow from it. A claim is all that it takes to collect a payload, and
    /// is not logged; the digest does not lead back to it.
    ///
    /// ```
    /// let claim = cloakroom::format::Claim::from_random(7, "orders-payloads");
    /// assert_eq!(claim.digest(), "0f62ebf649d750ba");
    /// ```
    pub fn digest(&self) -> String {
        let digest = derived_id(&["claim", &self.0]).as_u128() >> 64;
        format!("{digest:016x}")
    }

    /// Whether this can be a claim: 1 to 128 letters, digits, `-`, `_`, `.` and `:`. No key of anything else is.
    pub fn is_well_formed(&self) -> bool {
        let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
        (1..=128).contains(&self.0.len()) && self.0.chars().all(fits)
    }
}

/// Keys may be as long as what an attacker sends; errors are not.
pub(crate) fn shortened(key: &str) -> &str {
    let end = key.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= 100).last();
    &key[..end.unwrap_or(0)]
}

/// Checks the name of an endpoint.
pub(crate) fn check_name(name: &str) -> Result<(), Error> {
    if name.is_empty() || name.len() > 64 || name.contains(['#', '/']) {
        return Err(Error::misconfigured(format!(
            "endpoint name `{name}` must have 1 to 64 bytes, without `#` and `/`: it is part of keys"
        )));
    }
    Ok(())
}

// Here and not beside the rest, because errors know no claims.
impl PortError {
    /// Its text may be logged with the claim's digest in place of the claim. Call it last: it takes the text as it is by then.
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
