//! Dead-letter queues: what is in them, finishing what was committed, putting back what was not.

use super::{Recoveries, Recovery, Standing, walk::Walk};
use crate::{
    DeadLetter, Delivery, Envelope, Error, Ports,
    parking::{ENDPOINT, REASON},
    settings::within,
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
    pub const fn plan(self, standing: &Standing) -> Fate {
        match (self, standing) {
            (Self::Look, _) | (_, Standing::Missing | Standing::Unreadable(_)) => Fate::Left,
            (_, Standing::Committed) => Fate::Finished,
            (_, Standing::Done) => Fate::Deleted,
            (Self::Finish, Standing::NotProcessed) => Fate::Left,
            (Self::Redrive, Standing::NotProcessed) => Fate::PutBack,
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
    /// It stays, because something failed.
    Failed(String),
}

/// A message that was received, and treated.
#[derive(Clone, Debug)]
pub struct Letter {
    /// As it was received.
    pub delivery: Delivery,
    /// Its envelope, if it has one that can be read.
    pub envelope: Option<Envelope>,
    /// The endpoint that it belongs to, as far as is known.
    pub endpoint: String,
    /// What is known of it; none if it was not looked up, or that has failed.
    pub standing: Option<Standing>,
    /// What became of it; in a dry run, what would have.
    pub fate: Fate,
}

impl Letter {
    /// Why it was parked; none if its queue has moved it, after too many receives.
    pub fn reason(&self) -> Option<&str> {
        self.delivery.attributes.get(REASON).map(String::as_str)
    }
}

/// Goes through the dead-letter queue of a queue.
///
/// Each message is received, and what stays is given back at the end. That is seen in its receive count, on which nothing
/// depends in a dead-letter queue. Until then nobody else sees it; if the process is killed, for up to five minutes. Of a FIFO queue only
/// the first ten messages of each group are seen, unless they are deleted.
///
/// ```
/// use cloakroom::{memory::Memory, recovery::{DeadLetters, Treatment}};
///
/// let memory = Memory::new();
/// let letters = DeadLetters::new("stock-dead", "stock", memory.ports());
/// let is_all = memory.run(letters.treat(Treatment::Finish, |letter| println!("{:?}", letter.fate)))?;
/// assert!(is_all, "nothing is left to be received");
/// # Ok::<(), cloakroom::Error>(())
/// ```
#[derive(Debug)]
pub struct DeadLetters {
    dead: String,
    work: String,
    endpoint: String,
    messages_max: usize,
    dry_run: bool,
    recoveries: Recoveries,
}

impl DeadLetters {
    /// The queue `dead`, which takes dead letters of the queue `work`.
    pub fn new(dead: impl Into<String>, work: impl Into<String>, ports: Ports) -> Self {
        let work = work.into();
        Self {
            dead: dead.into(),
            endpoint: work.strip_suffix(".fifo").unwrap_or(&work).to_owned(),
            work,
            messages_max: 10_000,
            dry_run: false,
            recoveries: Recoveries::new(ports),
        }
    }

    /// The endpoint of messages that do not say who parked them. Default: one that is called as the queue is.
    #[must_use]
    pub fn endpoint(self, name: impl Into<String>) -> Self {
        Self { endpoint: name.into(), ..self }
    }

    /// How many messages are received at most; 1 to 100 000. Default: 10 000.
    #[must_use]
    pub fn messages_max(self, messages_max: usize) -> Self {
        Self { messages_max, ..self }
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
    pub async fn treat(&self, treatment: Treatment, mut tell: impl FnMut(&Letter)) -> Result<bool, Error> {
        let own = self.recoveries.of(&self.endpoint)?;
        let walk = &self.walk(&own, &self.dead).await?;
        walk.each(|delivery| self.treat_one(walk, treatment, delivery), |letter| tell(&letter)).await
    }

    /// Moves messages from the work queue to the dead-letter queue, with a reason: such as one that makes its workers crash before
    /// they can park it. Messages that are no culprits are received, too, and given back: that counts as a receive, of which SQS and endpoints
    /// allow a message only so many.
    ///
    /// # Errors
    /// A queue does not exist or could not be read.
    pub async fn park(
        &self,
        is_culprit: impl Fn(&Envelope) -> bool,
        reason: &str,
        mut tell: impl FnMut(&Letter),
    ) -> Result<bool, Error> {
        let own = &self.recoveries.of(&self.endpoint)?;
        let walk = &self.walk(own, &self.work).await?;
        let is_culprit = &is_culprit;
        let park = async |delivery: Delivery| {
            let envelope = Envelope::decode(&delivery.body).ok();
            let fate = match &envelope {
                Some(envelope) if is_culprit(envelope) => self.park_one(walk, own, &delivery, reason).await,
                Some(_) | None => Ok(Fate::Left),
            };
            let fate = fate.unwrap_or_else(|error| Fate::Failed(error.to_string()));
            let letter = Letter { delivery, envelope, endpoint: self.endpoint.clone(), standing: None, fate };
            self.stays(letter)
        };
        walk.each(park, |letter| tell(&letter)).await
    }

    async fn walk<'a>(&self, recovery: &'a Recovery, queue: &str) -> Result<Walk<'a>, Error> {
        within("messages_max", self.messages_max as u64, 1, 100_000)?;
        let queue = recovery.inner.queue(queue).await?;
        Ok(Walk { recovery, queue, messages_max: self.messages_max })
    }

    fn stays(&self, letter: Letter) -> (Letter, bool) {
        let stays = self.dry_run || matches!(letter.fate, Fate::Left | Fate::Failed(_));
        (letter, stays)
    }

    async fn treat_one(&self, walk: &Walk<'_>, treatment: Treatment, delivery: Delivery) -> (Letter, bool) {
        let envelope = Envelope::decode(&delivery.body).ok();
        let endpoint = delivery.attributes.get(ENDPOINT).unwrap_or(&self.endpoint).clone();
        let mut standing = None;
        let fate = async {
            let recovery = self.recoveries.of(&endpoint)?;
            let standing = standing.insert(recovery.look(&delivery).await?);
            self.apply(walk, &recovery, &delivery, treatment.plan(standing)).await
        };
        let fate = fate.await.unwrap_or_else(|error| Fate::Failed(error.to_string()));
        self.stays(Letter { delivery, envelope, endpoint, standing, fate })
    }

    async fn apply(
        &self,
        walk: &Walk<'_>,
        recovery: &Recovery,
        delivery: &Delivery,
        fate: Fate,
    ) -> Result<Fate, Error> {
        if self.dry_run || fate == Fate::Left {
            return Ok(fate);
        }
        // Whoever finds no record any more was overtaken; the next time it is done.
        if fate == Fate::Finished && recovery.finish(delivery).await? == DeadLetter::Left {
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
            own.park(delivery, &self.dead, reason).await?;
            walk.delete(delivery).await?;
        }
        Ok(Fate::Parked)
    }
}
