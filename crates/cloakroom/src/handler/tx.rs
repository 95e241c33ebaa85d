//! What a handler can do besides changing its state.

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

/// Which queues take messages of a type.
pub(crate) type Routes = BTreeMap<&'static str, Vec<String>>;

/// Where replies go.
#[derive(Debug, Default)]
pub(crate) struct Replies {
    /// The queue that takes replies to what the endpoint sends.
    pub(crate) queue: String,
    /// The queues that foreign messages may name for replies, besides those that are routed for the type of the reply.
    pub(crate) allowed: BTreeSet<String>,
}

/// The transaction of one attempt: messages and items that become durable with the new state, or not at all.
///
/// Everything it hands out is the same in every attempt at the same message, but for [`Tx::version`]
/// and [`Tx::now`].
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
    /// The first thing that went wrong in a method that returns nothing; fails the attempt afterwards.
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

    /// Sends a message to every queue that is routed for its type.
    /// A type without a route fails the attempt, and the message waits until a route is added.
    pub fn send<M: Message>(&mut self, message: M) {
        self.send_after(Duration::ZERO, message);
    }

    /// Sends a message that its queue holds back for up to 15 minutes, rounded up to whole seconds.
    pub fn send_after<M: Message>(&mut self, delay: Duration, message: M) {
        let routes = Arc::clone(&self.routes);
        match routes.get(M::TYPE) {
            Some(queues) => self.write(queues, delay, &message),
            None => self.fail(HandlerError::misconfigured(format!(
                "endpoint `{}` sent a `{}`, for which it has no route: add one when it is built",
                self.endpoint,
                M::TYPE
            ))),
        }
    }

    /// Sends a message to the queue that the incoming message named for replies.
    /// If it named none, the attempt is rejected.
    ///
    /// The attempt is also rejected if the incoming message has no claim and names a queue that is neither routed for `M` nor
    /// [allowed](crate::endpoint::EndpointBuilder::allow_replies_to). Such a message may come from any sender that the queue's policy admits, and
    /// would choose among all queues that the endpoint's role may write to. A message with a claim comes from an endpoint:
    /// only a role that may write to the payload store can make one that is processed.
    pub fn reply<M: Message>(&mut self, message: M) {
        match self.incoming.replyto.clone() {
            Some(queue) if self.may_reply_to::<M>(&queue) => self.write(&[queue], Duration::ZERO, &message),
            Some(queue) => self.fail(HandlerError::reject(format!(
                "a `{}` was to be the reply to `{}`, a foreign message that names queue `{queue}` for replies: endpoint `{}` does \
                 not allow that queue. Name it with `allow_replies_to` when the endpoint is built, or route the type to it",
                M::TYPE,
                self.incoming.id,
                self.endpoint
            ))),
            None => self.fail(HandlerError::reject(format!(
                "a `{}` was to be the reply to `{}`, which names no queue for replies (`replyto`)",
                M::TYPE,
                self.incoming.id
            ))),
        }
    }

    /// SUBTLE: the claim decides, not `cloakroomformat`, which any sender can write
    /// (`foreign_message_that_poses_as_an_endpoint_cannot_choose_the_reply_queue`).
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
        // One for each queue; nearly always there is one.
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
        trace::pass_on(&self.incoming, &mut envelope);
        envelope.set_sequence(self.version.next());
        envelope
    }

    /// Writes an item of this partition, a struct or a map, under a sort key of the handler's own.
    ///
    /// The item belongs to the endpoint from then on. Another endpoint with the same partition that writes, deletes or checks
    /// it is refused, and its message parked, unless both [share](Self::shared) the item.
    pub fn put(&mut self, sort_key: impl Into<String>, item: &impl serde::Serialize, condition: Condition) {
        self.put_as(Sharing::Owned, sort_key.into(), item, condition);
    }

    /// Deletes an item of this partition.
    pub fn delete(&mut self, sort_key: impl Into<String>, condition: Condition) {
        self.item(Sharing::Owned, sort_key.into(), ItemAction::Delete, condition);
    }

    /// Demands something of an item of this partition, and leaves it as it is.
    pub fn check(&mut self, sort_key: impl Into<String>, condition: Condition) {
        self.item(Sharing::Owned, sort_key.into(), ItemAction::Check, condition);
    }

    /// Writes items that several endpoints write. Every one of them has to say so; then the last one to write wins, as
    /// far as conditions let it.
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
                "an item cannot have the sort key `{sort_key}`: it is empty, or begins like those of Cloakroom's own"
            )));
        }
        if self.items.iter().any(|item| item.sort_key == sort_key) {
            return self.fail(HandlerError::reject(format!(
                "item `{sort_key}` is written twice by one message: a transaction takes an item once"
            )));
        }
        self.items.push(ItemWrite { sort_key, action, condition, sharing });
    }

    /// Deletes the entity's state; its version lives on in a tombstone. What the handler leaves in the
    /// state is dropped.
    pub const fn delete_state(&mut self) {
        self.deletes_state = true;
    }

    fn fail(&mut self, error: HandlerError) {
        self.failure.get_or_insert(error);
    }

    /// The partition that is being changed.
    pub fn partition(&self) -> &Partition {
        &self.incoming.partition
    }

    /// The incoming message's id.
    pub fn message_id(&self) -> &MessageId {
        &self.incoming.id
    }

    /// The incoming message's envelope.
    pub fn incoming(&self) -> &Envelope {
        &self.incoming
    }

    /// What this message and all it causes share: the id of the first message of the conversation.
    pub fn correlation_id(&self) -> &str {
        self.incoming.correlationid.as_deref().unwrap_or_else(|| self.incoming.id.as_str())
    }

    /// The version of the state as it was read; [`Version::ABSENT`] for a new entity.
    pub const fn version(&self) -> Version {
        self.version
    }

    /// When this attempt began. The same however often the handler asks.
    pub const fn now(&self) -> Timestamp {
        self.now
    }

    /// A new id: the n-th one asked for is the same in every attempt at this message.
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

/// The items that an endpoint shares with others; see [`Tx::shared`].
#[derive(Debug)]
pub struct Shared<'t> {
    tx: &'t mut Tx,
}

impl Shared<'_> {
    /// Writes a shared item, as [`Tx::put`] writes an item of the endpoint's own.
    pub fn put(&mut self, sort_key: impl Into<String>, item: &impl serde::Serialize, condition: Condition) {
        self.tx.put_as(Sharing::Shared, sort_key.into(), item, condition);
    }

    /// Deletes a shared item.
    pub fn delete(&mut self, sort_key: impl Into<String>, condition: Condition) {
        self.tx.item(Sharing::Shared, sort_key.into(), ItemAction::Delete, condition);
    }

    /// Demands something of a shared item, and leaves it as it is.
    pub fn check(&mut self, sort_key: impl Into<String>, condition: Condition) {
        self.tx.item(Sharing::Shared, sort_key.into(), ItemAction::Check, condition);
    }
}
