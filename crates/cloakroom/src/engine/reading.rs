//! Steps 1 to 3: what is there.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use serde_json::Value;
use tracing::{Instrument as _, debug_span};

use crate::{
    engine::{
        attempt::{Attempt, Pass},
        context::Context,
        group::CommitGroup,
    },
    error::{Error, PortError},
    format::{
        name::MessageId,
        record::{Record, Settles},
    },
    ports::{
        commit::{Embedded, Placement, StateRead},
        placement::read_embedded,
    },
    protocol::{
        embedding::{self, Absent, Known},
        step::{Consistency, Do, Saw},
    },
};

/// How many embedded records of others are looked at before a commit. The rest is carried on.
const LOOKS_MAX: usize = 32;

impl CommitGroup<'_> {
    pub(super) async fn read_state(&mut self, consistency: Consistency) {
        let (endpoint, step) = (self.endpoint, Do::ReadState(consistency));
        if self.passes > 0 {
            endpoint.pause(self.passes).await;
        }
        let consistency = consistency.max(self.reads);
        self.is_late = consistency == Consistency::Any;
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
        // SUBTLE: of a retained record the commit's condition tells too late. It outlives the state, and a handler that refused a
        // message without an effect would refuse one that was processed (`duplicate_whose_state_is_gone_is_not_refused`).
        let retains = self.members.iter().any(|attempt| matches!(attempt.settles, Some(Settles::Retained(_))));
        let is_tried = self.passes == 0 && !self.is_finishing && !retains;
        let absent = if is_tried { Absent::Conditional } else { Absent::Unchecked };
        embedded.is_complete = embedding::is_complete(embedded.is_complete, version, absent);
        self.members.iter().for_each(|attempt| attempt.forget_expired(&mut embedded));
        (self.version, self.state, self.embedded, self.draft) = (version, state, embedded, None);
    }

    /// Step 2. What a commit that embeds its record relies on is looked up first.
    pub(super) async fn read_records(&mut self) {
        let (endpoint, version) = (self.endpoint, self.version);
        let embeds = !self.is_finishing && endpoint.settings.embedded_bytes_max() > 0;
        if embedding::must_look(version, embeds) {
            let (partition, store) = (&self.partition, &endpoint.ports.store);
            match endpoint.call(|| store.has_records(partition, &endpoint.name)).await {
                Ok(any) => {
                    self.embedded.is_complete = embedding::is_complete(true, version, Absent::Looked { any });
                }
                Err(error) => {
                    let count = self.wanting(Do::ReadRecord).count();
                    return self.tell_all(Do::ReadRecord, count, || Err(error.clone().into()));
                }
            }
        }
        self.each(Do::ReadRecord).await;
    }

    /// Step 3. Meanwhile the worker looks which embedded records of others the commit may drop.
    pub(super) async fn read_payloads(&mut self) {
        let (endpoint, others) = (self.endpoint, self.others());
        if others.is_empty() {
            return self.each(Do::ReadPayload).await;
        }
        let known: Vec<_> = others.iter().map(|other| other.known).collect();
        let looks = embedding::looks(&known, endpoint.ports.random.bits(), LOOKS_MAX);
        let looks = looks.into_iter().map(|position| {
            let Other { message, record, .. } = &others[position];
            async move { (position, endpoint.known_after_a_look(message, record).await) }
        });
        let looks = stream::iter(looks).buffer_unordered(LOOKS_MAX).collect::<Vec<_>>();
        let ((), looked) = futures::future::join(self.each(Do::ReadPayload), looks).await;
        let mut known = known;
        looked.into_iter().for_each(|(position, seen)| known[position] = seen);
        for (Other { message, .. }, known) in others.into_iter().zip(known) {
            if embedding::may_drop(known) {
                self.embedded.records.remove(&message);
            }
        }
    }

    /// The embedded records of others, if there will be a commit to drop them.
    fn others(&self) -> Vec<Other> {
        if self.embedded.records.is_empty() || self.wanting(Do::ReadPayload).all(|attempt| attempt.resumed) {
            return Vec::new();
        }
        let is_own = |message: &MessageId| self.members.iter().any(|attempt| attempt.identity == *message);
        let others = self.embedded.records.iter().filter(|(message, _)| !is_own(message));
        let other = |(message, text): (&MessageId, &String)| Other::new(self.endpoint, message, text);
        others.map(other).collect()
    }
}

