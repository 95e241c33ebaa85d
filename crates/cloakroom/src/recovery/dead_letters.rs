//! Dead-letter queues: what is in them, finishing what was committed, putting back what was not.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    engine::{
        context::Parking,
        intake,
        not_finished::Recovered,
        parking::{ENDPOINT, REASON},
    },
    error::{Error, within},
    format::{
        derived_id::derived_id,
        envelope::Envelope,
        lifetime::{PAYLOAD_TTL_MS, message_is_outlived},
    },
    ports::{bundle::Ports, queue::Delivery},
    recovery::{
        one_endpoint::{MessageStatus, Recovery, RecoveryByEndpoint},
        walk::Walk,
    },
};

/// What to do with the messages of a dead-letter queue. None of them is ever lost: what is deleted there was finished, or was put
/// back before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// Leave everything as it is.
    Look,
    /// Finish what is committed, and delete what is done. The rest is left.
    Finish,
    /// The same; and what is not processed is put back into its queue.
    Redrive,
}

impl Treatment {
    /// What is to become of a message.
    pub const fn plan(self, standing: &MessageStatus) -> Fate {
        match (self, standing) {
            (Self::Look, _) | (_, MessageStatus::Missing | MessageStatus::Unreadable(_)) => Fate::Left,
            (_, MessageStatus::Committed) => Fate::Finished,
            (_, MessageStatus::Processed) => Fate::Deleted,
            (Self::Finish, MessageStatus::NotProcessed) => Fate::Left,
            (Self::Redrive, MessageStatus::NotProcessed) => Fate::PutBack,
        }
    }
}

/// What becomes of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stays.
    Left,
    /// It was finished, and is deleted.
    Finished,
    /// It was done before, and is deleted.
    Deleted,
    /// It is in its queue again.
    PutBack,
    /// It is in the dead-letter queue.
    Parked,
    /// It stays, for this reason.
    Failed(String),
}

/// A message that was received, and treated.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// As it was received.
    pub delivery: Delivery,
    /// Its envelope, if it has one that can be read.
    pub envelope: Option<Envelope>,
    /// The endpoint that it belongs to, as far as is known.
    pub endpoint: String,
    /// What is known of it; none if it was not looked up, or that has failed.
    pub standing: Option<MessageStatus>,
    /// What became of it; in a dry run, what would have.
    pub fate: Fate,
}

impl DeadLetter {
    /// Why it was parked; none if its queue has moved it, after too many receives.
    pub fn reason(&self) -> Option<&str> {
        self.delivery.attributes.get(REASON).map(String::as_str)
    }
}

/// Goes through the dead-letter queue of a queue.
///
/// Each message is received, and what stays is given back at the end. That is seen in its receive count, on which nothing
/// depends in a dead-letter queue. Until then nobody else sees it; if the process is killed, for up to five minutes. So what somebody else
/// holds is not seen. Of a FIFO queue only the first ten messages of each group are seen, unless they are deleted.
///
/// ```
/// use cloakroom::{memory::Memory, recovery::{DeadLetters, Treatment}};
///
/// let memory = Memory::with_queues(["stock"]);
/// let letters = DeadLetters::new("stock-dead", "stock", memory.ports());
/// let is_all = memory.run(letters.treat(Treatment::Finish, |letter| println!("{:?}", letter.fate)))?;
/// assert!(is_all, "nothing is left to be received");
/// # Ok::<(), cloakroom::Error>(())
/// ```
#[derive(Debug)]
pub struct DeadLetters {
    dead: String,
    work: String,
    endpoint: Option<String>,
    messages_max: usize,
    drops_missing: bool,
    dry_run: bool,
    recoveries: RecoveryByEndpoint,
}

/// What has happened on one way through a queue.
#[derive(Debug, Default)]
struct Progress {
    /// Messages that were put back. Their worker may park them again at once.
    put_back: BTreeSet<(String, String)>,
    /// Groups of which a message could not be treated.
    stopped: BTreeSet<String>,
}

impl DeadLetters {
    /// The queue `dead`, which takes dead letters of the queue `work`.
    pub fn new(dead: impl Into<String>, work: impl Into<String>, ports: Ports) -> Self {
        Self {
            dead: dead.into(),
            work: work.into(),
            endpoint: None,
            messages_max: 10_000,
            drops_missing: false,
            dry_run: false,
            recoveries: RecoveryByEndpoint::new(ports, PAYLOAD_TTL_MS),
        }
    }

    /// The endpoint that takes messages from the work queue. If it is not said, one that is called as the queue is, is taken for
    /// it, and messages that carry only an id and do not say who parked them are not deleted: another endpoint may have processed them.
    #[must_use]
    pub fn endpoint(self, name: impl Into<String>) -> Self {
        Self { endpoint: Some(name.into()), ..self }
    }

    /// Delete parked messages whose payload is [missing](MessageStatus::Missing), too. Default: no.
    #[must_use]
    pub fn drops_missing(self, drops_missing: bool) -> Self {
        Self { drops_missing, ..self }
    }

