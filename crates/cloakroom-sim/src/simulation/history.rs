//! The history: what the stores and the queues did, recorded when it took effect. The laws use
//! nothing else.

use std::collections::BTreeMap;

use cloakroom::{
    MessageId, Partition,
    engine::parking,
    format::{Claim, Envelope, Record},
    ports::{QueueMessage, StateRead},
    protocol::Version,
};
use serde::de::DeserializeOwned;

use crate::simulation::tally::Tally;

/// Something that a store or a queue did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum StoreEvent {
    /// A message was submitted from outside.
    Submitted(Sent),
    /// A commit applied.
    Committed {
        /// The endpoint.
        endpoint: String,
        /// The partition.
        partition: Partition,
        /// The identity of the message that was processed.
        message: MessageId,
        /// The stored version just before.
        before: Version,
        /// The stored version just after.
        after: Version,
        /// The messages that the record requires to be sent.
        outgoing: Vec<Sent>,
    },
    /// The claims of a record's messages were stored after its commit.
    ClaimsStored(Vec<Sent>),
    /// A message was put into a queue, for the first time or again.
    Sent(Sent),
    /// A payload was written.
    CheckedIn(Claim),
    /// An existing payload was deleted.
    Deleted(Claim),
    /// A dedupe entry was written.
    EntryPut {
        /// The endpoint that has processed the message.
        endpoint: String,
        /// The message.
        message: MessageId,
    },
}

/// A message to an endpoint.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Sent {
    /// The queue, which has the name of the endpoint.
    pub(crate) queue: String,
    /// The logical message: its id, or its identity if it has no claim. Ids of messages that
    /// endpoints send are unique.
    pub(crate) message: MessageId,
    /// The claim, if it already has one.
    pub(crate) claim: Option<Claim>,
}

impl Sent {
    /// Decodes a message of a queue.
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

/// All events in order, and counts of what is no event.
#[derive(Clone, Debug, Default)]
pub(crate) struct History {
    pub(crate) events: Vec<StoreEvent>,
    /// The message that was sent under each claim.
    sent: BTreeMap<Claim, MessageId>,
    pub(crate) tally: Tally,
}

impl History {
    pub(crate) fn record(&mut self, event: StoreEvent) {
        if let StoreEvent::Sent(Sent { message, claim: Some(claim), .. }) = &event {
            self.sent.insert(claim.clone(), message.clone());
        }
        self.events.push(event);
    }

    /// Returns the logical message of this identity, so that two claims of one message count as one
    /// message.
    pub(crate) fn message(&self, identity: &MessageId) -> MessageId {
        self.sent.get(&Claim::new(identity.as_str())).unwrap_or(identity).clone()
    }
}

/// What is left when everything has come to rest.
#[derive(Clone, Debug, Default)]
pub struct Rest {
    /// Whether everything came to rest in time.
    pub(crate) is_reached: bool,
    /// By endpoint and partition.
    pub(crate) states: BTreeMap<(String, Partition), StateRead>,
    /// Records whose messages are not settled.
    pub(crate) records: Vec<String>,
    /// The messages of every queue that is not empty.
    pub(crate) queues: BTreeMap<String, Vec<QueueMessage>>,
    /// The claims of all payloads that exist.
    pub(crate) payloads: Vec<Claim>,
}

/// The final state of an entity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Final<S> {
    /// The number of messages that it has processed.
    pub version: u64,
    /// The state, or `None` if it was deleted.
    pub state: Option<S>,
}

impl Rest {
    /// Returns the final states of an endpoint's entities, by partition.
    ///
    /// # Errors
    /// If a state does not have this type.
    pub fn states<S: DeserializeOwned>(&self, endpoint: &str) -> Result<BTreeMap<Partition, Final<S>>, String> {
        let own = self.states.iter().filter(|((owner, _), _)| owner == endpoint);
        own.map(|((_, partition), StateRead { version, state, .. })| {
            let state = state.clone().map(serde_dynamo::from_item).transpose();
            let state = state.map_err(|error| format!("the state of `{partition}` cannot be read: {error}"))?;
            Ok((partition.clone(), Final { version: version.number(), state }))
        })
        .collect()
    }

    /// The parked messages of an endpoint, each with its reason.
    pub(crate) fn parked(&self, endpoint: &str) -> Vec<(Sent, String)> {
        let messages = self.queues.get(&dead_letters(endpoint)).map(Vec::as_slice).unwrap_or_default();
        messages
            .iter()
            .filter_map(|message| Some((Sent::read(endpoint, message)?, reason(message).to_owned())))
            .collect()
    }
}

/// The reason for which a message was parked. Empty if no endpoint parked it.
pub(crate) fn reason(message: &QueueMessage) -> &str {
    message.attributes.get(parking::REASON).map(String::as_str).unwrap_or_default()
}

/// The dead-letter queue of an endpoint.
pub(crate) fn dead_letters(endpoint: &str) -> String {
    format!("{endpoint}-dead")
}
