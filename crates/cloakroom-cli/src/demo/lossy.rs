//! Losses of calls between a worker and its ports. The SDK retries most faults of AWS and hides
//! them. These losses are above the SDK, so the engine meets them.

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
    /// The share of calls to which each kind of loss happens.
    pub(crate) rate: f64,
    /// The longest delay of a late call, in milliseconds.
    pub(crate) late_ms_max: u64,
    pub(crate) seed: u64,
}

/// A kind of loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Loss {
    /// The call takes effect, and its response is lost.
    Unanswered,
    /// The call has no effect, and the error says so.
    Refused,
    /// The call has no effect, and the caller cannot know that.
    Vanished,
    /// The call takes effect after the caller has received an error.
    Late,
}

impl Loss {
    pub(crate) const ALL: [Self; 4] = [Self::Unanswered, Self::Refused, Self::Vanished, Self::Late];
}

/// The number of losses by service, operation and kind.
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

    /// Returns the sum of both.
    pub(crate) fn and(&self, other: &Self) -> Self {
        let mut sum = self.clone();
        for (service, operations) in &other.0 {
            for (operation, losses) in operations {
                losses.iter().for_each(|(loss, count)| sum.add(service, operation, *loss, *count));
            }
        }
        sum
    }

    /// Returns the number of losses of each kind, in the order of [`Loss::ALL`], by service.
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
        | Operation::Clear
        | Operation::ReadFailures
        | Operation::WriteFailures => "DynamoDB",
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
    state: Mutex<(fastrand::Rng, Losses)>,
}

impl Lossy {
    pub(crate) fn new(settings: &LossySettings) -> Arc<Self> {
        let state = (fastrand::Rng::with_seed(settings.seed), Losses::default());
        Arc::new(Self { settings: settings.clone(), state: Mutex::new(state) })
    }

    /// Returns the losses so far.
    pub(crate) fn losses(&self) -> Losses {
        self.state().1.clone()
    }

    fn state(&self) -> MutexGuard<'_, (fastrand::Rng, Losses)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Draws the loss of a call, if any, and the delay, which only a late call uses.
    fn draw(&self) -> Option<(Loss, Duration)> {
        let (random, _) = &mut *self.state();
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
        self.state().1.count(call.operation, loss, u64::from(happened));
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
        Call { operation: Operation::Commit, subject: "a partition".to_owned() }
    }

    #[test]
    fn wire_with_rate_zero_loses_no_call() {
        let wire = wire(0.0);
        assert!((0..1_000).all(|_| wire.draw().is_none()));
    }

    #[tokio::test]
    async fn error_of_a_lost_call_states_whether_the_call_may_have_taken_effect() {
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
        let outcomes: Vec<_> = seen.into_iter().collect();
        assert_eq!(outcomes, [((false, false), true), ((true, false), true), ((true, true), true)]);
        let counted: u64 = wire.losses().by_service().map(|(_, losses)| losses.iter().sum::<u64>()).sum();
        assert_eq!(counted, 100);
    }
}
