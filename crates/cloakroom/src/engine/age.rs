//! The age of a message and of its record. See [`lifetime`](crate::format::lifetime).

use crate::{
    engine::{attempt::Attempt, group::CommitGroup, not_finished::NotFinished},
    error::{Error, ErrorKind},
    format::lifetime,
    protocol::step::Do,
};

impl CommitGroup<'_> {
    /// Fails each attempt whose record is so old that payloads of its outgoing messages may have
    /// expired.
    ///
    /// SUBTLE: (1) the payload of an outgoing message expires. (2) The message is sent anyway. Its
    /// receiver finds no payload, takes the message for a duplicate, and acknowledges it. The
    /// message would be lost without any sign
    /// (`record_that_is_older_than_its_payloads_is_not_sent`).
    pub(super) fn refuse_outlived_records(&mut self) {
        for attempt in self.members.iter_mut().filter(|attempt| attempt.pending_step() == Some(Do::Dispatch)) {
            attempt.not_finished = attempt.check_age_of_record().err().map(NotFinished::Failed);
        }
    }
}

impl Attempt<'_> {
    /// Returns whether the payload should exist, so that a missing one may be a loss. It should at
    /// the first receive of a first dispatch. It also counts as a possible loss if the message is
    /// so old that its payload may have expired. A message without a claim is never a loss at its
    /// first receive: its dedupe entry proves that it was processed.
    pub(super) fn must_have_its_payload(&self) -> bool {
        let is_first = self.delivery.receive_count == 1 && !self.envelope.redispatch && self.envelope.dataref.is_some();
        let endpoint = self.endpoint;
        let now = endpoint.ports.clock.now();
        is_first || lifetime::message_payload_may_have_expired(&self.envelope, now, endpoint.settings.payload_ttl())
    }

    fn check_age_of_record(&self) -> Result<(), Error> {
        let endpoint = self.endpoint;
        let (now, payload_ttl) = (endpoint.ports.clock.now(), endpoint.settings.payload_ttl());
        if !self.resumed || !lifetime::record_payloads_may_have_expired(&self.record, now, payload_ttl) {
            return Ok(());
        }
        let days = payload_ttl.as_secs() / (24 * 60 * 60);
        let text = format!(
            "message `{}` of partition `{}` was committed more than {days} days ago (`payload_ttl_ms`), so the payloads of its \
             outgoing messages may have expired: check with `cloakroom inspect` that they exist, then finish the message with a \
             longer `payload_ttl_ms`",
            self.identity, self.envelope.partition
        );
        Err(Error::new(ErrorKind::RetryMessage, text)
            .in_logs("a record is so old that payloads of its outgoing messages may have expired"))
    }
}
