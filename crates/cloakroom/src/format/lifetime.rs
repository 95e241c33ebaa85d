//! How long payloads are certain to live. A message that is older may have lost its payload, or those of what it sends, and a receiver takes
//! a message without its payload for one that was processed. So whatever resumes, finishes or puts back an old message asks here
//! first.

use std::time::Duration;

use crate::format::{envelope::Envelope, record::Record, timestamp::Timestamp};

/// Milliseconds of an hour.
pub(crate) const HOUR_MS: u64 = 60 * 60 * 1000;
/// Milliseconds of a day.
pub(crate) const DAY_MS: u64 = 24 * HOUR_MS;
/// The default of every `payload_ttl_ms`: 28 days. The bucket's lifecycle is longer by what a message can live.
pub(crate) const PAYLOAD_TTL_MS: u64 = 28 * DAY_MS;

/// Whether the payloads of the messages that a record sends were checked in so long ago that some may be gone. A record that does
/// not say when counts as young.
pub(crate) fn record_is_outlived(record: &Record, now: Timestamp, payload_ttl: Duration) -> bool {
    let sends_claims = record.messages.iter().any(|message| message.envelope.dataref.is_some());
    sends_claims && record.age_of_payloads(now).is_some_and(|age| age > payload_ttl)
}

/// Whether a message was made so long ago that its payload may be gone. A message that does not say when counts as young.
pub(crate) fn message_is_outlived(envelope: &Envelope, now: Timestamp, payload_ttl: Duration) -> bool {
    let made = envelope.time.as_deref().and_then(Timestamp::parse);
    envelope.dataref.is_some() && made.is_some_and(|made| now.since(made) > payload_ttl)
}

/// Whether a message is too old to be sent again to the queue that it came from: half the life of payloads is over.
///
/// The other half is for the copy. It may wait in the queue and the dead-letter queue as long as any message, be committed then,
/// and be finished only later; until then its own payload tells that it is not settled.
pub(crate) fn message_is_old(envelope: &Envelope, now: Timestamp, payload_ttl: Duration) -> bool {
    message_is_outlived(envelope, now, payload_ttl / 2)
}
