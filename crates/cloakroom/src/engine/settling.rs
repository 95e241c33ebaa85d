//! Step 7: how the incoming message is settled, and settling it.

use std::time::Duration;

use crate::{
    engine::attempt::Attempt,
    error::{Error, ErrorKind},
    format::record::{Record, Settles},
    ports::commit::Placement,
    protocol::step::Saw,
};

impl Attempt<'_> {
    /// Returns an error if the message is settled in a store that this endpoint does not have.
    pub(super) fn check_store(&self) -> Result<(), Error> {
        self.settles.as_ref().map_or(Ok(()), |settles| self.check_store_of(settles))
    }

    /// SUBTLE: the wrong store must not be used. (1) The payload is read from the wrong store. It
    /// looks missing, and the message would be taken for processed. (2) The payload is deleted from
    /// the wrong store. It remains in its own store, and the message would be processed again. The
    /// same applies to entries.
    ///
    /// The fault belongs to one message, because other messages name other stores. The message is
    /// retried with growing pauses, and is parked in the end
    /// (`message_with_unknown_store_does_not_delay_other_messages_and_is_parked`).
    fn check_store_of(&self, settles: &Settles) -> Result<(), Error> {
        let payloads = &self.endpoint.ports.payloads;
        let Some(store) = settles.store().filter(|store| !payloads.holds(store)) else { return Ok(()) };
        let own: Vec<_> = payloads.stores().into_iter().map(|own| format!("`{own}`")).collect();
        let what = match settles {
            Settles::Payload(claim) => format!("payload `{claim}`"),
            Settles::Entry(_) | Settles::Retained(_) => format!("the dedupe entry of `{}`", self.identity),
        };
        let text = format!(
            "{what} is in store `{store}`, and this endpoint has only {}. Give sender and receiver the same stores",
            own.join(", ")
        );
        Err(Error::new(ErrorKind::RetryMessage, text))
    }

    /// Takes from the record how its message is settled. Without a delivery there is no other
    /// source for it.
    ///
    /// SUBTLE: a record without this information must stay. (1) It is cleared without settling its
    /// message. (2) A late copy of the message arrives and finds neither the record nor a sign that
    /// the message was processed. The message would be processed again
    /// (`sweep_leaves_a_record_that_does_not_state_how_to_settle`).
    pub(super) fn read_settles(&mut self) -> Result<(), Error> {
        let recorded = self.record.settles.clone().filter(|settles| match settles {
            Settles::Payload(claim) => claim.is_well_formed(),
            Settles::Entry(_) | Settles::Retained(_) => true,
        });
        if let Some(recorded) = recorded {
            self.check_store_of(&recorded)?;
            // Without a claim the setting at the time of the commit decides. It may have been
            // changed since.
            if !matches!(self.settles, Some(Settles::Payload(_))) {
                self.settles = Some(recorded);
            }
        }
        if self.settles.is_none() { Err(self.cannot_be_settled()) } else { Ok(()) }
    }

    pub(super) fn cannot_be_settled(&self) -> Error {
        let text = format!(
            "the record of `{}` in partition `{}` does not tell how its message is settled: deliver the message again",
            self.identity, self.envelope.partition
        );
        Error::new(ErrorKind::RetryMessage, text).in_logs("a record does not tell how its message is settled")
    }

    pub(super) async fn settle(&mut self) -> Result<Saw, Error> {
        let (endpoint, payloads) = (self.endpoint, &self.endpoint.ports.payloads);
        match &self.settles {
            Some(Settles::Payload(claim)) => endpoint.call(|| payloads.delete(claim)).await?,
            Some(Settles::Entry(_)) => endpoint.call(|| payloads.put_entry(&endpoint.name, &self.identity)).await?,
            Some(Settles::Retained(ttl_ms)) => {
                let expires = endpoint.ports.clock.now().after(Duration::from_millis(*ttl_ms));
                let record = Record { messages: Vec::new(), is_retained: true, ..self.record.clone() };
                endpoint.call(|| endpoint.ports.store.retain(self.key(), &record, expires)).await?;
            }
            None => return Err(self.cannot_be_settled()),
        }
        if let (Placement::Embedded, Some(Settles::Payload(claim))) = (self.placement, &self.settles) {
            endpoint.settled.note(claim);
        }
        Ok(Saw::Settled)
    }
}
