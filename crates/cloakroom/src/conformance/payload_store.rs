//! Laws of [`PayloadStore`].

use bytes::Bytes;
use futures::future::join_all;

use crate::{
    conformance::law::{Law, ODD, laws},
    format::{
        derived_id::derived_id,
        name::{Claim, MessageId},
    },
    ports::payload_store::PayloadStore,
};

/// Runs all laws of [`PayloadStore`].
///
/// # Panics
/// A law is broken. The message has its name and the value that it found.
pub async fn payload_store(store: &dyn PayloadStore, scope: &str) {
    let subject = |law| Subject { law, store };
    laws!(scope, subject;
        a_payload_never_checked_in_is_missing,
        a_payload_is_read_as_it_was_checked_in,
        mebibyte_payload_is_read_unchanged_or_refused,
        reading_does_not_delete_the_payload,
        a_deleted_payload_is_missing,
        a_delete_can_be_repeated,
        claims_are_independent,
        payload_of_every_size_has_a_store,
        an_entry_is_absent_until_it_is_put,
        an_entry_can_be_put_again,
        entries_belong_to_one_endpoint,
        unusual_message_ids_are_distinct,
        long_message_ids_are_distinct,
    );
}

struct Subject<'a> {
    law: Law<'a>,
    store: &'a dyn PayloadStore,
}

impl Subject<'_> {
    /// Returns the claim with this number, unique to this law, in the usual format.
    fn claim(&self, number: usize) -> Claim {
        self.claim_in(self.store.name(), number)
    }

    fn claim_in(&self, store: &str, number: usize) -> Claim {
        Claim::from_random(derived_id(&[&self.law.key(number)]).as_u128(), store)
    }

    fn message(&self, suffix: &str) -> MessageId {
        MessageId::new(self.law.key(suffix))
    }

    async fn check_in(&self, claim: &Claim, payload: &Bytes) {
        self.law.ok("checking a payload in", self.store.check_in(claim, payload.clone()).await);
    }

    async fn read(&self, claim: &Claim) -> Option<Bytes> {
        self.law.ok("reading a payload", self.store.read(claim).await)
    }

    async fn must_read(&self, claim: &Claim, payload: Option<&Bytes>) {
        self.law.same("the payload", &self.read(claim).await.as_ref(), &payload);
    }

    async fn delete(&self, claim: &Claim) {
        self.law.ok("deleting a payload", self.store.delete(claim).await);
    }

    async fn put_entry(&self, endpoint: &str, message: &MessageId) {
        self.law.ok("putting an entry", self.store.put_entry(endpoint, message).await);
    }

    async fn must_have_entry(&self, endpoint: &str, message: &MessageId, expected: bool) {
        let seen = self.law.ok("looking for an entry", self.store.has_entry(endpoint, message).await);
        self.law.same(&format!("whether `{message}` of `{endpoint}` has an entry"), &seen, &expected);
    }
}

/// Reading a claim that was never written returns a missing payload, not an error.
async fn a_payload_never_checked_in_is_missing(s: &Subject<'_>) {
    s.must_read(&s.claim(0), None).await;
}

/// A payload is read byte for byte, also if it is empty or is not text.
async fn a_payload_is_read_as_it_was_checked_in(s: &Subject<'_>) {
    let all_bytes: Vec<u8> = (0..=u8::MAX).collect();
    let payloads = [Bytes::new(), Bytes::from_static(b"{\"a\": 1}\r\n"), Bytes::from(all_bytes), Bytes::from("ä€😀")];
    for (number, payload) in payloads.iter().enumerate() {
        s.check_in(&s.claim(number), payload).await;
        s.must_read(&s.claim(number), Some(payload)).await;
    }
}

/// This also holds for a payload with the maximum size of a queue message, unless the store refuses
/// it. A refusal is permanent.
async fn mebibyte_payload_is_read_unchanged_or_refused(s: &Subject<'_>) {
    let payload = noise(1024 * 1024);
    let claim = s.claim_in(s.store.place(payload.len()), 0);
    let refused = s.store.check_in(&claim, payload.clone()).await.err();
    if let Some(error) = &refused {
        s.law.check("the refusal must have no effect", !error.may_have_happened(), error);
        s.law.check("the refusal must be permanent", !error.may_be_repeated(), error);
    }
    s.must_read(&claim, Some(&payload).filter(|_| refused.is_none())).await;
    s.delete(&claim).await;
}

