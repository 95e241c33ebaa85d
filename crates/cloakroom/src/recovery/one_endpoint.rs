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

/// Finishes messages of one endpoint. It needs only the endpoint's name. It is cheap to clone.
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

/// The status of a message in a queue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MessageStatus {
    /// The message is committed. Its record is not finished yet.
    Committed,
    /// The message was processed and is finished.
    Processed,
    /// The message is not committed.
    NotProcessed,
    /// The message was parked, and its payload is missing. Either it was processed later, or
    /// something else removed the payload.
    Missing,
    /// The message can never be processed, for this reason. It may belong to another system.
    Unreadable(String),
}

impl fmt::Debug for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Recovery").field("endpoint", &self.context.name).finish_non_exhaustive()
    }
}

impl Recovery {
    /// Creates a recovery for the endpoint with this name, over its ports.
    ///
    /// # Errors
    /// The name is not a valid endpoint name, or a limit is out of range.
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

    /// Returns the endpoint's name.
    pub fn endpoint(&self) -> &str {
        &self.context.name
    }

    /// Decodes a delivery. Recovery knows no message types, so only a message with an envelope is
    /// readable.
    fn accept<'d>(&self, delivery: &'d Delivery) -> Incoming<'d> {
        Intake::default().accept(&self.context.ports.limits, Cow::Borrowed(delivery))
    }

    /// Returns the status of a message, and changes nothing.
    ///
    /// # Errors
    /// A read failed, or the payload is in a store that the ports do not have.
    pub async fn look(&self, delivery: &Delivery) -> Result<MessageStatus, Error> {
        let incoming = self.accept(delivery);
        let attempt = match Attempt::open(&self.context, &incoming, None) {
            Ok(attempt) => attempt,
            Err(reason) => return Ok(MessageStatus::Unreadable(reason)),
        };
        Ok(match attempt.look().await? {
            Do::Dispatch | Do::CheckIn => MessageStatus::Committed,
            // SUBTLE: a worker would acknowledge this message as a duplicate. Here that could lose
            // it. (1) The message was parked with its payload, or because the payload was missing.
            // (2) Later a worker processed it, or something else removed the payload
            // (`dead_letter_whose_payload_was_deleted_is_left`).
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

    /// Finishes a message if it is committed. See [`Endpoint::finish`](crate::Endpoint::finish).
    ///
    /// # Errors
    /// The message was not finished and stays where it is. The error's [`kind`](Error::kind) shows
    /// what to do.
    pub async fn finish(&self, delivery: &Delivery) -> Result<Recovered, Error> {
        self.context.finish(&self.accept(delivery)).await
    }

    /// Finishes the record of a message that is not in flight here and may not exist any more.
    ///
    /// Returns `false` if there is no record: another worker has finished it, or nothing was
    /// committed.
    ///
    /// # Errors
    /// The record was not finished and stays. This is permanent if the record does not show how its
    /// message is settled ([`Record::settles`](crate::format::Record::settles)).
    pub async fn finish_record(&self, partition: &Partition, message: &MessageId) -> Result<bool, Error> {
        let key = RecordKey { partition, endpoint: &self.context.name, message };
        let no_delivery = Delivery::default();
        let outcome = Attempt::without_message(&self.context, &no_delivery, key).finish().await?;
        Ok(outcome == Some(Outcome::Resumed))
    }

    /// Reports whether the message of this embedded record is settled.
    pub(crate) async fn is_settled(
        &self,
        message: &MessageId,
        record: &crate::format::record::Record,
    ) -> Result<bool, Error> {
        Ok(self.context.is_settled(message, record).await?)
    }

    /// Sends a message to a queue in the form that it had before it was parked.
    ///
    /// If the message came from another queue, the caller deletes it there afterwards. If that
    /// fails there are two copies, which does no harm.
    ///
    /// # Errors
    /// The send failed. The message may have been sent.
    pub async fn put_back(&self, delivery: &Delivery, queue: &str) -> Result<(), Error> {
        parking::send_back(&self.context, delivery, queue).await
    }
}

fn is_parked_with_claim(delivery: &Delivery, incoming: &Incoming<'_>) -> bool {
    let has_claim = incoming.envelope.as_ref().is_ok_and(|envelope| envelope.dataref.is_some());
    has_claim && [REASON, ENDPOINT].iter().any(|name| delivery.attributes.contains_key(*name))
}

/// A [`Recovery`] for each endpoint, created at its first use.
#[derive(Debug)]
pub(super) struct RecoveryByEndpoint {
    pub(super) ports: Ports,
    /// The guaranteed lifetime of a payload, in milliseconds.
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
