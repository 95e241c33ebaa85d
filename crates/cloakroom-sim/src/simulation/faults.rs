//! Fault injection: which decisions are faults, and which kind. Each decision has a name and
//! follows from the seed and its name alone. So a fault can be suppressed without a change of the
//! others.
//!
//! The names of decisions and of random streams decide what a seed does. A change of a name changes
//! every seed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cloakroom::{Timestamp, memory::MemoryClock, ports::Clock as _};

use crate::wire::Operation;

/// A kind of fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A call did not take effect, and the caller knows that: throttling, a transaction conflict.
    Refused,
    /// A call did not take effect, and the caller cannot know that.
    Vanished,
    /// A call took effect, and the caller cannot know that.
    Unanswered,
    /// The caller gave up a call, which took effect much later.
    Late,
    /// A request took long.
    SlowRequest,
    /// A reply took long.
    SlowReply,
    /// A commit applied, and the store's client repeated it and got a conflict.
    CommitRepeated,
    /// An eventually consistent read returned the state of some commits ago.
    ReadLate,
    /// One message of a batch was not sent, and the sender knows that.
    EntryRefused,
    /// One message of a batch was sent, and the sender cannot know that.
    EntryUnanswered,
    /// A message was delivered a second time as if for the first time, perhaps long after its
    /// acknowledgement.
    Duplicated,
    /// A message was delayed, so that others overtook it.
    Delayed,
    /// A visibility timeout ended early: the message was received again while a worker was
    /// processing it.
    VisibilityEnded,
    /// A worker process stopped.
    Crashed,
    /// A worker process paused for a while, and then continued.
    Frozen,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Refused => "refused",
            Self::Vanished => "vanished",
            Self::Unanswered => "unanswered",
            Self::Late => "late",
            Self::SlowRequest => "slow request",
            Self::SlowReply => "slow reply",
            Self::CommitRepeated => "commit repeated",
            Self::ReadLate => "read late",
            Self::EntryRefused => "entry refused",
            Self::EntryUnanswered => "entry unanswered",
            Self::Duplicated => "duplicated",
            Self::Delayed => "delayed",
            Self::VisibilityEnded => "visibility ended",
            Self::Crashed => "crashed",
            Self::Frozen => "frozen",
        })
    }
}

/// The average rate of each kind of fault, as a share of the decisions where it can occur.
const RATES: [(Fault, f64); 13] = [
    (Fault::Refused, 0.03),
    (Fault::Vanished, 0.03),
    (Fault::Unanswered, 0.04),
    (Fault::Late, 0.03),
    (Fault::SlowRequest, 0.03),
    (Fault::SlowReply, 0.02),
    (Fault::CommitRepeated, 0.06),
    (Fault::ReadLate, 0.15),
    (Fault::EntryRefused, 0.04),
    (Fault::EntryUnanswered, 0.04),
    (Fault::Duplicated, 0.15),
    (Fault::Delayed, 0.1),
    (Fault::VisibilityEnded, 0.15),
];

/// The factors of the rates: from no faults to many.
const LEVELS: [f64; 6] = [0.0, 0.3, 0.7, 1.0, 1.5, 2.5];

/// The maximum number of polls between two faults of a worker process, at level 1.
const POLLS_MAX: f64 = 160.0;

/// The faults of one seed.
#[derive(Debug)]
pub(crate) struct FaultInjector {
    seed: u64,
    clock: Arc<MemoryClock>,
    /// When the faults end.
    pub(crate) until: Timestamp,
    level: f64,
    rates: BTreeMap<Fault, f64>,
    /// If set, only these decisions may be faults.
    allowed: Option<BTreeSet<String>>,
    drawn: Mutex<Drawn>,
}

#[derive(Debug, Default)]
struct Drawn {
    /// How often each kind of decision was made.
    taken: BTreeMap<String, u64>,
    /// The faults, by the names of their decisions.
    faults: Vec<(String, Fault)>,
}

/// A decision that is being made.
#[derive(Debug)]
pub(crate) struct Decision {
    name: String,
    random: fastrand::Rng,
}

impl Decision {
    /// Draws a duration. Each order of magnitude is equally likely.
    pub(crate) fn duration(&mut self, ms: RangeInclusive<u64>) -> Duration {
        let (shortest, longest) = ((*ms.start() as f64).ln(), (*ms.end() as f64).ln());
        Duration::from_secs_f64((shortest + (longest - shortest) * self.random.f64()).exp().round() / 1000.0)
    }

    pub(crate) fn number(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.random.u64(range)
    }
}

impl FaultInjector {
    pub(crate) fn new(seed: u64, clock: Arc<MemoryClock>, allowed: Option<BTreeSet<String>>) -> Self {
        let mut random = stream(seed, "weather");
        let level = random.choice(LEVELS).unwrap_or(1.0);
        // Each seed has its own mixture of faults.
        let rates = RATES.into_iter().map(|(fault, rate)| (fault, rate * level * 2.0 * random.f64())).collect();
        let until = clock.now().after(Duration::from_millis(random.u64(2_000..40_000)));
        Self { seed, clock, until, level, rates, allowed, drawn: Mutex::default() }
    }

