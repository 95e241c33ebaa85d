//! The history: what the stores and the queues did, written down when it took effect. The judge believes nothing else.

use std::collections::BTreeMap;

use cloakroom::{
    MessageId, Partition,
    engine::parking,
    format::{Claim, Envelope, Record},
    ports::{QueueMessage, StateRead},
    protocol::Version,
};
use serde::de::DeserializeOwned;

use super::tally::Tally;

/// Something that a store or a queue did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Deed {
    /// Somebody outside wants this message to be processed.
    Submitted(Sent),
    /// A commit was applied.
    Committed {
        /// The endpoint whose commit it was.
        endpoint: String,
        /// The partition.
        partition: Partition,
        /// The identity of the message that was processed.
        message: MessageId,
        /// The version of the stored state just before.
        before: Version,
        /// The version of the stored state just after.
        after: Version,
        /// What the record says is to be sent.
        outgoing: Vec<Sent>,
    },
    /// The claims of a record's messages were stored after its commit.
    ClaimsStored(Vec<Sent>),
    /// A message came into a queue, or into a queue once more.
    Sent(Sent),
    /// A payload was written.
    CheckedIn(Claim),
    /// A payload was deleted that was there.
    Deleted(Claim),
    /// A dedupe entry was written.
    EntryPut {
        /// The endpoint that has processed the message.
        endpoint: String,
        /// The message.
        message: MessageId,
    },
}

/// A message on its way to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sent {
    /// The queue, which is called as the endpoint is.
    pub(crate) queue: String,
    /// The logical message: its id, or its identity if it has no claim. Ids of what endpoints send are unique.
    pub(crate) message: MessageId,
    /// The claim, if it has one (yet).
    pub(crate) claim: Option<Claim>,
}

impl Sent {
    /// A message as it is put on a queue.
    pub(crate) fn read(queue: &str, message: &QueueMessage) -> Option<Self> {
        let envelope = Envelope::decode(&message.body).ok()?;
        Some(Self::new(queue, envelope))
    }

    /// A message with this envelope.
    pub(crate) fn new(queue: &str, envelope: Envelope) -> Self {
        let message = if envelope.dataref.is_some() { envelope.id.clone() } else { envelope.identity() };
        Self { queue: queue.to_owned(), message, claim: envelope.dataref }
    }

    /// The messages of a record.
    pub(crate) fn of(record: &Record) -> Vec<Self> {
        let sent = record.messages.iter().map(|outgoing| Self {
            queue: outgoing.queue.clone(),
            // It will have a claim.
            message: outgoing.envelope.id.clone(),
            claim: outgoing.envelope.dataref.clone(),
        });
        sent.collect()
    }
}

/// All deeds in their order, and how often something happened that is no deed.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) deeds: Vec<Deed>,
    /// The messages that were sent under each claim.
    sent: BTreeMap<Claim, MessageId>,
    pub(crate) tally: Tally,
}

impl History {
    pub(crate) fn record(&mut self, deed: Deed) {
        if let Deed::Sent(Sent { message, claim: Some(claim), .. }) = &deed {
            self.sent.insert(claim.clone(), message.clone());
        }
        self.deeds.push(deed);
    }

    /// The logical message of this identity, so that two claims of one message are seen to belong together.
    pub(crate) fn message(&self, identity: &MessageId) -> MessageId {
        self.sent.get(&Claim::new(identity.as_str())).unwrap_or(identity).clone()
    }
}

/// What is left when everything has come to rest.
#[derive(Clone, Debug, Default)]
pub struct Rest {
    /// Whether it came to rest at all.
    pub(crate) is_reached: bool,
    /// By endpoint and partition.
    pub(crate) states: BTreeMap<(String, Partition), StateRead>,
    /// Records whose messages are not settled.
    pub(crate) records: Vec<String>,
    /// The messages in every queue that has any.
    pub(crate) queues: BTreeMap<String, Vec<QueueMessage>>,
    /// The claims of all payloads there are.
    pub(crate) payloads: Vec<Claim>,
}

/// The final state of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Final<S> {
    /// How many messages it has processed.
    pub version: u64,
    /// The state; `None` if it was deleted.
    pub state: Option<S>,
}

impl Rest {
    /// The final states of an endpoint's entities, by partition.
    ///
    /// # Errors
    /// A state that is not of this type.
    pub fn states<S: DeserializeOwned>(&self, endpoint: &str) -> Result<BTreeMap<Partition, Final<S>>, String> {
        let own = self.states.iter().filter(|((owner, _), _)| owner == endpoint);
        own.map(|((_, partition), StateRead { version, state, .. })| {
            let state = state.clone().map(serde_dynamo::from_item).transpose();
            let state = state.map_err(|error| format!("the state of `{partition}` cannot be read: {error}"))?;
            Ok((partition.clone(), Final { version: version.number(), state }))
        })
        .collect()
    }

    /// The parked messages of an endpoint, each with the reason that it was parked for.
    pub(crate) fn parked(&self, endpoint: &str) -> Vec<(Sent, String)> {
        let messages = self.queues.get(&dead_letters(endpoint)).map(Vec::as_slice).unwrap_or_default();
        messages
            .iter()
            .filter_map(|message| Some((Sent::read(endpoint, message)?, reason(message).to_owned())))
            .collect()
    }
}

/// What a message was parked for; empty if it was not parked by an endpoint.
pub(crate) fn reason(message: &QueueMessage) -> &str {
    message.attributes.get(parking::REASON).map(String::as_str).unwrap_or_default()
}

/// The dead-letter queue of an endpoint.
pub(crate) fn dead_letters(endpoint: &str) -> String {
    format!("{endpoint}-dead")
}
