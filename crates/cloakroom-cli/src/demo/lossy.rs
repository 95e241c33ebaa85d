//! Losses between a worker and its ports. AWS's own faults are met by the SDK first, which hides most of them by trying
//! again; these are met by the engine.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cloakroom::PortError;
use cloakroom_sim::wire::{Call, Operation, Wire};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct LossySettings {
    /// The share of calls that meet a loss of each kind.
    pub(crate) rate: f64,
    /// A late call takes place after up to this time.
    pub(crate) late_ms_max: u64,
    pub(crate) seed: u64,
}

/// What may befall a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Loss {
    /// It happened, and the answer is lost.
    Unanswered,
    /// It did not happen, and the caller is told.
    Refused,
    /// It did not happen, and the caller cannot know.
    Vanished,
    /// It happens when the caller has given it up.
    Late,
}

impl Loss {
    pub(crate) const ALL: [Self; 4] = [Self::Unanswered, Self::Refused, Self::Vanished, Self::Late];
}

/// How many calls met which loss, by service and operation.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Losses(BTreeMap<String, BTreeMap<String, BTreeMap<Loss, u64>>>);

impl Losses {
    fn count(&mut self, operation: Operation, loss: Loss, count: u64) {
        self.add(service(operation), &format!("{operation:?}"), loss, count);
    }

    fn add(&mut self, service: &str, operation: &str, loss: Loss, count: u64) {
        let operations = self.0.entry(service.to_owned()).or_default();
        *operations.entry(operation.to_owned()).or_default().entry(loss).or_default() += count;
    }

    /// The sum of both.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        for (service, operations) in &other.0 {
            for (operation, losses) in operations {
                losses.iter().for_each(|(loss, count)| sum.add(service, operation, *loss, *count));
            }
        }
        sum
    }

    /// By service: how many calls met each kind of loss.
    pub(crate) fn by_service(&self) -> impl Iterator<Item = (&str, [u64; Loss::ALL.len()])> {
        self.0.iter().map(|(service, operations)| {
            let of = |loss| operations.values().filter_map(|losses| losses.get(&loss)).sum();
            (service.as_str(), Loss::ALL.map(of))
        })
    }
}

const fn service(operation: Operation) -> &'static str {
    match operation {
        Operation::ReadState
        | Operation::HasRecords
        | Operation::ReadRecord
        | Operation::Commit
        | Operation::StoreClaims
        | Operation::Retain
        | Operation::Clear => "DynamoDB",
        Operation::CheckIn
        | Operation::ReadPayload
        | Operation::DeletePayload
        | Operation::HasEntry
        | Operation::PutEntry => "S3",
        Operation::OpenQueue | Operation::Send | Operation::Receive | Operation::Acknowledge | Operation::Extend => {
            "SQS"
        }
    }
}

/// A wire on which calls are lost.
#[derive(Debug)]
pub(crate) struct Lossy {
    settings: LossySettings,
    dice: Mutex<(fastrand::Rng, Losses)>,
}

impl Lossy {
    pub(crate) fn new(settings: &LossySettings) -> Arc<Self> {
        let dice = (fastrand::Rng::with_seed(settings.seed), Losses::default());
        Arc::new(Self { settings: settings.clone(), dice: Mutex::new(dice) })
    }

    /// What was lost so far.
    pub(crate) fn losses(&self) -> Losses {
        self.dice().1.clone()
    }

    fn dice(&self) -> MutexGuard<'_, (fastrand::Rng, Losses)> {
        self.dice.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The loss that a call meets, if any, and how late it is if it is late.
    fn draw(&self) -> Option<(Loss, Duration)> {
        let (random, _) = &mut *self.dice();
        let late = Duration::from_millis(random.u64(0..=self.settings.late_ms_max));
        let at = random.f64();
        let mut losses = Loss::ALL.into_iter().zip(1_u32..);
        let (loss, _) = losses.find(|(_, number)| at < self.settings.rate * f64::from(*number))?;
        Some((loss, late))
    }
}

impl Wire for Lossy {
    async fn carry<T: std::fmt::Debug + Send + 'static>(
        self: Arc<Self>,
        call: Call,
        effect: impl Future<Output = Result<T, PortError>> + Send + 'static,
    ) -> Result<T, PortError> {
        let Some((loss, late)) = self.draw() else { return effect.await };
        let mut happened = true;
        match loss {
            Loss::Unanswered => happened = effect.await.is_ok(),
            Loss::Refused | Loss::Vanished => drop(effect),
            Loss::Late => {
                tokio::spawn(async move {
                    tokio::time::sleep(late).await;
                    let _ = effect.await;
                });
            }
        }
        self.dice().1.count(call.operation, loss, u64::from(happened));
        let error = PortError::new(call.to_string(), format!("a loss was injected: {loss:?}"));
        Err(if loss == Loss::Refused { error.without_effect() } else { error })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(rate: f64) -> Arc<Lossy> {
        Lossy::new(&LossySettings { rate, late_ms_max: 0, seed: 1 })
    }

    fn commit() -> Call {
        Call { operation: Operation::Commit, subject: "it".to_owned() }
    }

    #[test]
    fn nothing_is_lost_without_a_rate() {
        let wire = wire(0.0);
        assert!((0..1_000).all(|_| wire.draw().is_none()));
    }

    #[tokio::test]
    async fn a_loss_tells_of_the_effect_what_its_caller_may_know() {
        let wire = wire(0.25);
        let mut seen = BTreeMap::new();
        for _ in 0..100 {
            let (did, done) = tokio::sync::oneshot::channel();
            let effect = async move {
                let _ = did.send(());
                Ok(())
            };
            let error = Arc::clone(&wire).carry(commit(), effect).await.expect_err("every call is lost");
            let happens = done.await.is_ok();
            seen.insert((error.may_have_happened(), happens), error.may_be_repeated());
        }
        let told: Vec<_> = seen.into_iter().collect();
        assert_eq!(told, [((false, false), true), ((true, false), true), ((true, true), true)]);
        let counted: u64 = wire.losses().by_service().map(|(_, losses)| losses.iter().sum::<u64>()).sum();
        assert_eq!(counted, 100);
    }
}