/// The embedded record of another message, and what is known about that.
struct Other {
    message: MessageId,
    record: Record,
    known: Known,
}

impl Other {
    fn new(endpoint: &Context, message: &MessageId, text: &str) -> Self {
        // A record that cannot be read is carried on. Whoever can read it looks.
        let Ok(record) = Record::decode(text) else {
            return Self { message: message.clone(), record: Record::default(), known: Known::NotSettled };
        };
        let known = if endpoint.settled.knows(&record) { Known::Settled } else { Known::Nothing };
        Self { message: message.clone(), record, known }
    }
}

impl Context {
    /// What a look at its payload or entry shows about the message of an embedded record.
    async fn known_after_a_look(&self, message: &MessageId, record: &Record) -> Known {
        match self.is_settled(message, record).await {
            Ok(true) => Known::Settled,
            Ok(false) => Known::NotSettled,
            Err(error) => {
                tracing::debug!(error = error.loggable(), "an embedded record could not be looked at");
                Known::Nothing
            }
        }
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
            // Nobody asks for it any more. Its entry has expired, which must not make it look unsettled.
            Some(Settles::Entry(_)) if self.is_expired(record) => Ok(true),
            Some(Settles::Entry(store)) if payloads.holds(store) => {
                self.call(|| payloads.has_entry(&self.name, message)).await
            }
            Some(Settles::Payload(_) | Settles::Entry(_) | Settles::Retained(_)) | None => Ok(false),
        }
    }

    /// Whether an embedded record is older than any message.
    ///
    /// SUBTLE: the record tells it, as the endpoint that committed was set. Recovery knows no settings of an endpoint, and would write
    /// the entry of an id anew under which another message comes (`sweep_knows_for_how_long_an_id_stands_for_its_message`).
    fn is_expired(&self, record: &Record) -> bool {
        let longest_life = Duration::from_millis(record.id_ttl_ms.unwrap_or(self.settings.tombstone_ttl_ms));
        record.age(self.ports.clock.now()).is_some_and(|age| embedding::is_expired(age, longest_life))
    }
}

impl Attempt<'_> {
    /// Removes the record of an earlier message of the same id, whose entry has expired.
    fn forget_expired(&self, embedded: &mut Embedded) {
        let Some(record) = embedded.records.get(&self.identity).and_then(|text| Record::decode(text).ok()) else {
            return;
        };
        if matches!(record.settles, Some(Settles::Entry(_))) && self.endpoint.is_expired(&record) {
            embedded.records.remove(&self.identity);
        }
    }

    pub(super) async fn read_record(&mut self, pass: Pass<'_>) -> Result<Saw, Error> {
        let (endpoint, store) = (self.endpoint, &self.endpoint.ports.store);
        let mut again;
        let embedded = if self.progress.looks_again() {
            let (partition, name) = (&self.envelope.partition, &endpoint.name);
            let read = endpoint.call(|| store.read_state(partition, name, Consistency::Strong)).await?;
            let stated = read.embedded.is_complete;
            let is_complete = embedding::is_complete(stated, read.version, Absent::Unchecked);
            again = Embedded { is_complete, ..read.embedded };
            self.forget_expired(&mut again);
            self.may_be_lost &= !self.is_recent(&again);
            &again
        } else {
            pass.embedded
        };
        let found = embedded.records.get(&self.identity).map(|text| read_embedded(self.key(), text)).transpose()?;
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
            self.placement = Placement::Separate;
            (record, Saw::Record(claims))
        };
        self.resumed = true;
        self.record = record;
        self.learn_how_to_settle()?;
        Ok(saw)
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
            return Ok(Saw::PossiblySettled);
        };
        self.payload = payload;
        Ok(Saw::NotSettled)
    }

    /// Whether it was committed lately, as the state's item tells: so it is a duplicate, and no message is lost.
    fn is_recent(&self, embedded: &Embedded) -> bool {
        self.envelope.dataref.as_ref().is_some_and(|claim| embedded.recent.has(claim))
    }

    fn inline_payload(&self) -> Bytes {
        Bytes::from(self.envelope.data.as_ref().unwrap_or(&Value::Null).to_string())
    }
}
