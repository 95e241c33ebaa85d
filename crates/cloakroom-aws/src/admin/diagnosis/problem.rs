//! Every problem that a diagnosis can report.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Severity {
    /// Nothing works, or messages can be lost or processed twice.
    Error,
    /// Everything works now, but will fail or cost more later. Fix it before that.
    Warning,
    /// Information for the operator. Usually nothing needs to be done.
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
        /// The problem that a [`Finding`](super::Finding) is about. Its id, such as
        /// `table-missing`, never changes its meaning.
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
            /// Every problem.
            pub const ALL: &[Self] = &[$(Self::$name),*];

            /// Returns the severity of the problem.
            pub const fn severity(self) -> Severity {
                match self { $(Self::$name => Severity::$severity,)* }
            }

            /// Returns the stable id of the problem, such as `table-missing`.
            pub const fn id(self) -> &'static str {
                match self { $(Self::$name => $id,)* }
            }
        }
    };
}

problems! {
    /// There are no credentials, or AWS does not accept them.
    Error Credentials "credentials"
    /// A permission is missing that every endpoint needs.
    Error PermissionMissing "permission-missing"
    /// The service did not answer.
    Error Unreachable "unreachable"
    /// A client of the SDK has no timeout, so it may wait forever for an answer.
    Warning ClientTimeouts "client-timeouts"
    /// The clock is more than 5 minutes wrong. AWS refuses signatures with such times, and expiry
    /// times may be wrong.
    Error ClockSkew "clock-skew"
    /// The clock is more than a minute wrong.
    Warning ClockDrift "clock-drift"
    /// A permission of the diagnosis itself is missing, so it could not check something.
    Warning LookDenied "look-denied"
    /// The diagnosis could not check something for another reason.
    Warning LookFailed "look-failed"
    /// The service throttles requests of the account.
    Warning Throttled "throttled"
    /// The service does not know an operation. It is probably an emulator and not AWS.
    Note NotOffered "not-offered"
    /// Permissions that cannot be proved without sending or receiving messages.
    Note NotTried "not-tried"

    /// There is no such table in this region.
    Error TableMissing "table-missing"
    /// The table cannot be used now.
    Error TableInactive "table-inactive"
    /// The table does not have the keys that Cloakroom needs.
    Error TableKeys "table-keys"
    /// Items expire by an attribute that is not Cloakroom's.
    Error TableExpiryForeign "table-expiry-foreign"
    /// The table has items under Cloakroom's keys that this version cannot read. Another program or
    /// another version of Cloakroom wrote them.
    Error TableLayout "table-layout"
    /// Time to live is off, so tombstones never expire.
    Warning TableExpiryOff "table-expiry-off"
    /// Point-in-time recovery is off, so the table cannot be restored to an earlier second.
    Warning TableRecoveryOff "table-recovery-off"
    /// Deletion protection is off, so one call can delete the table.
    Warning TableUnprotected "table-unprotected"
    /// Old records were found that no worker finishes. The messages that were committed with them
    /// were never sent. Only a scan of the whole table finds these records.
    Error RecordsStranded "records-stranded"
    /// The table has provisioned capacity.
    Note TableProvisioned "table-provisioned"

    /// There is no such bucket.
    Error BucketMissing "bucket-missing"
    /// The bucket is in another region.
    Error BucketElsewhere "bucket-elsewhere"
    /// Versioning is on, so deleted payloads remain as versions behind delete markers.
    Error BucketVersioned "bucket-versioned"
    /// Versioning is suspended, so deleted payloads leave delete markers.
    Warning BucketOnceVersioned "bucket-once-versioned"
    /// The bucket holds objects of another application, which expire too.
    Error BucketShared "bucket-shared"
    /// Public access is not blocked.
    Warning BucketPublic "bucket-public"
    /// Payloads expire before their messages. Those messages are lost.
    Error LifecycleShort "lifecycle-short"
    /// A lifecycle rule moves payloads to a storage class from which they cannot be read.
    Error LifecycleArchives "lifecycle-archives"
    /// No lifecycle rule lets objects expire: payloads of failed attempts and dedupe entries stay
    /// forever.
    Warning LifecycleMissing "lifecycle-missing"
    /// Payloads are encrypted with a KMS key.
    Note BucketKms "bucket-kms"
    /// The bucket accepts requests without TLS.
    Note BucketPlainHttp "bucket-plain-http"

    /// There is no such queue.
    Error QueueMissing "queue-missing"
    /// The dead-letter queue of a queue does not exist.
    Error DeadLetterQueueMissing "dead-letter-queue-missing"
    /// SQS never moves a message to a dead-letter queue, but deletes it when its retention ends.
    Error RedriveMissing "redrive-missing"
    /// SQS moves messages to a dead-letter queue that is not the one of Cloakroom.
    Warning RedriveElsewhere "redrive-elsewhere"
    /// The dead-letter queue does not accept messages from its queue.
    Warning RedriveRefused "redrive-refused"
    /// SQS moves a message before a worker parks it with a reason, or before a worker replaces it
    /// by a copy.
    Warning ReceivesLow "receives-low"
    /// The dead-letter queue deletes messages sooner than the queue does.
    Error DeadLetterRetentionShort "dead-letter-retention-short"
    /// The function may run longer than the visibility timeout of its messages.
    Error VisibilityShort "visibility-short"
    /// The visibility timeout is below six times the timeout of the function, so messages reappear
    /// while Lambda retries.
    Warning VisibilityTight "visibility-tight"
    /// An attempt may take longer than the longest visibility timeout that SQS allows.
    Warning AttemptLong "attempt-long"
    /// The queue accepts only smaller messages than endpoints may send.
    Warning MessageSize "message-size"
    /// The dead-letter queue has messages.
    Warning DeadLetters "dead-letters"
    /// The queue delays every message.
    Note QueueDelays "queue-delays"
    /// The queue's messages are not encrypted at rest.
    Note QueuePlain "queue-plain"
    /// The queue's messages are encrypted with a KMS key.
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

/// The error for a text that is not the id of a [`Problem`].
#[derive(Clone, PartialEq, Eq)]
pub struct UnknownProblem(String);

impl fmt::Display for UnknownProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = Problem::ALL.iter().map(|problem| problem.id()).collect();
        write!(f, "`{}` is not the id of a finding; the ids are: {}", self.0, ids.join(", "))
    }
}

cloakroom::debug_is_display!(UnknownProblem);

impl std::error::Error for UnknownProblem {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problem_ids_are_unique_and_can_be_parsed() {
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
