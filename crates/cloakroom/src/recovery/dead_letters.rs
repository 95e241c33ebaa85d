//! Dead-letter queues: shows their messages, finishes committed ones, and puts the rest back.

use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::{
    engine::{context::Parking, intake, not_finished::Recovered, parking::ENDPOINT},
    error::{Error, within},
    format::{
        derived_id::derived_id,
        envelope::Envelope,
        lifetime::{PAYLOAD_TTL_MS, message_payload_may_have_expired},
    },
    ports::{bundle::Ports, queue::Delivery},
    recovery::{
        dead_letter::{DeadLetter, Fate, Treatment},
        one_endpoint::{MessageStatus, Recovery, RecoveryByEndpoint},
        walk::Walk,
    },
};

/// Treats the messages in the dead-letter queue of a work queue.
///
/// A run receives each message once and makes the remaining ones visible again at the end. This
/// increases their receive count, which has no effect in a dead-letter queue. During the run the
/// messages are in flight, so other receivers do not get them. If the process is killed, this lasts
/// up to five minutes. A run does not receive messages that are in flight elsewhere. In a FIFO
/// queue it receives the first ten messages of each group, and more of a group only after it
/// deletes some of them.
///
/// ```
/// use cloakroom::{memory::Memory, recovery::{DeadLetters, Treatment}};
///
/// let memory = Memory::with_queues(["stock"]);
/// let dead_letters = DeadLetters::new("stock-dead", "stock", memory.ports());
/// let is_all = memory.run(dead_letters.treat(Treatment::Finish, |dead_letter| println!("{:?}", dead_letter.fate)))?;
/// assert!(is_all, "the run received every message");
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

/// The progress of one run through a queue.
#[derive(Debug, Default)]
struct Progress {
    /// Messages that were put back. A worker may park them again at once.
    put_back: BTreeSet<(String, String)>,
    /// Groups with a message that could not be treated.
    stopped: BTreeSet<String>,
}

impl DeadLetters {
    /// Returns a treatment of the queue `dead`, the dead-letter queue of `work`.
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

    /// Sets the endpoint that receives from the work queue. Default: an endpoint with the queue's
    /// name.
    ///
    /// Without this setting, a message that carries only an id is not deleted unless it names the
    /// endpoint that parked it. Another endpoint may have processed it.
    #[must_use]
    pub fn endpoint(self, name: impl Into<String>) -> Self {
        Self { endpoint: Some(name.into()), ..self }
    }

    /// Sets whether parked messages with a [missing](MessageStatus::Missing) payload are deleted.
    /// Default: no.
    #[must_use]
    pub fn drops_missing(self, drops_missing: bool) -> Self {
        Self { drops_missing, ..self }
    }

    /// Sets the maximum number of received messages, 1 to 100 000. Default: 10 000.
    #[must_use]
    pub fn messages_max(self, messages_max: usize) -> Self {
        Self { messages_max, ..self }
    }

    /// Sets the guaranteed lifetime of a payload after it was written. An older message is neither
    /// finished nor put back, because its payload could expire first. Default: 28 days.
    #[must_use]
    pub fn payload_ttl(mut self, payload_ttl: Duration) -> Self {
        self.recoveries.payload_ttl_ms = u64::try_from(payload_ttl.as_millis()).unwrap_or(u64::MAX);
        self
    }

    /// Sets whether a run changes nothing and only reports the planned fate of each message.
    #[must_use]
    pub fn dry_run(self, dry_run: bool) -> Self {
        Self { dry_run, ..self }
    }

    /// Treats every message of the dead-letter queue, and reports each one when it is done.
    ///
    /// Returns `false` if there may be more messages, because the run reached its limit of messages
    /// or of time.
    ///
    /// # Errors
    /// The queue does not exist or could not be read. A failure with a single message is reported
    /// as its [`Fate`] and does not stop the run.
    pub async fn treat(&self, treatment: Treatment, mut report: impl FnMut(&DeadLetter)) -> Result<bool, Error> {
        let own = self.recoveries.of(self.own_endpoint())?;
        let walk = &self.walk(&own, &self.dead).await?;
        let progress = &Mutex::default();
        walk.each(|delivery| self.treat_one(walk, progress, treatment, delivery), |dead_letter| report(&dead_letter))
            .await
    }

