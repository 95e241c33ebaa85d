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
    /// Whether the message in hand, if there is one, is settled in a store that this endpoint has.
    pub(super) fn check_store(&self) -> Result<(), Error> {
        self.settles.as_ref().map_or(Ok(()), |settles| self.check_store_of(settles))
    }

    /// SUBTLE: a payload that is sought in the wrong store is missing, and its message would pass for processed; one that is
    /// deleted there stays where it is, and its message would be processed again. So it is with entries.
    ///
    /// The fault is that of one message: other messages name other stores. It is retried with growing pauses, and parked in
    /// the end (`message_with_unknown_store_does_not_delay_others_and_is_parked`).
    fn check_store_of(&self, settles: &Settles) -> Result<(), Error> {
        let payloads = &self.endpoint.ports.payloads;
        let Some(store) = settles.store().filter(|store| !payloads.holds(store)) else { return Ok(()) };
        let own: Vec<_> = payloads.stores().into_iter().map(|own| format!("`{own}`")).collect();
        let what = match settles {
            Settles::Payload(claim) => format!("payload `{claim}`"),
            Settles::Entry(_) | Settles::Retained(_) => format!("the dedupe entry of `{}`", self.identity),
        };
        let text = format!(
            "{what} is in store `{store}`, and this endpoint has {}: give both sides the same stores",
            own.join(", ")
        );
        Err(Error::new(ErrorKind::RetryMessage, text))
    }

    /// Reads in the record how its message is settled. If there is no message in hand, nothing else tells it.
    ///
    /// SUBTLE: a record that does not tell must stay. Were it cleared without settling, its message would be processed once more if
    /// it came late (`a_record_that_does_not_tell_how_its_message_is_settled_is_left`).
    pub(super) fn learn_how_to_settle(&mut self) -> Result<(), Error> {
        let told = self.record.settles.clone().filter(|settles| match settles {
            Settles::Payload(claim) => claim.is_well_formed(),
            Settles::Entry(_) | Settles::Retained(_) => true,
        });
        if let Some(told) = told {
            self.check_store_of(&told)?;
            // Without a claim the setting decides, and that may have been changed since the commit.
            if !matches!(self.settles, Some(Settles::Payload(_))) {
                self.settles = Some(told);
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
