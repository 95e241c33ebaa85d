//! The load: messages for entities, evenly or by Zipf's law, offered whether there is anybody to take them or not.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use cloakroom::{
    Endpoint, EndpointSettings, Error, Handled, Message, MessageId, Partition, Ports, Timestamp, Tx,
    format::{Claim, Envelope},
    observe::Observer,
    ports::Clock as _,
};
use serde::{Deserialize, Serialize};

use super::{
    cloud::Cloud,
    payloads::{self, Payloads},
    queue::Inbox,
    shards::hash,
};

/// The partition of the hottest entity: the first by Zipf's law, one among all others if they are alike.
pub(crate) const HOTTEST: &str = "entity#0";
/// Virtual time goes in such steps.
const TICK: Duration = Duration::from_millis(1);

/// What is known of a message besides what is in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Request {
    pub(crate) offered: Timestamp,
    pub(crate) is_hottest: bool,
}

#[derive(Debug, Default, Serialize, Deserialize)]
struct Account {
    total: u64,
    messages: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct Deposit {
    amount: u64,
    /// Makes the payload as large as it is to be.
    filler: String,
}

impl Message for Deposit {
    const TYPE: &'static str = "fleet.deposit";

    /// Envelopes tell it: all payloads are the same.
    fn partition(&self) -> Partition {
        HOTTEST.into()
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Deposited {
    amount: u64,
    filler: String,
}

impl Message for Deposited {
    const TYPE: &'static str = "fleet.deposited";

    fn partition(&self) -> Partition {
        "book#1".into()
    }
}

async fn deposit(account: &mut Account, Deposit { amount, filler }: Deposit, tx: &mut Tx) -> Handled {
    account.total += amount;
    account.messages += 1;
    tx.send(Deposited { amount, filler });
    Ok(())
}

/// The service: one message in, one of the same size out.
pub(crate) fn endpoint(
    ports: Ports,
    settings: EndpointSettings,
    observer: Arc<dyn Observer>,
) -> Result<Endpoint, Error> {
    Endpoint::builder("fleet").on(deposit).route::<Deposited>("book").settings(settings).observer(observer).build(ports)
}

/// The smallest payload there can be.
pub(crate) const PAYLOAD_BYTES_MIN: usize = r#"{"amount":1,"filler":""}"#.len();

/// The payload of every message.
pub(crate) fn payload(bytes: usize) -> Bytes {
    let filler = "x".repeat(bytes.saturating_sub(PAYLOAD_BYTES_MIN));
    Bytes::from(format!(r#"{{"amount":1,"filler":"{filler}"}}"#))
}

/// Which entity comes next.
enum Keys {
    Even(u64),
    /// The sums of their shares.
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

    fn draw(&self, dice: &mut fastrand::Rng) -> u64 {
        match self {
            Self::Even(entities) => dice.u64(..entities),
            Self::Zipf(sums) => {
                let at = dice.f64() * sums.last().copied().unwrap_or_default();
                sums.partition_point(|sum| *sum <= at).min(sums.len() - 1) as u64
            }
        }
    }
}

/// Who offers.
pub(crate) struct Load {
    pub(crate) cloud: Arc<Cloud>,
    pub(crate) payloads: Arc<Payloads>,
    pub(crate) inboxes: Vec<Arc<Inbox>>,
    pub(crate) is_fifo: bool,
    rate_per_ms: f64,
    keys: Keys,
    dice: fastrand::Rng,
    /// When the next message comes, in milliseconds from the beginning.
    next_ms: f64,
    offered: u64,
}

impl Load {
    pub(crate) fn new(
        cloud: Arc<Cloud>,
        payloads: Arc<Payloads>,
        inboxes: Vec<Arc<Inbox>>,
        fleet: &super::Fleet,
    ) -> Self {
        Self {
            cloud,
            payloads,
            inboxes,
            is_fifo: fleet.is_fifo,
            rate_per_ms: fleet.rate_per_s / 1_000.0,
            keys: Keys::new(fleet.entities, fleet.skew),
            dice: fastrand::Rng::with_seed(fleet.seed ^ 0x10ad),
            next_ms: 0.0,
            offered: 0,
        }
    }

    /// Offers for so long.
    pub(crate) async fn offer(&mut self, during: Duration) {
        let end = self.cloud.clock.now().after(during);
        while self.cloud.clock.now() < end {
            self.cloud.clock.sleep(TICK).await;
            self.offer_what_is_due();
            self.inboxes.iter().for_each(|inbox| inbox.tick());
        }
    }

    fn offer_what_is_due(&mut self) {
        let now = self.cloud.clock.now();
        let before = self.offered;
        while self.next_ms <= now.as_millis() as f64 {
            // Whoever sends does not wait for others who do: the pauses are exponential.
            self.next_ms -= (1.0 - self.dice.f64()).ln() / self.rate_per_ms;
            self.offered += 1;
            self.offer_one(now);
        }
        self.cloud.offered(self.offered - before);
    }

    fn offer_one(&mut self, now: Timestamp) {
        let partition = format!("entity#{}", self.keys.draw(&mut self.dice));
        let claim = Claim::from_random(self.dice.u128(..), payloads::NAME);
        self.payloads.bring(claim.clone());
        let id = MessageId::new(format!("{:032x}", self.dice.u128(..)));
        let mut envelope = Envelope::new(id, "load", Deposit::TYPE, partition.as_str().into());
        envelope.dataref = Some(claim);
        envelope.time = Some(now.to_string());
        let request = Request { offered: now, is_hottest: partition == HOTTEST };
        // A group is in one FIFO queue; standard queues take turns.
        let turn = if self.is_fifo { hash(&partition) } else { self.offered };
        let inbox = (turn % self.inboxes.len() as u64) as usize;
        self.inboxes[inbox].put(request, envelope.encode(), partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_two_entities_has_two_thirds() {
        let mut dice = fastrand::Rng::with_seed(1);
        let keys = Keys::new(2, 1.0);
        let first = (0..30_000).filter(|_| keys.draw(&mut dice) == 0).count();
        assert!((19_500..20_500).contains(&first), "{first}");
    }

    #[test]
    fn a_payload_is_as_large_as_it_is_to_be() {
        assert_eq!([PAYLOAD_BYTES_MIN, 1_000].map(|bytes| payload(bytes).len()), [PAYLOAD_BYTES_MIN, 1_000]);
    }
}
