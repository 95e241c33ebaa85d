//! Steps 1 to 3: reading the state, the record and the payload.

use std::time::Duration;

use bytes::Bytes;
use futures::{StreamExt as _, stream};
use serde_json::Value;
use tracing::{Instrument as _, debug_span};

use crate::{
    engine::{
        attempt::{Attempt, PassView},
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

/// The maximum number of embedded records of other messages that are checked before a commit. The
/// commit keeps the rest.
const CHECKS_MAX: usize = 32;

impl CommitGroup<'_> {
    pub(super) async fn read_state(&mut self, consistency: Consistency) {
        let (endpoint, step) = (self.endpoint, Do::ReadState(consistency));
        if self.passes > 0 {
            endpoint.pause(self.passes).await;
        }
        let consistency = consistency.max(self.reads);
        self.may_be_stale = consistency == Consistency::Any;
        let read = endpoint.call(|| endpoint.ports.store.read_state(&self.partition, &endpoint.name, consistency));
        let process = self.span(step);
        let read = read.instrument(debug_span!(parent: &process, "read_state")).instrument(process).await;
        let count = self.pending(step).count();
        let seen = (0..count).map(|_| match &read {
            Ok(state) => Ok(Saw::State(state.version)),
            Err(error) => Err(error.clone().into()),
        });
        let seen: Vec<_> = seen.collect();
        self.report(step, seen);
        let StateRead { version, state, mut embedded } = read.unwrap_or_default();
        // SUBTLE: a message with a retained record needs a real read. The retained record outlives
        // the state, so the state may be absent although the message was processed. (1) The record
        // is not read. (2) The handler runs on the absent state and rejects the message. A
        // rejection makes no commit, so no condition of a commit finds the record. The duplicate
        // would be parked (`duplicate_without_a_state_is_not_rejected`).
        let retains = self.members.iter().any(|attempt| matches!(attempt.settles, Some(Settles::Retained(_))));
        let is_tried = self.passes == 0 && !self.is_finishing && !retains;
        let absent = if is_tried { Absent::Conditional } else { Absent::Unchecked };
        embedded.is_complete = embedding::is_complete(embedded.is_complete, version, absent);
        self.members.iter().for_each(|attempt| attempt.remove_expired(&mut embedded));
        (self.version, self.state, self.embedded, self.draft) = (version, state, embedded, None);
    }

    /// Step 2. Before a commit that embeds its record, checks that an absent state has no separate
    /// records.
    pub(super) async fn read_records(&mut self) {
        let (endpoint, version) = (self.endpoint, self.version);
        let embeds = !self.is_finishing && endpoint.settings.embedding_limit() > 0;
        if embedding::must_look(version, embeds) {
            let (partition, store) = (&self.partition, &endpoint.ports.store);
            match endpoint.call(|| store.has_records(partition, &endpoint.name)).await {
                Ok(any) => {
                    self.embedded.is_complete = embedding::is_complete(true, version, Absent::Looked { any });
                }
                Err(error) => {
                    let count = self.pending(Do::ReadRecord).count();
                    return self.report_to_all(Do::ReadRecord, count, || Err(error.clone().into()));
                }
            }
        }
        self.each(Do::ReadRecord).await;
    }

    /// Step 3. At the same time the worker checks which embedded records of other messages the
    /// commit may drop.
    pub(super) async fn read_payloads(&mut self) {
        let (endpoint, others) = (self.endpoint, self.others());
        if others.is_empty() {
            return self.each(Do::ReadPayload).await;
        }
        let known: Vec<_> = others.iter().map(|other| other.known).collect();
        let looks = embedding::looks(&known, endpoint.ports.random.bits(), CHECKS_MAX);
        let looks = looks.into_iter().map(|position| {
            let Other { message, record, .. } = &others[position];
            async move { (position, endpoint.check_settled(message, record).await) }
        });
        let looks = stream::iter(looks).buffer_unordered(CHECKS_MAX).collect::<Vec<_>>();
        let ((), looked) = futures::future::join(self.each(Do::ReadPayload), looks).await;
        let mut known = known;
        looked.into_iter().for_each(|(position, seen)| known[position] = seen);
        for (Other { message, .. }, known) in others.into_iter().zip(known) {
            if embedding::may_drop(known) {
                self.embedded.records.remove(&message);
            }
        }
    }

    /// Returns the embedded records of other messages, if a commit that can drop them follows.
    fn others(&self) -> Vec<Other> {
        if self.embedded.records.is_empty() || self.pending(Do::ReadPayload).all(|attempt| attempt.resumed) {
            return Vec::new();
        }
        let is_own = |message: &MessageId| self.members.iter().any(|attempt| attempt.identity == *message);
        let others = self.embedded.records.iter().filter(|(message, _)| !is_own(message));
        let other = |(message, text): (&MessageId, &String)| Other::new(self.endpoint, message, text);
        others.map(other).collect()
    }
}

/// The embedded record of another message, and what this worker knows about that message.
struct Other {
    message: MessageId,
    record: Record,
    known: Known,
}

impl Other {
    fn new(endpoint: &Context, message: &MessageId, text: &str) -> Self {
        // The commit keeps a record that this version cannot decode. A worker that can decode it
        // will check it.
        let Ok(record) = Record::decode(text) else {
            return Self { message: message.clone(), record: Record::default(), known: Known::NotSettled };
        };
        let known = if endpoint.settled.knows(&record) { Known::Settled } else { Known::Nothing };
        Self { message: message.clone(), record, known }
    }
}

impl Context {
    /// Checks the payload or the entry of the message of an embedded record.
    async fn check_settled(&self, message: &MessageId, record: &Record) -> Known {
        match self.is_settled(message, record).await {
            Ok(true) => Known::Settled,
            Ok(false) => Known::NotSettled,
            Err(error) => {
                tracing::debug!(error = error.loggable(), "an embedded record could not be checked");
                Known::Nothing
            }
        }
    }

    /// Returns whether the message of an embedded record is settled, according to its payload or
    /// its entry.
    ///
    /// SUBTLE: nothing else proves it. If the record of a message that is not settled were dropped,
    /// nothing would show that the message is committed (`unsettled_embedded_record_is_kept_by_later_commits`).
    pub(crate) async fn is_settled(&self, message: &MessageId, record: &Record) -> Result<bool, PortError> {
        let payloads = &self.ports.payloads;
        match &record.settles {
            Some(Settles::Payload(claim)) if claim.store().is_none_or(|store| payloads.holds(store)) => {
                self.call(|| payloads.read(claim)).await.map(|payload| payload.is_none())
            }
            // No copy of the message can arrive any more. Its entry has expired, and an absent
            // entry must not make the message look unsettled.
            Some(Settles::Entry(_)) if self.is_expired(record) => Ok(true),
            Some(Settles::Entry(store)) if payloads.holds(store) => {
                self.call(|| payloads.has_entry(&self.name, message)).await
            }
            Some(Settles::Payload(_) | Settles::Entry(_) | Settles::Retained(_)) | None => Ok(false),
        }
    }

    /// Returns whether an embedded record is older than any message can be.
    ///
    /// SUBTLE: the time comes from the record, in which the endpoint that committed it has stored
    /// its setting. Recovery does not know the settings of the endpoint. (1) An entry expires, and
    /// a new message arrives under the same id. (2) Recovery takes the old record for a current
    /// one. It would write the entry of the id again, and the new message would look processed
    /// (`sweep_respects_a_configured_dedupe_window`).
    fn is_expired(&self, record: &Record) -> bool {
        let longest_life = Duration::from_millis(record.id_ttl_ms.unwrap_or(self.settings.tombstone_ttl_ms));
        record.age(self.ports.clock.now()).is_some_and(|age| embedding::is_expired(age, longest_life))
    }
}

impl Attempt<'_> {
    /// Removes the record of an earlier message that had the same id and whose entry has expired.
    fn remove_expired(&self, embedded: &mut Embedded) {
        let Some(record) = embedded.records.get(&self.identity).and_then(|text| Record::decode(text).ok()) else {
            return;
        };
        if matches!(record.settles, Some(Settles::Entry(_))) && self.endpoint.is_expired(&record) {
            embedded.records.remove(&self.identity);
        }
    }

    pub(super) async fn read_record(&mut self, pass: PassView<'_>) -> Result<Saw, Error> {
        let (endpoint, store) = (self.endpoint, &self.endpoint.ports.store);
        let mut second_read;
        let embedded = if self.progress.looks_again() {
            let (partition, name) = (&self.envelope.partition, &endpoint.name);
            let read = endpoint.call(|| store.read_state(partition, name, Consistency::Strong)).await?;
            let stated = read.embedded.is_complete;
            let is_complete = embedding::is_complete(stated, read.version, Absent::Unchecked);
            second_read = Embedded { is_complete, ..read.embedded };
            self.remove_expired(&mut second_read);
            self.may_be_lost &= !self.is_recent(&second_read);
            &second_read
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
        self.read_settles()?;
        Ok(saw)
    }

    pub(super) async fn read_payload(&mut self, pass: PassView<'_>) -> Result<Saw, Error> {
        let (endpoint, payloads) = (self.endpoint, &self.endpoint.ports.payloads);
        let payload = match &self.settles {
            Some(Settles::Payload(claim)) => endpoint.call(|| payloads.read(claim)).await?,
            Some(Settles::Entry(_)) => {
                match endpoint.call(|| payloads.has_entry(&endpoint.name, &self.identity)).await? {
                    true => None,
                    false => Some(self.inline_payload()),
                }
            }
            // The message is not settled: a retained record would have been found in step 2.
            Some(Settles::Retained(_)) => Some(self.inline_payload()),
            None => return Err(self.cannot_be_settled()),
        };
        let Some(payload) = payload else {
            self.may_be_lost =
                pass.is_first && self.must_have_its_payload() && !self.resumed && !self.is_recent(pass.embedded);
            self.reason = "its payload is missing, and nothing shows that it was processed".to_owned();
            return Ok(Saw::PossiblySettled);
        };
        self.payload = payload;
        Ok(Saw::NotSettled)
    }

    /// Returns whether the state's item lists the message as committed recently. If so, the
    /// delivery is a duplicate and no message is lost.
    fn is_recent(&self, embedded: &Embedded) -> bool {
        self.envelope.dataref.as_ref().is_some_and(|claim| embedded.recent.has(claim))
    }

    fn inline_payload(&self) -> Bytes {
        Bytes::from(self.envelope.data.as_ref().unwrap_or(&Value::Null).to_string())
    }
}
