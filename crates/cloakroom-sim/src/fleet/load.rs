//! The load: messages for entities, evenly or by Zipf's law. It is offered whether workers keep up
//! or not.

use std::{sync::Arc, time::Duration};

use cloakroom::{
    Message as _, MessageId, Timestamp,
    format::{Claim, Envelope},
    ports::Clock as _,
};

use crate::fleet::{
    config::Fleet,
    load_messages::Credit,
    offered::{HOTTEST, OfferedMessage},
    payloads::{self, Payloads},
    queue::Inbox,
    services::Services,
    shards::hash,
};

/// The step of virtual time at which messages are offered.
const TICK: Duration = Duration::from_millis(1);

/// Draws the entity of the next message.
enum Keys {
    Even(u64),
    /// The running sums of the entities' shares.
    Zipf(Vec<f64>),
}

impl Keys {
    fn new(entities: u64, skew: f64) -> Self {
        if skew == 0.0 {
            return Self::Even(entities);
        }
        let mut sum = 0.0;
        let mut add = |rank: u64| {
            sum += (rank as f64).powf(-skew);
            sum
        };
        Self::Zipf((1..=entities).map(&mut add).collect())
    }

    fn draw(&self, random: &mut fastrand::Rng) -> u64 {
        match self {
            Self::Even(entities) => random.u64(..entities),
            Self::Zipf(sums) => {
                let at = random.f64() * sums.last().copied().unwrap_or_default();
                sums.partition_point(|sum| *sum <= at).min(sums.len() - 1) as u64
            }
        }
    }
}

/// The producer of the load.
pub(crate) struct Load {
    pub(crate) services: Arc<Services>,
    pub(crate) payloads: Arc<Payloads>,
    pub(crate) inboxes: Vec<Arc<Inbox>>,
    pub(crate) is_fifo: bool,
    rate_per_ms: f64,
    keys: Keys,
    random: fastrand::Rng,
    /// When the next message is due, in milliseconds from the beginning.
    next_ms: f64,
    offered: u64,
}

impl Load {
    pub(crate) fn new(
        services: Arc<Services>,
        payloads: Arc<Payloads>,
        inboxes: Vec<Arc<Inbox>>,
        fleet: &Fleet,
    ) -> Self {
        Self {
            services,
            payloads,
            inboxes,
            is_fifo: fleet.is_fifo,
            rate_per_ms: fleet.rate_per_s / 1_000.0,
            keys: Keys::new(fleet.entities, fleet.skew),
            random: fastrand::Rng::with_seed(fleet.seed ^ 0x10ad),
            next_ms: 0.0,
            offered: 0,
        }
    }

    /// Offers messages during this time.
    pub(crate) async fn offer(&mut self, during: Duration) {
        let end = self.services.clock.now().after(during);
        while self.services.clock.now() < end {
            self.services.clock.sleep(TICK).await;
            self.offer_what_is_due();
            self.inboxes.iter().for_each(|inbox| inbox.tick());
        }
    }

    fn offer_what_is_due(&mut self) {
        let now = self.services.clock.now();
        let before = self.offered;
        while self.next_ms <= now.as_millis() as f64 {
            // Producers are independent of each other, so the pauses are exponential.
            self.next_ms -= (1.0 - self.random.f64()).ln() / self.rate_per_ms;
            self.offered += 1;
            self.offer_one(now);
        }
        self.services.offered(self.offered - before);
    }

    fn offer_one(&mut self, now: Timestamp) {
        let partition = format!("entity#{}", self.keys.draw(&mut self.random));
        let claim = Claim::from_random(self.random.u128(..), payloads::NAME);
        self.payloads.bring(claim.clone());
        let id = MessageId::new(format!("{:032x}", self.random.u128(..)));
        let mut envelope = Envelope::new(id, "load", Credit::TYPE, partition.as_str().into());
        envelope.dataref = Some(claim);
        envelope.time = Some(now.to_string());
        let message = OfferedMessage { offered_at: now, is_hottest: partition == HOTTEST };
        // A group belongs to one FIFO queue. Standard queues are used in turn.
        let turn = if self.is_fifo { hash(&partition) } else { self.offered };
        let inbox = (turn % self.inboxes.len() as u64) as usize;
        self.inboxes[inbox].put(message, envelope.encode(), partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_of_two_entities_gets_two_thirds_of_the_messages() {
        let mut random = fastrand::Rng::with_seed(1);
        let keys = Keys::new(2, 1.0);
        let first = (0..30_000).filter(|_| keys.draw(&mut random) == 0).count();
        assert!((19_500..20_500).contains(&first), "{first}");
    }
}
