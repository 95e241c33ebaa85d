//! Everything that a diagnosis can find.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Nothing works, or messages can be lost or processed twice.
    Error,
    /// It works, and will hurt: mend it before it does.
    Warning,
    /// Good to know.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// Declares the problems, each with its severity and its stable id.
macro_rules! problems {
    ($($(#[$doc:meta])* $severity:ident $name:ident $id:literal)*) => {
        /// What a [`Finding`](super::Finding) is about. Its text, such as `table-missing`, never changes its meaning.
        ///
        /// ```
        /// use cloakroom_aws::{Problem, Severity};
        ///
        /// let problem: Problem = "lifecycle-short".parse()?;
        /// assert_eq!((problem, problem.severity()), (Problem::LifecycleShort, Severity::Error));
        /// # Ok::<(), cloakroom_aws::UnknownProblem>(())
        /// ```
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum Problem {
            $($(#[$doc])* #[serde(rename = $id)] $name,)*
        }

        impl Problem {
            /// All that there are.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// How bad it is.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// Its text.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }
        }
    };
}

problems! {
    /// There are no credentials, or AWS does not take them.
    Error Credentials "credentials"
    /// An endpoint must not do what it has to.
    Error PermissionMissing "permission-missing"
    /// The service gave no answer.
    Error Unreachable "unreachable"
    /// A client of the SDK may wait forever for an answer.
    Warning ClientTimeouts "client-timeouts"
    /// The clock is so wrong that AWS refuses signatures by it, and that expiries may be wrong.
    Error ClockSkew "clock-skew"
    /// The clock is more than a minute wrong.
    Warning ClockDrift "clock-drift"
    /// The diagnosis must not look at something, of which nothing is known then.
    Warning LookDenied "look-denied"
    /// Something could not be looked at for another reason.
    Warning LookFailed "look-failed"
    /// The account is throttled.
    Warning Throttled "throttled"
    /// The service does not know an operation: it is not AWS's own.
    Note NotOffered "not-offered"
    /// Permissions that cannot be proved without sending or taking messages.
    Note NotTried "not-tried"

    /// There is no such table in this region.
    Error TableMissing "table-missing"
    /// The table cannot be used now.
    Error TableInactive "table-inactive"
    /// The table has other keys.
    Error TableKeys "table-keys"
    /// Items expire by an attribute of somebody else's.
    Error TableExpiryForeign "table-expiry-foreign"
    /// Items were written by something else, or by a version of Cloakroom that this one does not know.
    Error TableLayout "table-layout"
    /// Tombstones never expire.
    Warning TableExpiryOff "table-expiry-off"
    /// The table cannot be restored to an earlier second.
    Warning TableRecoveryOff "table-recovery-off"
    /// The table can be deleted by one call.
    Warning TableUnprotected "table-unprotected"
    /// Records wait that nobody works on: what was committed with them was never sent. Only who reads the whole table finds them.
    Error RecordsStranded "records-stranded"
    /// The table has a fixed capacity.
    Note TableProvisioned "table-provisioned"

    /// There is no such bucket.
    Error BucketMissing "bucket-missing"
    /// The bucket is in another region.
    Error BucketElsewhere "bucket-elsewhere"
    /// Deleted payloads leave versions and markers behind.
    Error BucketVersioned "bucket-versioned"
    /// The bucket was versioned: deleted payloads leave markers behind.
    Warning BucketOnceVersioned "bucket-once-versioned"
    /// The bucket holds objects of others, which expire.
    Error BucketShared "bucket-shared"
    /// Public access is not blocked.
    Warning BucketPublic "bucket-public"
    /// Payloads expire before their messages do, which loses these.
    Error LifecycleShort "lifecycle-short"
    /// Payloads move where they cannot be read.
    Error LifecycleArchives "lifecycle-archives"
    /// Nothing expires: the payloads of attempts that died and the entries stay for ever.
    Warning LifecycleMissing "lifecycle-missing"
    /// Payloads are encrypted with a key of KMS.
    Note BucketKms "bucket-kms"
    /// The bucket takes requests that are not encrypted on their way.
    Note BucketPlainHttp "bucket-plain-http"

    /// There is no such queue.
    Error QueueMissing "queue-missing"
    /// The dead-letter queue that belongs to a queue is not there.
    Error DeadLetterQueueMissing "dead-letter-queue-missing"
    /// SQS never moves a message to a dead-letter queue, but deletes it when it is too old.
    Error RedriveMissing "redrive-missing"
    /// SQS moves messages to another dead-letter queue than Cloakroom does.
    Warning RedriveElsewhere "redrive-elsewhere"
    /// The dead-letter queue does not take messages from its queue.
    Warning RedriveRefused "redrive-refused"
    /// SQS moves messages before a worker parks them with a reason, or replaces them by a copy.
    Warning ReceivesLow "receives-low"
    /// Dead letters are deleted sooner than messages of the queue are.
    Error DeadLetterRetentionShort "dead-letter-retention-short"
    /// The function may run longer than its messages are kept from others.
    Error VisibilityShort "visibility-short"
    /// Messages come again while the function is retried.
    Warning VisibilityTight "visibility-tight"
    /// A handler may outlive the longest lease.
    Warning AttemptLong "attempt-long"
    /// The queue takes smaller messages than endpoints may send.
    Warning MessageSize "message-size"
    /// The dead-letter queue has messages in it.
    Warning DeadLetters "dead-letters"
    /// The queue delays every message.
    Note QueueDelays "queue-delays"
    /// The queue's messages are not encrypted at rest.
    Note QueuePlain "queue-plain"
    /// The queue's messages are encrypted with a key of KMS.
    Note QueueKms "queue-kms"
    /// The FIFO queue is not set to high throughput.
    Note FifoSlow "fifo-slow"
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id())
    }
}

impl FromStr for Problem {
    type Err = UnknownProblem;

    fn from_str(id: &str) -> Result<Self, UnknownProblem> {
        let known = Self::ALL.iter().find(|problem| problem.id() == id);
        known.copied().ok_or_else(|| UnknownProblem(id.to_owned()))
    }
}

/// A text that is the id of no [`Problem`].
#[derive(Clone, PartialEq, Eq)]
pub struct UnknownProblem(String);

impl fmt::Display for UnknownProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = Problem::ALL.iter().map(|problem| problem.id()).collect();
        write!(f, "`{}` is nothing that a diagnosis can find; there are: {}", self.0, ids.join(", "))
    }
}

cloakroom::debug_is_display!(UnknownProblem);

impl std::error::Error for UnknownProblem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_and_survive_text() {
        let ids: std::collections::BTreeSet<_> = Problem::ALL.iter().map(|problem| problem.id()).collect();
        assert_eq!(ids.len(), Problem::ALL.len());
        for problem in Problem::ALL {
            let id = problem.id();
            assert_eq!(id.parse(), Ok(*problem));
            assert_eq!(serde_json::to_value(problem).unwrap(), id);
            assert!(id.chars().all(|c| c.is_ascii_lowercase() || c == '-'), "{id}");
        }
        assert!("table".parse::<Problem>().unwrap_err().to_string().contains("table-missing"));
    }
}
