//! The guaranteed lifetime of payloads. The payload of an older message may have expired, and so
//! may the payloads of the messages that it sends. A receiver considers a message with a missing
//! payload as processed. So every operation that resumes, finishes or redrives an old message calls
//! these functions first.

use std::time::Duration;

use crate::format::{envelope::Envelope, record::Record, timestamp::Timestamp};

/// The milliseconds of an hour.
pub(crate) const HOUR_MS: u64 = 60 * 60 * 1000;
/// The milliseconds of a day.
pub(crate) const DAY_MS: u64 = 24 * HOUR_MS;
/// The default of every `payload_ttl_ms`: 28 days. The expiration time of the bucket's lifecycle
/// rule is longer by the maximum lifetime of a message.
pub(crate) const PAYLOAD_TTL_MS: u64 = 28 * DAY_MS;

/// Returns whether some payloads of a record's outgoing messages may have expired. A record without
/// a time counts as young.
pub(crate) fn record_payloads_may_have_expired(record: &Record, now: Timestamp, payload_ttl: Duration) -> bool {
    let sends_claims = record.messages.iter().any(|message| message.envelope.dataref.is_some());
    sends_claims && record.age_of_payloads(now).is_some_and(|age| age > payload_ttl)
}

/// Returns whether the payload of a message may have expired. A message without a time counts as
/// young.
pub(crate) fn message_payload_may_have_expired(envelope: &Envelope, now: Timestamp, payload_ttl: Duration) -> bool {
    let created = envelope.time.as_deref().and_then(Timestamp::parse);
    envelope.dataref.is_some() && created.is_some_and(|created| now.since(created) > payload_ttl)
}

/// Returns whether a message is too old to be sent again to its own queue. It is if more than half
/// of the payload lifetime has passed.
///
/// The copy needs the other half. It may wait in the queue and in the dead-letter queue for the
/// full retention of each, then be committed, and be finished even later. Until then the payload
/// must exist, because it shows that the message is not settled.
pub(crate) fn message_is_too_old_to_send_again(envelope: &Envelope, now: Timestamp, payload_ttl: Duration) -> bool {
    message_payload_may_have_expired(envelope, now, payload_ttl / 2)
}
