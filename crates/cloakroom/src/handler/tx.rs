//! The transaction of a handler: outgoing messages, items, ids and the time.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use uuid::Uuid;

use crate::{
    format::{
        derived_id::derived_id,
        envelope::Envelope,
        name::{MessageId, Partition},
        record::Outgoing,
        schema::RESERVED_SORT_KEYS,
        timestamp::Timestamp,
    },
    handler::{error::HandlerError, item::to_item, message::Message},
    observe::trace,
    ports::{
        commit::{Condition, ItemAction, ItemWrite, Sharing},
        limits::DELAY_S_MAX,
    },
    protocol::version::Version,
};

/// The queues for each message type.
pub(crate) type Routes = BTreeMap<&'static str, Vec<String>>;

/// The queues for replies.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    /// The queue for replies to messages of this endpoint.
    pub(crate) queue: String,
    /// The queues that a foreign message may name for replies, in addition to the routes of the
    /// reply's type.
    pub(crate) allowed: BTreeSet<String>,
}

/// The transaction of one attempt. Its messages and items become durable together with the new
/// state, or not at all.
///
/// Every value that it returns is the same in every attempt at the same message, except for
/// [`Tx::version`] and [`Tx::now`].
#[derive(Debug)]
pub struct Tx {
    pub(crate) endpoint: Arc<str>,
    pub(crate) routes: Arc<Routes>,
    pub(crate) replies: Arc<Replies>,
    pub(crate) incoming: Arc<Envelope>,
    pub(crate) version: Version,
    pub(crate) now: Timestamp,
    pub(crate) outgoing: Vec<Outgoing>,
    pub(crate) items: Vec<ItemWrite>,
    pub(crate) deletes_state: bool,
    /// The first error of a method that returns nothing. It fails the attempt after the handler has
    /// returned.
    pub(crate) failure: Option<HandlerError>,
    sent: u32,
    ids: u32,
}

impl Tx {
    pub(crate) fn new(
        endpoint: Arc<str>,
        routes: Arc<Routes>,
        replies: Arc<Replies>,
        incoming: Arc<Envelope>,
        version: Version,
        now: Timestamp,
    ) -> Self {
        Self {
            endpoint,
            routes,
            replies,
            incoming,
            version,
            now,
            outgoing: Vec::new(),
            items: Vec::new(),
            deletes_state: false,
            failure: None,
            sent: 0,
            ids: 0,
        }
    }

    /// Sends a message to every queue that is routed for its type. If the type has no route, the
    /// attempt fails, and the message waits until a route is added.
    pub fn send<M: Message>(&mut self, message: M) {
        self.send_after(Duration::ZERO, message);
    }

    /// Sends a message with a delay of at most 15 minutes, rounded up to whole seconds.
    pub fn send_after<M: Message>(&mut self, delay: Duration, message: M) {
        let routes = Arc::clone(&self.routes);
        match routes.get(M::TYPE) {
            Some(queues) => self.write(queues, delay, &message),
            None => self.fail(HandlerError::misconfigured(format!(
                "endpoint `{}` sent a `{}`, for which it has no route: add one with `route` when the endpoint is built",
                self.endpoint,
                M::TYPE
            ))),
        }
    }

    /// Sends a message to the queue that the incoming message names for replies. If it names none,
    /// the incoming message is rejected.
    ///
    /// The incoming message is also rejected if it has no claim and names a queue that is neither
    /// routed for `M` nor [allowed](crate::endpoint::EndpointBuilder::allow_replies_to). Any sender
    /// that the queue's policy admits can send such a message. It could otherwise choose any queue
    /// to which the endpoint's role may send. A message with a claim comes from an endpoint,
    /// because only a role with write access to the payload store can create a claim that is
    /// processed.
    pub fn reply<M: Message>(&mut self, message: M) {
        match self.incoming.replyto.clone() {
            Some(queue) if self.may_reply_to::<M>(&queue) => self.write(&[queue], Duration::ZERO, &message),
            Some(queue) => self.fail(HandlerError::reject(format!(
                "the handler sent a `{}` as a reply to message `{}`. That foreign message names queue `{queue}` for replies, and \
                 endpoint `{}` does not allow that queue. Add it with `allow_replies_to`, or route the type to it",
                M::TYPE,
                self.incoming.id,
                self.endpoint
            ))),
            None => self.fail(HandlerError::reject(format!(
                "the handler sent a `{}` as a reply to message `{}`, which names no queue for replies (`replyto`)",
                M::TYPE,
                self.incoming.id
            ))),
        }
    }

