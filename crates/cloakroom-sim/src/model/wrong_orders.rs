//! Wrong orders: each breaks the protocol in one place and looks right. The model finds the harm.
//!
//! Production code does not contain them. A wrong order changes either the order of steps, by a
//! detour around the step function, or how a step is performed.

macro_rules! wrong_orders {
    ($($(#[doc = $doc:literal])+ $name:ident,)+) => {
        /// A way to break the protocol.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum WrongOrder {
            $($(#[doc = $doc])+ $name,)+
        }

        impl WrongOrder {
            /// All wrong orders.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// What is broken, as a sentence.
            pub const fn description(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+),)+
                }
            }
        }
    };
}

wrong_orders! {
    /// The payload is read before the state.
    PayloadBeforeState,
    /// The payload, or the dedupe entry, is read after the state and before the record.
    PayloadBeforeRecord,
    /// A record is keyed by the message's id, although another message may have the same id under
    /// another claim.
    RecordKeyedById,
    /// Claims are derived from the message's id, and payloads are checked in after the commit.
    DerivedClaimsAfterCommit,
    /// Claims are derived from the message's id, and payloads are checked in before the commit.
    DerivedClaimsBeforeCommit,
    /// Claims are stored even if the record already has claims.
    ClaimsStoredTwice,
    /// The record is read before the state, or both in one query that is taken for a snapshot.
    RecordBeforeState,
    /// The record is not read. That there is none is only a condition of the commit.
    RecordNotRead,
    /// The record is cleared before the payload is deleted.
    ClearBeforeSettle,
    /// The payload is read first. If it is missing, the message is acknowledged.
    PayloadFirst,
    /// The record is read with eventual consistency.
    StaleRecord,
    /// The payload, or the dedupe entry, is read with eventual consistency.
    StalePayload,
    /// Messages are sent before the commit.
    DispatchBeforeCommit,
    /// The message is acknowledged before its outgoing messages are sent.
    AcknowledgeBeforeDispatch,
    /// The payload is deleted, or the dedupe entry is written, before the outgoing messages are
    /// sent.
    SettleBeforeDispatch,
    /// The dedupe entry is written before the outgoing messages are sent, and is read first.
    EntryFirst,
    /// A message without effect is settled and acknowledged without a commit.
    NoCommitWithoutEffect,
    /// The commit requires that there is no record, but not that the version is unchanged.
    NoVersionCondition,
    /// The commit requires that the version is unchanged, but not that there is no record. This one
    /// does no harm.
    NoRecordCondition,
    /// A deleted state leaves no version behind.
    TrueDelete,
    /// A message whose payload is missing is acknowledged without a second look at the record.
    NoSecondLook,
    /// The claims of a commit whose outcome is unknown are deleted.
    DeleteClaimsAfterUnknown,
    /// The claims of a lost commit are deleted.
    DeleteClaimsAfterLost,
    /// A sweep, which has not received the message, clears its record without settling the message.
    SweepWithoutSettling,
    /// After a lost commit only the state is read again, not the record and the payload. The
    /// message stays classified as before.
    KeepClassification,
    /// After a missing payload the record is read again, but the state with eventual consistency.
    StaleSecondLook,
    /// The commit of an embedded record leaves the version unchanged.
    EmbedWithoutVersion,
    /// Claims are stored in an embedded record, and the version stays unchanged.
    EditEmbedded,
    /// A commit drops the embedded records of other messages, whether they are settled or not.
    DropBlindly,
    /// A commit drops the embedded record of another message because an eventually consistent read
    /// did not find its payload.
    DropAfterStaleLook,
    /// A commit drops the embedded record of an id that was settled once and was used again after
    /// its entry expired.
    DropRemembered,
    /// A sweep drops the embedded record of a message that may still be delivered.
    DropDeliverable,
    /// An id is used again after its entry expired, and its old record is taken for the record of
    /// the new message.
    ResumeExpired,
    /// A sweep finishes the record of an id whose entry has expired, and so writes the entry again.
    SweepExpired,
    /// A worker that embeds its record takes an absent state for a proof that there is no separate
    /// record.
    TrustAbsentState,
    /// A deleted state leaves its version behind, but not its embedded records.
    TombstoneWithoutMap,
    /// A worker that finds no embedded record does not look for a separate one, although there are
    /// separate records.
    TrustIncomplete,
    /// A commit that writes its record as a separate item drops the embedded ones.
    SeparateWithoutMap,
    /// A deferred message is acknowledged before it is sent again.
    AcknowledgeBeforeDeferral,
    /// A deferred message is settled, as if it had been processed.
    SettleDeferred,
    /// A deferred message that carries only its id is sent again under another id.
    DeferAsAnotherMessage,
    /// All messages of a fold are acknowledged, because one of them is a duplicate.
    FoldAcknowledgesAll,
    /// All messages of a fold are committed, because one of them is new.
    FoldCommitsAll,
    /// The messages of a fold are not classified again after their commit was lost.
    FoldKeepsClassification,
    /// Two copies of one message are processed in one fold.
    FoldTwice,
    /// A group commits although a member left it after its handler ran.
    CommitWithoutAMember,
    /// A fold is committed in two writes: first the state as the last handler left it with the
    /// first record, then the other records.
    FoldInTwoPuts,
}