    /// How many messages are received at most; 1 to 100 000. Default: 10 000.
    #[must_use]
    pub fn messages_max(self, messages_max: usize) -> Self {
        Self { messages_max, ..self }
    }

    /// For how long payloads are certain to live after they were written. An older message is neither finished nor put back: it could
    /// be lost on the way. Default: 28 days.
    #[must_use]
    pub fn payload_ttl(mut self, payload_ttl: Duration) -> Self {
        self.recoveries.payload_ttl_ms = u64::try_from(payload_ttl.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Change nothing, and tell what would become of each message.
    #[must_use]
    pub fn dry_run(self, dry_run: bool) -> Self {
        Self { dry_run, ..self }
    }

    /// Treats every dead letter, and tells each when it is done. False if there may be more: the limit was reached, or it took too long.
    ///
    /// # Errors
    /// The queue does not exist or could not be read. What could not be done to a single message is its [`Fate`], and does
    /// not stop the rest.
    pub async fn treat(&self, treatment: Treatment, mut tell: impl FnMut(&DeadLetter)) -> Result<bool, Error> {
        let own = self.recoveries.of(self.own_endpoint())?;
        let walk = &self.walk(&own, &self.dead).await?;
        let progress = &Mutex::default();
        walk.each(|delivery| self.treat_one(walk, progress, treatment, delivery), |letter| tell(&letter)).await
    }

    /// Moves messages from the work queue to the dead-letter queue, with a reason: such as one that makes its workers crash before
    /// they can park it. Messages that are no culprits are received, too, and given back: that counts as a receive, of which SQS allows a
    /// message only so many.
    ///
    /// # Errors
    /// A queue does not exist or could not be read.
    pub async fn park(
        &self,
        is_culprit: impl Fn(&Envelope) -> bool,
        reason: &str,
        mut tell: impl FnMut(&DeadLetter),
    ) -> Result<bool, Error> {
        let own = &self.recoveries.of(self.own_endpoint())?;
        let walk = &self.walk(own, &self.work).await?;
        let is_culprit = &is_culprit;
        let park = async |delivery: Delivery| {
            let envelope = Envelope::decode(&delivery.body).ok();
            let fate = match &envelope {
                Some(envelope) if is_culprit(envelope) => self.park_one(walk, own, &delivery, reason).await,
                Some(_) | None => Ok(Fate::Left),
            };
            let fate = fate.unwrap_or_else(|error| Fate::Failed(error.to_string()));
            let letter =
                DeadLetter { delivery, envelope, endpoint: self.own_endpoint().to_owned(), standing: None, fate };
            self.stays(letter)
        };
        walk.each(park, |letter| tell(&letter)).await
    }

    async fn walk<'a>(&self, recovery: &'a Recovery, queue: &str) -> Result<Walk<'a>, Error> {
        within("messages_max", self.messages_max as u64, 1, 100_000)?;
        let queue = recovery.context.queue(queue).await?;
        Ok(Walk { recovery, queue, messages_max: self.messages_max })
    }

    fn stays(&self, letter: DeadLetter) -> (DeadLetter, bool) {
        let stays = self.dry_run || matches!(letter.fate, Fate::Left | Fate::Failed(_));
        (letter, stays)
    }

    fn own_endpoint(&self) -> &str {
        let guess = || self.work.strip_suffix(".fifo").unwrap_or(&self.work);
        self.endpoint.as_deref().unwrap_or_else(guess)
    }

    async fn treat_one(
        &self,
        walk: &Walk<'_>,
        progress: &Mutex<Progress>,
        treatment: Treatment,
        delivery: Delivery,
    ) -> (DeadLetter, bool) {
        let envelope = Envelope::decode(&delivery.body).ok();
        let endpoint = delivery.attributes.get(ENDPOINT).map_or(self.own_endpoint(), String::as_str).to_owned();
        let mut letter = DeadLetter { delivery, envelope, endpoint, standing: None, fate: Fate::Left };
        let group = letter.delivery.group.clone().filter(|_| walk.is_fifo());
        let is_stopped = group.as_ref().is_some_and(|group| lock(progress).stopped.contains(group));
        if !is_stopped {
            let fate = self.fate(walk, progress, treatment, &mut letter).await;
            letter.fate = fate.unwrap_or_else(|error| Fate::Failed(error.to_string()));
        }
        if let (Fate::Failed(_), Some(group)) = (&letter.fate, group) {
            lock(progress).stopped.insert(group);
        }
        self.stays(letter)
    }

    /// Looks a message up, and treats it.
    async fn fate(
        &self,
        walk: &Walk<'_>,
        progress: &Mutex<Progress>,
        treatment: Treatment,
        letter: &mut DeadLetter,
    ) -> Result<Fate, Error> {
        let recovery = self.recoveries.of(&letter.endpoint)?;
        let standing = letter.standing.insert(recovery.look(&letter.delivery).await?).clone();
        let plan = self.plan(treatment, &standing, letter);
        if plan != Fate::PutBack {
            return self.apply(walk, &recovery, &letter.delivery, plan).await;
        }
        // SUBTLE: its worker may park it while this goes on. Put back again and again, it would be processed in circles
        // (`a_redrive_beside_a_live_worker_ends`).
        if !lock(progress).put_back.insert((letter.endpoint.clone(), identity(letter))) {
            return Ok(Fate::Left);
        }
        self.apply(walk, &recovery, &letter.delivery, plan).await
    }