    /// Moves messages from the work queue to the dead-letter queue, with a reason. Use it for a
    /// message that makes its workers crash before they can park it.
    ///
    /// The run also receives the messages for which `is_culprit` returns `false`, and makes them
    /// visible again. That increases their receive count, and SQS moves a message to the
    /// dead-letter queue when its receive count exceeds the maximum.
    ///
    /// # Errors
    /// A queue does not exist or could not be read.
    pub async fn park(
        &self,
        is_culprit: impl Fn(&Envelope) -> bool,
        reason: &str,
        mut report: impl FnMut(&DeadLetter),
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
            let dead_letter =
                DeadLetter { delivery, envelope, endpoint: self.own_endpoint().to_owned(), standing: None, fate };
            self.stays(dead_letter)
        };
        walk.each(park, |dead_letter| report(&dead_letter)).await
    }

    async fn walk<'a>(&self, recovery: &'a Recovery, queue: &str) -> Result<Walk<'a>, Error> {
        within("messages_max", self.messages_max as u64, 1, 100_000)?;
        let queue = recovery.context.queue(queue).await?;
        Ok(Walk { recovery, queue, messages_max: self.messages_max })
    }

    fn stays(&self, dead_letter: DeadLetter) -> (DeadLetter, bool) {
        let stays = self.dry_run || matches!(dead_letter.fate, Fate::Left | Fate::Failed(_));
        (dead_letter, stays)
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
        let mut dead_letter = DeadLetter { delivery, envelope, endpoint, standing: None, fate: Fate::Left };
        let group = dead_letter.delivery.group.clone().filter(|_| walk.is_fifo());
        let is_stopped = group.as_ref().is_some_and(|group| lock(progress).stopped.contains(group));
        if !is_stopped {
            let fate = self.fate(walk, progress, treatment, &mut dead_letter).await;
            dead_letter.fate = fate.unwrap_or_else(|error| Fate::Failed(error.to_string()));
        }
        if let (Fate::Failed(_), Some(group)) = (&dead_letter.fate, group) {
            lock(progress).stopped.insert(group);
        }
        self.stays(dead_letter)
    }

    /// Looks up a message and treats it.
    async fn fate(
        &self,
        walk: &Walk<'_>,
        progress: &Mutex<Progress>,
        treatment: Treatment,
        dead_letter: &mut DeadLetter,
    ) -> Result<Fate, Error> {
        let recovery = self.recoveries.of(&dead_letter.endpoint)?;
        let status = dead_letter.standing.insert(recovery.look(&dead_letter.delivery).await?).clone();
        let plan = self.plan(treatment, &status, dead_letter);
        if plan != Fate::PutBack {
            return self.apply(walk, &recovery, &dead_letter.delivery, plan).await;
        }
        // SUBTLE: a worker may park the message again during this run. (1) This run puts the
        // message back. (2) A worker parks it. (3) This run receives it again. If the run put it
        // back each time, it would not end (`redrive_during_a_running_worker_ends`).
        if !lock(progress).put_back.insert((dead_letter.endpoint.clone(), identity(dead_letter))) {
            return Ok(Fate::Left);
        }
        self.apply(walk, &recovery, &dead_letter.delivery, plan).await
    }

    /// Returns the planned fate of a message, or a failure if the plan could be wrong because of
    /// another endpoint.
    fn plan(&self, treatment: Treatment, status: &MessageStatus, dead_letter: &DeadLetter) -> Fate {
        let signature = dead_letter.delivery.attributes.get(ENDPOINT);
        let is_own = dead_letter.endpoint == self.own_endpoint();
        let has_claim = dead_letter.envelope.as_ref().is_some_and(|envelope| envelope.dataref.is_some());
        let plan = match (treatment, status) {
            (Treatment::Finish | Treatment::Redrive, MessageStatus::Missing) if self.drops_missing => Fate::Deleted,
            // A newer version of the endpoint may be able to read the message, and its identity
            // stays the same.
            (Treatment::Redrive, MessageStatus::Unreadable(_)) if signature.is_some() && is_own => Fate::PutBack,
            _ => treatment.plan(status),
        };
        // SUBTLE: the queue may belong to an endpoint other than the one that parked the message.
        // (1) This run puts the message into the queue. (2) An endpoint with a handler for it
        // processes it and deletes its payload. Then the message is lost for the endpoint that
        // parked it (`dead_letter_of_another_endpoint_is_not_redriven_to_this_queue`).
        if plan == Fate::PutBack && !is_own {
            let other = &dead_letter.endpoint;
            return Fate::Failed(format!(
                "endpoint `{other}` parked this message and may not receive from this queue; name the queue of \
                 `{other}`, or pass `--endpoint {other}`"
            ));
        }
        if plan == Fate::PutBack && self.is_outlived(dead_letter) {
            let reason = "the message is so old that its payload may expire before it is processed (`payload_ttl`); \
                          its receiver would then treat it as processed";
            return Fate::Failed(reason.to_owned());
        }
        // SUBTLE: several endpoints may know a message that carries only an id, and this endpoint
        // is a guess. If another endpoint is the intended one, deleting the message loses it
        // (`finish_with_a_guessed_endpoint_deletes_nothing`).
        let is_guess = !has_claim && signature.is_none() && self.endpoint.is_none();
        if is_guess && matches!(plan, Fate::Deleted | Fate::Finished) {
            let guess = self.own_endpoint();
            return Fate::Failed(format!(
                "endpoint `{guess}` has committed this message, but may not be its intended endpoint; if it is, pass \
                 `--endpoint {guess}`"
            ));
        }
        plan
    }

    fn is_outlived(&self, dead_letter: &DeadLetter) -> bool {
        let RecoveryByEndpoint { ports, payload_ttl_ms, .. } = &self.recoveries;
        let payload_ttl = Duration::from_millis(*payload_ttl_ms);
        dead_letter
            .envelope
            .as_ref()
            .is_some_and(|envelope| message_payload_may_have_expired(envelope, ports.clock.now(), payload_ttl))
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
        // Without a record, another worker has finished the message. The next run deletes it.
        if fate == Fate::Finished && recovery.finish(delivery).await? == Recovered::NotCommitted {
            return Ok(Fate::Left);
        }
        // SUBTLE: (1) send, (2) delete. If the process stops between them, there are two copies,
        // and one is found to be a duplicate. In the other order there would be no copy
        // (`redrive_that_stops_at_any_point_loses_no_message`).
        if fate == Fate::PutBack {
            recovery.put_back(delivery, &self.work).await?;
        }
        walk.delete(delivery).await?;
        Ok(fate)
    }

    /// Parks one message. It is sent before it is deleted, as in `apply`.
    async fn park_one(
        &self,
        walk: &Walk<'_>,
        own: &Recovery,
        delivery: &Delivery,
        reason: &str,
    ) -> Result<Fate, Error> {
        if !self.dry_run {
            // A guessed endpoint is not recorded, because a later run would trust it.
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

/// Returns an identity that stays the same when a message is put back and parked again.
///
/// SUBTLE: the queue assigns a new id each time the message is sent, so a plain message carries its
/// first id. An event that cannot be read carries no id, so its body identifies it. If two such
/// events have the same body, one waits for the next redrive
/// (`redrive_of_an_unreadable_event_during_a_running_worker_ends`).
fn identity(dead_letter: &DeadLetter) -> String {
    let Delivery { id, attributes, body, .. } = &dead_letter.delivery;
    match (&dead_letter.envelope, attributes.get(intake::ID)) {
        (Some(envelope), _) => envelope.identity().to_string(),
        (None, Some(first_id)) => first_id.clone(),
        (None, None) if intake::is_event(body) => derived_id(&[body]).to_string(),
        (None, None) => id.clone(),
    }
}
