//! Steps 1 to 3: what is there.

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use serde_json::Value;
use tracing::{Instrument as _, debug_span};

use super::{Desk, Fold, Pass};
use crate::{
    Embedded, Error, ErrorKind, MessageId, Partition, Placement, PortError, Record, Settles, StateRead, Version,
    endpoint::Inner,
    placement::read_embedded,
    protocol::{Consistency, Do, Saw},
};

/// How many embedded records of others are looked at before a commit. The rest is carried on.
const LOOKS_MAX: usize = 32;

impl Fold<'_> {
    pub(super) async fn read_state(&mut self, consistency: Consistency) {
        let (endpoint, step) = (self.endpoint, Do::ReadState(consistency));
        if self.passes > 0 {
            endpoint.pause(self.passes).await;
        }
        let consistency = consistency.max(endpoint.settings.state_reads);
        let read = endpoint.call(|| endpoint.ports.store.read_state(&self.partition, &endpoint.name, consistency));
        let process = self.span(step);
        let read = read.instrument(debug_span!(parent: &process, "read_state")).instrument(process).await;
        let count = self.wanting(step).count();
        let answers = (0..count).map(|_| match &read {
            Ok(state) => Ok(Saw::State(state.version)),
            Err(error) => Err(error.clone().into()),
        });
        let answers: Vec<_> = answers.collect();
        self.tell(step, answers);
        let StateRead { version, state, mut embedded } = read.unwrap_or_default();
        // SUBTLE: a state that somebody has removed looks like one that never was. The records that lie where it was make each commit lose,
        // and after that, or if nothing is committed, they are looked for (`a_record_without_its_state_is_found`).
        embedded.is_complete &= version != Version::ABSENT || self.passes == 0 && !self.is_finishing;
        (self.version, self.state, self.embedded, self.draft) = (version, state, embedded, None);
    }

    /// Step 3; and meanwhile it is looked which embedded records the commit may drop.
    pub(super) async fn read_payloads(&mut self) {
        let others = self.others();
        if others.is_empty() {
            return self.each(Do::ReadPayload).await;
        }
        let (endpoint, partition) = (self.endpoint, self.partition.clone());
        let looks = others.into_iter().map(|(message, text)| {
            let partition = &partition;
            async move { endpoint.may_drop(partition, &message, &text).await.then_some(message) }
        });
        let looks = stream::iter(looks).buffer_unordered(LOOKS_MAX).collect::<Vec<_>>();
        let ((), settled) = futures::future::join(self.each(Do::ReadPayload), looks).await;
        for message in settled.into_iter().flatten() {
            self.embedded.records.remove(&message);
        }
    }

    /// The embedded records of others, if there will be a commit to drop them.
    fn others(&self) -> Vec<(MessageId, String)> {
        if self.embedded.records.is_empty() || self.wanting(Do::ReadPayload).all(|desk| desk.resumed) {
            return Vec::new();
        }
        let is_own = |message: &MessageId| self.desks.iter().any(|desk| desk.identity == *message);
        let others = self.embedded.records.iter().filter(|(message, _)| !is_own(message)).take(LOOKS_MAX);
        others.map(|(message, text)| (message.clone(), text.clone())).collect()
    }
}

impl Inner {
    /// Whether an embedded record may be dropped. If that cannot be told, it may not.
    async fn may_drop(&self, partition: &Partition, message: &MessageId, text: &str) -> bool {
        let Ok(record) = Record::decode(text) else { return false };
        if self.settled.knows(partition, message, record.settles.as_ref()) {
            return true;
        }
        // It is carried on, then, and looked at by the next commit.
        self.is_settled(message, &record).await.unwrap_or_else(|error| {
            tracing::debug!(error = error.loggable(), "an embedded record could not be looked at");
            false
        })
    }

    /// Whether the message of an embedded record is settled, as its payload or entry tells.
    ///
    /// SUBTLE: nothing else proves it. A record that is dropped while its message lives is a commit that nobody remembers
    /// (`what_is_not_settled_is_carried_on`).
    pub(crate) async fn is_settled(&self, message: &MessageId, record: &Record) -> Result<bool, PortError> {
        let payloads = &self.ports.payloads;
        match &record.settles {
            Some(Settles::Payload(claim)) if claim.store().is_none_or(|store| payloads.holds(store)) => {
                self.call(|| payloads.read(claim)).await.map(|payload| payload.is_none())
            }
            Some(Settles::Entry(store)) if payloads.holds(store) => {
                self.call(|| payloads.has_entry(&self.name, message)).await
            }
            Some(Settles::Payload(_) | Settles::Entry(_) | Settles::Retained(_)) | None => Ok(false),
        }
    }
}