    fn drawn(&self) -> MutexGuard<'_, Drawn> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns random numbers that follow from the seed and a name.
    pub(crate) fn stream(&self, name: &str) -> fastrand::Rng {
        stream(self.seed, name)
    }

    /// Whether faults may still occur.
    pub(crate) fn is_active(&self) -> bool {
        self.clock.now() < self.until
    }

    /// Makes the next decision of this kind.
    pub(crate) fn decide(&self, kind: &str) -> Decision {
        let mut drawn = self.drawn();
        let number = match drawn.taken.get_mut(kind) {
            Some(number) => {
                *number += 1;
                *number
            }
            None => {
                drawn.taken.insert(kind.to_owned(), 1);
                1
            }
        };
        let name = format!("{kind} {number}");
        Decision { random: self.stream(&name), name }
    }

    /// Draws one of these faults, or none.
    pub(crate) fn draw(&self, decision: &mut Decision, faults: &[Fault]) -> Option<Fault> {
        let mut left = decision.random.f64();
        let fault = faults.iter().copied().find(|fault| {
            left -= self.rates.get(fault).copied().unwrap_or(0.0);
            left < 0.0
        })?;
        self.record_if_allowed(decision, fault)
    }

    fn record_if_allowed(&self, decision: &Decision, fault: Fault) -> Option<Fault> {
        let is_allowed = self.allowed.as_ref().is_none_or(|allowed| allowed.contains(&decision.name));
        (is_allowed && self.is_active()).then(|| {
            self.drawn().faults.push((decision.name.clone(), fault));
            fault
        })
    }

    /// Returns after how many polls a worker process has its next fault. The decision is made; the
    /// kind of fault is drawn when the worker gets there.
    pub(crate) fn next_process_fault(&self, worker: &str) -> Option<(Decision, u64)> {
        if self.level == 0.0 || !self.is_active() {
            return None;
        }
        let mut decision = self.decide(&format!("{worker} trouble"));
        let polls = decision.number(1..=(POLLS_MAX / self.level) as u64);
        Some((decision, polls))
    }

    /// Draws the fault of a worker process.
    pub(crate) fn process_fault(&self, decision: &mut Decision) -> Option<Fault> {
        let fault = if decision.random.f64() < 0.7 { Fault::Crashed } else { Fault::Frozen };
        self.record_if_allowed(decision, fault)
    }

    /// The faults so far, by the names of their decisions.
    pub(crate) fn faults(&self) -> Vec<(String, Fault)> {
        self.drawn().faults.clone()
    }
}

/// The faults that can occur in a call of this operation.
pub(crate) fn possible_faults(operation: Operation) -> &'static [Fault] {
    if operation == Operation::OpenQueue {
        return &[Fault::Refused, Fault::Vanished];
    }
    // A receive that takes effect after its caller gave it up is the same as one whose response is
    // lost.
    if operation == Operation::Receive {
        return &[Fault::Refused, Fault::Vanished, Fault::Unanswered, Fault::SlowReply];
    }
    if operation.is_read() {
        return &[Fault::Refused, Fault::Vanished, Fault::SlowRequest, Fault::SlowReply];
    }
    &[Fault::Refused, Fault::Vanished, Fault::Unanswered, Fault::Late, Fault::SlowRequest, Fault::SlowReply]
}

/// A random stream: FNV-1a over the name, started with the seed, and mixed.
fn stream(seed: u64, name: &str) -> fastrand::Rng {
    let begin = 0xcbf2_9ce4_8422_2325 ^ seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let hash = name.bytes().fold(begin, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    fastrand::Rng::with_seed(mixed ^ (mixed >> 31))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CALLS: [&str; 3] = ["a Commit", "a Send", "b Commit"];

    fn active_injector(allowed: Option<BTreeSet<String>>) -> FaultInjector {
        let injector = (0..).map(|seed| FaultInjector::new(seed, Arc::default(), allowed.clone()));
        injector.into_iter().find(|injector| injector.level > 1.0).expect("an injector with many faults")
    }

    fn faults(injector: &FaultInjector) -> Vec<(String, Fault)> {
        for call in CALLS.iter().cycle().take(3_000) {
            let mut decision = injector.decide(call);
            injector.draw(&mut decision, possible_faults(Operation::Commit));
        }
        injector.faults()
    }

    #[test]
    fn suppressed_fault_does_not_change_other_faults() {
        let all = faults(&active_injector(None));
        assert!(all.len() > 100, "{}", all.len());
        for left_out in 0..20 {
            let others: Vec<_> = [&all[..left_out], &all[left_out + 1..]].concat();
            let allowed = others.iter().map(|(name, _)| name.clone()).collect();
            assert_eq!(faults(&active_injector(Some(allowed))), others);
        }
    }

    #[test]
    fn no_fault_occurs_after_the_faults_have_ended() {
        let mut injector = active_injector(None);
        injector.until = Timestamp::default();
        assert_eq!(faults(&injector), []);
        assert!(injector.next_process_fault("a").is_none());
    }
}