    /// Returns whether a reply of this type may go to this queue.
    ///
    /// SUBTLE: the claim decides, not `cloakroomformat`, because any sender can write that
    /// attribute (`foreign_message_that_poses_as_an_endpoint_cannot_choose_the_reply_queue`).
    fn may_reply_to<M: Message>(&self, queue: &str) -> bool {
        let is_routed = || self.routes.get(M::TYPE).is_some_and(|queues| queues.iter().any(|routed| routed == queue));
        self.incoming.dataref.is_some() || self.replies.allowed.contains(queue) || is_routed()
    }

    fn write<M: Message>(&mut self, queues: &[String], delay: Duration, message: &M) {
        let body = match serde_json::to_string(message) {
            Ok(body) => body,
            Err(error) => {
                return self.fail(HandlerError::reject(format!("a `{}` cannot be written as JSON: {error}", M::TYPE)));
            }
        };
        let delay_s = delay.as_millis().div_ceil(1000);
        let Some(delay_s) = u32::try_from(delay_s).ok().filter(|s| u64::from(*s) <= DELAY_S_MAX) else {
            return self.fail(HandlerError::reject(format!(
                "a `{}` was delayed by {delay_s} s; at most {DELAY_S_MAX} s are possible",
                M::TYPE
            )));
        };
        let partition = message.partition();
        if partition.as_str().is_empty() {
            return self.fail(HandlerError::reject(format!("a `{}` has an empty partition", M::TYPE)));
        }
        let envelope = self.envelope::<M>(partition);
        // One copy for each queue. Nearly always there is one queue.
        let copies = std::iter::repeat_n((envelope, body), queues.len());
        self.outgoing.extend(queues.iter().zip(copies).map(|(queue, (envelope, body))| Outgoing {
            queue: queue.clone(),
            envelope,
            delay_s,
            body: Some(body),
            group: Some(self.incoming.partition.to_string()),
            extensions: serde_json::Map::new(),
        }));
    }

    fn envelope<M: Message>(&mut self, partition: Partition) -> Envelope {
        let id = self.derived("message", self.sent);
        self.sent += 1;
        let mut envelope = Envelope {
            time: Some(self.now.to_string()),
            datacontenttype: Some("application/json".to_owned()),
            correlationid: Some(self.correlation_id().to_owned()),
            causationid: Some(self.incoming.id.clone()),
            replyto: Some(self.replies.queue.clone()),
            ..Envelope::new(MessageId::new(id.to_string()), self.endpoint.as_ref(), M::TYPE, partition)
        };
        trace::propagate(&self.incoming, &mut envelope);
        envelope.set_sequence(self.version.next());
        envelope
    }

    /// Writes an item of this partition, a struct or a map, under a sort key of the handler's
    /// choice.
    ///
    /// From then on the item belongs to the endpoint. If another endpoint with the same partition
    /// writes, deletes or checks the item, its message is parked, unless both endpoints
    /// [share](Self::shared) the item.
    pub fn put(&mut self, sort_key: impl Into<String>, item: &impl serde::Serialize, condition: Condition) {
        self.put_as(Sharing::Owned, sort_key.into(), item, condition);
    }

    /// Deletes an item of this partition.
    pub fn delete(&mut self, sort_key: impl Into<String>, condition: Condition) {
        self.item(Sharing::Owned, sort_key.into(), ItemAction::Delete, condition);
    }

    /// Requires a condition on an item of this partition, without a change of the item.
    pub fn check(&mut self, sort_key: impl Into<String>, condition: Condition) {
        self.item(Sharing::Owned, sort_key.into(), ItemAction::Check, condition);
    }