impl Desk<'_> {
    pub(super) async fn read_record(&mut self, pass: Pass<'_>) -> Result<Saw, Error> {
        let (endpoint, store) = (self.endpoint, &self.endpoint.ports.store);
        let anew;
        let embedded = if self.memory.looks_again() {
            let (partition, name) = (&self.envelope.partition, &endpoint.name);
            let read = endpoint.call(|| store.read_state(partition, name, Consistency::Strong)).await?;
            let is_complete = read.embedded.is_complete && read.version != Version::ABSENT;
            anew = Embedded { is_complete, ..read.embedded };
            self.may_be_lost &= !self.is_recent(&anew);
            &anew
        } else {
            pass.embedded
        };
        let found = embedded.records.get(&self.identity).map(|text| read_embedded(self.key(), text)).transpose()?;
        let found = match found {
            Some(record) if self.is_of_a_namesake(&record) => self.must_be_settled(&record).await?,
            found => found,
        };
        let (record, saw) = if let Some(record) = found {
            self.placement = Placement::Embedded;
            (record, Saw::Embedded)
        } else if embedded.is_complete {
            return Ok(Saw::NoRecord);
        } else {
            let Some(record) = endpoint.call(|| store.read_record(self.key())).await? else {
                return Ok(Saw::NoRecord);
            };
            if record.is_retained {
                return Ok(Saw::Retained);
            }
            let claims = record.claims();
            self.placement = Placement::Beside;
            (record, Saw::Record(claims))
        };
        self.resumed = true;
        self.record = record;
        self.learn_how_to_settle()?;
        Ok(saw)
    }

    /// Whether a record is that of another message with the same id, as its claim tells.
    fn is_of_a_namesake(&self, record: &Record) -> bool {
        match (&self.settles, &record.settles) {
            (Some(Settles::Payload(own)), Some(Settles::Payload(other))) => own != other,
            _ => false,
        }
    }

    /// SUBTLE: an embedded record outlives its message. One of a namesake that is settled is none, or a message that comes under its
    /// id would be settled without having been handled (`two_claims_under_one_id_are_two_messages_wherever_records_lie`).
    async fn must_be_settled(&self, namesakes: &Record) -> Result<Option<Record>, Error> {
        if self.endpoint.is_settled(&self.identity, namesakes).await? {
            return Ok(None);
        }
        let partition = &self.envelope.partition;
        let text =
            format!("another message `{}` of partition `{partition}` is not finished; it goes first", self.identity);
        Err(Error::new(ErrorKind::AwaitService, text).in_logs("another message of the same id is not finished"))
    }

    pub(super) async fn read_payload(&mut self, pass: Pass<'_>) -> Result<Saw, Error> {
        let (endpoint, payloads) = (self.endpoint, &self.endpoint.ports.payloads);
        let payload = match &self.settles {
            Some(Settles::Payload(claim)) => endpoint.call(|| payloads.read(claim)).await?,
            Some(Settles::Entry(_)) => {
                match endpoint.call(|| payloads.has_entry(&endpoint.name, &self.identity)).await? {
                    true => None,
                    false => Some(self.inline_payload()),
                }
            }
            // Its record would have been there.
            Some(Settles::Retained(_)) => Some(self.inline_payload()),
            None => return Err(self.cannot_be_settled()),
        };
        let Some(payload) = payload else {
            self.may_be_lost =
                pass.is_first && self.must_have_its_payload() && !self.resumed && !self.is_recent(pass.embedded);
            self.reason = "its payload is missing, and nothing tells that it was processed".to_owned();
            return Ok(Saw::PayloadMissing);
        };
        self.payload = payload;
        Ok(Saw::Payload)
    }

    /// Whether it was committed lately, as the state's item tells: so it is a duplicate, and no message is lost.
    fn is_recent(&self, embedded: &Embedded) -> bool {
        self.envelope.dataref.as_ref().is_some_and(|claim| embedded.recent.has(claim))
    }

    fn inline_payload(&self) -> Bytes {
        Bytes::from(self.envelope.data.as_ref().unwrap_or(&Value::Null).to_string())
    }
}