/// A payload is written to the store that its size selects, and it is read and deleted there.
async fn payload_of_every_size_has_a_store(s: &Subject<'_>) {
    let must_be_held = |store: &str| {
        s.law.check(&format!("`{store}` must be among the stores"), s.store.holds(store), &s.store.stores())
    };
    must_be_held(s.store.name());
    for (number, bytes) in [1, 1_000, 4_072, 4_073, 65_536].into_iter().enumerate() {
        let (place, payload) = (s.store.place(bytes), noise(bytes));
        must_be_held(place);
        let claim = s.claim_in(place, number);
        s.check_in(&claim, &payload).await;
        s.must_read(&claim, Some(&payload)).await;
        s.delete(&claim).await;
        s.must_read(&claim, None).await;
    }
}

fn noise(bytes: usize) -> Bytes {
    (0..u32::try_from(bytes).unwrap_or(u32::MAX)).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect()
}

/// A payload can be read for every receive of its message.
async fn reading_does_not_delete_the_payload(s: &Subject<'_>) {
    let payload = Bytes::from_static(b"again");
    s.check_in(&s.claim(0), &payload).await;
    for _ in 0..3 {
        s.must_read(&s.claim(0), Some(&payload)).await;
    }
}

/// A read that begins after the delete returned finds no payload.
async fn a_deleted_payload_is_missing(s: &Subject<'_>) {
    s.check_in(&s.claim(0), &Bytes::from_static(b"gone")).await;
    s.delete(&s.claim(0)).await;
    s.must_read(&s.claim(0), None).await;
}

/// Deleting a payload that does not exist, or does not exist any more, succeeds.
async fn a_delete_can_be_repeated(s: &Subject<'_>) {
    s.delete(&s.claim(0)).await;
    s.check_in(&s.claim(1), &Bytes::from_static(b"gone")).await;
    s.delete(&s.claim(1)).await;
    s.delete(&s.claim(1)).await;
    s.must_read(&s.claim(1), None).await;
}

/// Payloads that are checked in concurrently are all stored. Deleting one leaves the others.
async fn claims_are_independent(s: &Subject<'_>) {
    let payloads: Vec<Bytes> = (0..8).map(|number| Bytes::from(format!("payload {number}"))).collect();
    let claims: Vec<Claim> = (0..8).map(|number| s.claim(number)).collect();
    join_all(claims.iter().zip(&payloads).map(|(claim, payload)| s.check_in(claim, payload))).await;
    s.delete(&claims[3]).await;
    for (number, (claim, payload)) in claims.iter().zip(&payloads).enumerate() {
        s.must_read(claim, Some(payload).filter(|_| number != 3)).await;
    }
}

/// An entry is visible as soon as its put returned, and not before.
async fn an_entry_is_absent_until_it_is_put(s: &Subject<'_>) {
    let message = s.message("m");
    s.must_have_entry("orders", &message, false).await;
    s.put_entry("orders", &message).await;
    s.must_have_entry("orders", &message, true).await;
}

/// Putting an existing entry succeeds.
async fn an_entry_can_be_put_again(s: &Subject<'_>) {
    let message = s.message("m");
    s.put_entry("orders", &message).await;
    s.put_entry("orders", &message).await;
    s.must_have_entry("orders", &message, true).await;
}

/// An entry of one endpoint is no entry of another endpoint that received the same message.
async fn entries_belong_to_one_endpoint(s: &Subject<'_>) {
    let message = s.message("m");
    s.put_entry("orders", &message).await;
    for other in ["order", "orders2", "stock", "Orders"] {
        s.must_have_entry(other, &message, false).await;
    }
}

/// Message ids come from other systems. Any text is a valid id, and different texts are different
/// ids.
async fn unusual_message_ids_are_distinct(s: &Subject<'_>) {
    for odd in ODD {
        let message = MessageId::new(format!("{odd}{}", s.law.key(odd)));
        s.must_have_entry("orders", &message, false).await;
        s.put_entry("orders", &message).await;
        s.must_have_entry("orders", &message, true).await;
    }
    s.must_have_entry("orders", &s.message("b"), false).await;
}

/// Long ids that differ only in their last byte are different ids.
async fn long_message_ids_are_distinct(s: &Subject<'_>) {
    let id = |last: char| MessageId::new(format!("{:x<900}{last}", s.law.key("")));
    s.put_entry("orders", &id('1')).await;
    s.must_have_entry("orders", &id('1'), true).await;
    s.must_have_entry("orders", &id('2'), false).await;
}