    /// Returns an access to items that several endpoints write. All of these endpoints must use it
    /// for the item. The last endpoint to write wins, within the conditions of the writes.
    ///
    /// ```
    /// # use cloakroom::{Condition, Tx};
    /// # fn handler(tx: &mut Tx) {
    /// tx.shared().put("address", &std::collections::BTreeMap::from([("city", "Bern")]), Condition::Any);
    /// # }
    /// ```
    pub const fn shared(&mut self) -> Shared<'_> {
        Shared { tx: self }
    }

    fn put_as(&mut self, sharing: Sharing, sort_key: String, item: &impl serde::Serialize, condition: Condition) {
        match to_item(&format!("item `{sort_key}`"), item) {
            Ok(item) => self.item(sharing, sort_key, ItemAction::Put(item), condition),
            Err(error) => self.fail(error),
        }
    }

    fn item(&mut self, sharing: Sharing, sort_key: String, action: ItemAction, condition: Condition) {
        if sort_key.is_empty() || RESERVED_SORT_KEYS.iter().any(|reserved| sort_key.starts_with(reserved)) {
            return self.fail(HandlerError::reject(format!(
                "an item cannot have the sort key `{sort_key}`: it is empty, or has a prefix that Cloakroom reserves"
            )));
        }
        if self.items.iter().any(|item| item.sort_key == sort_key) {
            return self.fail(HandlerError::reject(format!(
                "item `{sort_key}` is written twice by one message: a transaction accepts each item once"
            )));
        }
        self.items.push(ItemWrite { sort_key, action, condition, sharing });
    }

    /// Deletes the state of the entity. Its version is kept in a tombstone. The handler's changes
    /// of the state are dropped.
    pub const fn delete_state(&mut self) {
        self.deletes_state = true;
    }

    fn fail(&mut self, error: HandlerError) {
        self.failure.get_or_insert(error);
    }

    /// Returns the partition of the entity.
    pub fn partition(&self) -> &Partition {
        &self.incoming.partition
    }

    /// Returns the id of the incoming message.
    pub fn message_id(&self) -> &MessageId {
        &self.incoming.id
    }

    /// Returns the envelope of the incoming message.
    pub fn incoming(&self) -> &Envelope {
        &self.incoming
    }

    /// Returns the correlation id. It is the id of the first message of a conversation, and all
    /// messages that follow from it have it.
    pub fn correlation_id(&self) -> &str {
        self.incoming.correlationid.as_deref().unwrap_or_else(|| self.incoming.id.as_str())
    }

    /// Returns the version of the state that was read. [`Version::ABSENT`] for a new entity.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// Returns the time when this attempt began. It stays the same during the attempt.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// Returns a new id. The n-th id is the same in every attempt at this message.
    pub fn new_id(&mut self) -> Uuid {
        let id = self.derived("id", self.ids);
        self.ids += 1;
        id
    }

    fn derived(&self, purpose: &str, number: u32) -> Uuid {
        derived_id(&[
            &self.endpoint,
            self.incoming.partition.as_str(),
            self.incoming.identity().as_str(),
            purpose,
            &number.to_string(),
        ])
    }
}

/// Access to items that an endpoint shares with other endpoints. See [`Tx::shared`].
#[derive(Debug)]
pub struct Shared<'t> {
    tx: &'t mut Tx,
}

impl Shared<'_> {
    /// Writes a shared item, like [`Tx::put`].
    pub fn put(&mut self, sort_key: impl Into<String>, item: &impl serde::Serialize, condition: Condition) {
        self.tx.put_as(Sharing::Shared, sort_key.into(), item, condition);
    }

    /// Deletes a shared item.
    pub fn delete(&mut self, sort_key: impl Into<String>, condition: Condition) {
        self.tx.item(Sharing::Shared, sort_key.into(), ItemAction::Delete, condition);
    }

    /// Requires a condition on a shared item, without a change of the item.
    pub fn check(&mut self, sort_key: impl Into<String>, condition: Condition) {
        self.tx.item(Sharing::Shared, sort_key.into(), ItemAction::Check, condition);
    }
}
