//! How old a message and its record may be: see [`lifetime`](crate::format::lifetime).

use crate::{
    engine::{attempt::Attempt, group::CommitGroup, not_finished::NotFinished},
    error::{Error, ErrorKind},
    format::lifetime,
    protocol::step::Do,
};

impl CommitGroup<'_> {
    /// Refuses to send what a record holds if payloads of it may be gone.
    ///
    /// SUBTLE: its receivers would take those messages for processed, and nobody would notice
    /// (`record_that_is_older_than_its_payloads_is_not_sent`).
    pub(super) fn refuse_outlived_records(&mut self) {
        for attempt in self.members.iter_mut().filter(|attempt| attempt.wants() == Some(Do::Dispatch)) {
            attempt.not_finished = attempt.check_age_of_record().err().map(NotFinished::Failed);
        }
    }
}

impl Attempt<'_> {
    /// Whether its payload should exist, so that a missing one may be a loss: it was never received before, or it is so old that its
    /// payload may have expired. (A dedupe entry, on the other hand, proves that its message was processed.)
    pub(super) fn must_have_its_payload(&self) -> bool {
        let is_first = self.delivery.receive_count == 1 && !self.envelope.redispatch && self.envelope.dataref.is_some();
        let endpoint = self.endpoint;
        let now = endpoint.ports.clock.now();
        is_first || lifetime::message_is_outlived(&self.envelope, now, endpoint.settings.payload_ttl())
    }

    fn check_age_of_record(&self) -> Result<(), Error> {
        let endpoint = self.endpoint;
        let (now, payload_ttl) = (endpoint.ports.clock.now(), endpoint.settings.payload_ttl());
        if !self.resumed || !lifetime::record_is_outlived(&self.record, now, payload_ttl) {
            return Ok(());
        }
        let days = payload_ttl.as_secs() / (24 * 60 * 60);
        let text = format!(
            "message `{}` of partition `{}` was committed more than {days} days ago (`payload_ttl_ms`), and the payloads of what it \
             sends may have expired: see whether they are there, with `cloakroom inspect`, and send it with a longer `payload_ttl_ms`",
            self.identity, self.envelope.partition
        );
        Err(Error::new(ErrorKind::RetryMessage, text).in_logs("a record is older than the payloads of what it sends"))
    }
}