    /// What is to become of a message, unless that could be wrong for another endpoint.
    fn plan(&self, treatment: Treatment, standing: &MessageStatus, letter: &DeadLetter) -> Fate {
        let signature = letter.delivery.attributes.get(ENDPOINT);
        let is_own = letter.endpoint == self.own_endpoint();
        let has_claim = letter.envelope.as_ref().is_some_and(|envelope| envelope.dataref.is_some());
        let plan = match (treatment, standing) {
            (Treatment::Finish | Treatment::Redrive, MessageStatus::Missing) if self.drops_missing => Fate::Deleted,
            // A newer version of the endpoint may be able to read it, and it keeps its identity.
            (Treatment::Redrive, MessageStatus::Unreadable(_)) if signature.is_some() && is_own => Fate::PutBack,
            _ => treatment.plan(standing),
        };
        // SUBTLE: another endpoint that has a handler for it would process it, and delete its payload
        // (`a_letter_of_another_endpoint_is_not_put_into_this_queue`).
        if plan == Fate::PutBack && !is_own {
            let other = &letter.endpoint;
            return Fate::Failed(format!(
                "`{other}` has parked it, whose queue this may not be: name that queue, or say `--endpoint {other}`"
            ));
        }
        if plan == Fate::PutBack && self.is_outlived(letter) {
            let reason = "it is so old that its payload may expire before it is processed (`payload_ttl`): its receiver would take it for \
                          processed";
            return Fate::Failed(reason.to_owned());
        }
        // SUBTLE: what carries only an id may be known to several endpoints, and this one is a guess
        // (`a_guessed_endpoint_deletes_nothing`).
        let is_guess = !has_claim && signature.is_none() && self.endpoint.is_none();
        if is_guess && matches!(plan, Fate::Deleted | Fate::Finished) {
            let guess = self.own_endpoint();
            return Fate::Failed(format!(
                "endpoint `{guess}` has committed it; if it is the one that was to, say `--endpoint {guess}`"
            ));
        }
        plan
    }

    fn is_outlived(&self, letter: &DeadLetter) -> bool {
        let RecoveryByEndpoint { ports, payload_ttl_ms, .. } = &self.recoveries;
        let payload_ttl = Duration::from_millis(*payload_ttl_ms);
        letter.envelope.as_ref().is_some_and(|envelope| message_is_outlived(envelope, ports.clock.now(), payload_ttl))
    }

    async fn apply(
        &self,
        walk: &Walk<'_>,
        recovery: &Recovery,
        delivery: &Delivery,
        fate: Fate,
    ) -> Result<Fate, Error> {
        if self.dry_run || matches!(fate, Fate::Left | Fate::Failed(_)) {
            return Ok(fate);
        }
        // Whoever finds no record any more was overtaken; the next time it is done.
        if fate == Fate::Finished && recovery.finish(delivery).await? == Recovered::NotCommitted {
            return Ok(Fate::Left);
        }
        // SUBTLE: sent before it is deleted. Whoever stops in between leaves two, of which one is a duplicate; the other way
        // round there would be none (`who_redrives_may_stop_anywhere`).
        if fate == Fate::PutBack {
            recovery.put_back(delivery, &self.work).await?;
        }
        walk.delete(delivery).await?;
        Ok(fate)
    }

    /// Sent before it is deleted, too.
    async fn park_one(
        &self,
        walk: &Walk<'_>,
        own: &Recovery,
        delivery: &Delivery,
        reason: &str,
    ) -> Result<Fate, Error> {
        if !self.dry_run {
            // A guess is not written down: it would be believed.
            Parking::of_operator(self.dead.clone(), self.endpoint.is_some())
                .park(&own.context, delivery, None, reason)
                .await?;
            walk.delete(delivery).await?;
        }
        Ok(Fate::Parked)
    }
}

fn lock(progress: &Mutex<Progress>) -> MutexGuard<'_, Progress> {
    progress.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What stays the same when a message is put back and parked again.
///
/// SUBTLE: the queue's id does not: each time that the message is sent it gets another one. A plain message carries its first id
/// along. An event that cannot be read carries nothing, so its body identifies it; of two such events with the same body one
/// waits for the next redrive (`redrive_of_unreadable_event_beside_a_live_worker_ends`).
fn identity(letter: &DeadLetter) -> String {
    let Delivery { id, attributes, body, .. } = &letter.delivery;
    match (&letter.envelope, attributes.get(intake::ID)) {
        (Some(envelope), _) => envelope.identity().to_string(),
        (None, Some(first_id)) => first_id.clone(),
        (None, None) if intake::is_event(body) => derived_id(&[body]).to_string(),
        (None, None) => id.clone(),
    }
}
