//! Finishing the messages of one endpoint.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use crate::{
    engine::{
        attempt::Attempt,
        context::{Context, Parking},
        intake::{Incoming, Intake},
        not_finished::Recovered,
        parking::{self, ENDPOINT, REASON},
        settings::EndpointSettings,
    },
    error::Error,
    format::name::{MessageId, Partition, check_name},
    observe::observer::Unobserved,
    ports::{bundle::Ports, commit::RecordKey, queue::Delivery},
    protocol::step::{Do, Outcome},
};

/// Finishes the messages of one endpoint, of which it needs to know no more than the name. It is cheap to clone.
///
/// ```
/// use cloakroom::{Delivery, format::Envelope, memory::Memory, recovery::{Recovery, MessageStatus}};
///
/// let memory = Memory::new();
/// let recovery = Recovery::new("counters", memory.ports())?;
/// let mut envelope = Envelope::new("m-1".into(), "test", "counter.add", "counter#a".into());
/// envelope.data = Some(serde_json::json!({ "counter": "a", "amount": 5 }));
/// let delivery = Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() };
///
/// assert_eq!(memory.run(recovery.look(&delivery))?, MessageStatus::NotProcessed);
/// # Ok::<(), cloakroom::Error>(())
/// ```
#[derive(Clone)]
pub struct Recovery {
    pub(super) context: Arc<Context>,
}

/// What is known of a message that lies somewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageStatus {
    /// It is committed, and its record waits to be finished.
    Committed,
    /// It was processed, and nothing is left to do.
    Processed,
    /// Nothing of it is committed.
    NotProcessed,
    /// It was parked, and its payload is missing: it was processed since, or somebody has removed the payload.
    Missing,
    /// It can never be processed, for this reason. It may be somebody else's.
    Unreadable(String),
}

impl fmt::Debug for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovery").field("endpoint", &self.context.name).finish_non_exhaustive()
    }
}

impl Recovery {
    /// For the endpoint of this name, over its ports.
    ///
    /// # Errors
    /// A name that no endpoint can have; limits out of range.
    pub fn new(endpoint: impl Into<String>, ports: Ports) -> Result<Self, Error> {
        let endpoint = endpoint.into();
        ports.limits.validate()?;
        Self::with_settings(endpoint, ports, EndpointSettings::default())
    }

    fn with_settings(endpoint: String, ports: Ports, settings: EndpointSettings) -> Result<Self, Error> {
        check_name(&endpoint)?;
        Ok(Self {
            context: Arc::new(Context::new(endpoint, ports, settings, Arc::new(Unobserved), Parking::new(None))),
        })
    }

    /// The endpoint's name.
    pub fn endpoint(&self) -> &str {
        &self.context.name
    }

    /// Recovery knows no message types: it reads only what has an envelope.
    fn accept<'d>(&self, delivery: &'d Delivery) -> Incoming<'d> {
        Intake::default().accept(&self.context.ports.limits, Cow::Borrowed(delivery))
    }

    /// Looks what has become of a message, and touches nothing.
    ///
    /// # Errors
    /// What could not be read; a payload that is in another store than that of the ports.
    pub async fn look(&self, delivery: &Delivery) -> Result<MessageStatus, Error> {
        let incoming = self.accept(delivery);
        let attempt = match Attempt::open(&self.context, &incoming, None) {
            Ok(attempt) => attempt,
            Err(reason) => return Ok(MessageStatus::Unreadable(reason)),
        };
        Ok(match attempt.look().await? {
            Do::Dispatch | Do::CheckIn => MessageStatus::Committed,
            // SUBTLE: a worker would drop it. But it was parked with its payload, or for the lack of it; so somebody has processed it
            // since, or has removed the payload (`a_parked_letter_whose_payload_was_removed_is_left`).
            Do::Acknowledge(_) if is_parked_with_claim(delivery, &incoming) => MessageStatus::Missing,
            Do::Acknowledge(_) => MessageStatus::Processed,
            Do::Handle
            | Do::ReadState(_)
            | Do::ReadRecord
            | Do::ReadPayload
            | Do::Park
            | Do::SendAgain
            | Do::Commit(_)
            | Do::StoreClaims
            | Do::Settle
            | Do::Clear
            | Do::Leave => MessageStatus::NotProcessed,
        })
    }

    /// Finishes a message if it is committed: see [`Endpoint::finish`](crate::Endpoint::finish).
    ///
    /// # Errors
    /// The message was not finished; the error's [`kind`](Error::kind) says what to do. It stays where it is.
    pub async fn finish(&self, delivery: &Delivery) -> Result<Recovered, Error> {
        self.context.finish(&self.accept(delivery)).await
    }

    /// Finishes the record of a message that is not in hand, and may not exist any more. False if there is no record: somebody
    /// else has finished it, or nothing was committed.
    ///
    /// # Errors
    /// The record was not finished, and stays. That is so for good if it does not tell how its message is settled
    /// ([`Record::settles`](crate::format::Record::settles)).
    pub async fn finish_record(&self, partition: &Partition, message: &MessageId) -> Result<bool, Error> {
        let key = RecordKey { partition, endpoint: &self.context.name, message };
        let nobody = Delivery::default();
        let outcome = Attempt::without_message(&self.context, &nobody, key).finish().await?;
        Ok(outcome == Some(Outcome::Resumed))
    }

    /// Whether the message of this embedded record is settled.
    pub(crate) async fn is_settled(
        &self,
        message: &MessageId,
        record: &crate::format::record::Record,
    ) -> Result<bool, Error> {
        Ok(self.context.is_settled(message, record).await?)
    }

    /// Sends a message to a queue as it was before it was parked. Whoever took it from another queue deletes it there
    /// afterwards; if that fails there are two, which does no harm.
    ///
    /// # Errors
    /// It may or may not have been sent.
    pub async fn put_back(&self, delivery: &Delivery, queue: &str) -> Result<(), Error> {
        parking::send_back(&self.context, delivery, queue).await
    }
}

fn is_parked_with_claim(delivery: &Delivery, incoming: &Incoming<'_>) -> bool {
    let has_claim = incoming.envelope.as_ref().is_ok_and(|envelope| envelope.dataref.is_some());
    has_claim && [REASON, ENDPOINT].iter().any(|name| delivery.attributes.contains_key(*name))
}

/// A [`Recovery`] for each endpoint that turns up.
#[derive(Debug)]
pub(super) struct RecoveryByEndpoint {
    pub(super) ports: Ports,
    /// For how long payloads are certain to live.
    pub(super) payload_ttl_ms: u64,
    known: Mutex<BTreeMap<String, Recovery>>,
}

impl RecoveryByEndpoint {
    pub(super) const fn new(ports: Ports, payload_ttl_ms: u64) -> Self {
        Self { ports, payload_ttl_ms, known: Mutex::new(BTreeMap::new()) }
    }

    pub(super) fn of(&self, endpoint: &str) -> Result<Recovery, Error> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(recovery) = known.get(endpoint) {
            return Ok(recovery.clone());
        }
        let settings = EndpointSettings { payload_ttl_ms: self.payload_ttl_ms, ..EndpointSettings::default() };
        let recovery = Recovery::with_settings(endpoint.to_owned(), self.ports.clone(), settings)?;
        known.insert(endpoint.to_owned(), recovery.clone());
        Ok(recovery)
    }
}
