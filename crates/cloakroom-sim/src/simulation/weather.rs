//! The weather: which decision goes wrong, and how. Each decision has a name, and is drawn from seed and name alone,
//! so that suppressing one does not change what the others are.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    ops::RangeInclusive,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use cloakroom::{Timestamp, memory::MemoryClock, ports::Clock as _};

use crate::wire::Operation;

/// What went wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// A call did not happen, and that was known: throttling, a transaction conflict.
    Refused,
    /// A call did not happen, and that was not known.
    Vanished,
    /// A call happened, and that was not known.
    Unanswered,
    /// A call was given up, and happened much later.
    Late,
    /// A request took long.
    SlowRequest,
    /// A reply took long.
    SlowReply,
    /// A commit was applied, and repeated by the store's client, which was told of a conflict.
    CommitRepeated,
    /// A state that need not be current was read as it had been some commits ago.
    ReadLate,
    /// One message of a batch was not sent, and that was known.
    EntryRefused,
    /// One message of a batch was sent, and that was not known.
    EntryUnanswered,
    /// A message was delivered a second time as if it were the first, perhaps long after its acknowledgement.
    Duplicated,
    /// A message was held back, so that others overtook it.
    Delayed,
    /// A lease ended early: the message was received again while it was worked on.
    LeaseEnded,
    /// A worker process died.
    Crashed,
    /// A worker process stood still for a while, and then went on as if nothing had happened.
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
            Self::LeaseEnded => "lease ended",
            Self::Crashed => "crashed",
            Self::Frozen => "frozen",
        })
    }
}

/// How often each thing goes wrong in an average storm, of all decisions where it can.
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
    (Fault::LeaseEnded, 0.15),
];

/// From calm to stormy.
const LEVELS: [f64; 6] = [0.0, 0.3, 0.7, 1.0, 1.5, 2.5];

/// How many polls there are between two troubles of a worker at most, at level 1.
const POLLS_MAX: f64 = 160.0;

/// The weather of one seed.
#[derive(Debug)]
pub(crate) struct Weather {
    seed: u64,
    clock: Arc<MemoryClock>,
    /// When the trouble ends.
    pub(crate) until: Timestamp,
    level: f64,
    rates: BTreeMap<Fault, f64>,
    /// The only decisions that may go wrong; all, if there is no such list.
    allowed: Option<BTreeSet<String>>,
    drawn: Mutex<Drawn>,
}

#[derive(Debug, Default)]
struct Drawn {
    /// How often each kind of decision was taken.
    taken: BTreeMap<String, u64>,
    /// What went wrong, by the decision's name.
    faults: Vec<(String, Fault)>,
}

/// A decision that is being taken.
#[derive(Debug)]
pub(crate) struct Decision {
    name: String,
    random: fastrand::Rng,
}

impl Decision {
    /// From `shortest` to `longest`; each order of magnitude as often as the next.
    pub(crate) fn duration(&mut self, ms: RangeInclusive<u64>) -> Duration {
        let (shortest, longest) = ((*ms.start() as f64).ln(), (*ms.end() as f64).ln());
        Duration::from_secs_f64((shortest + (longest - shortest) * self.random.f64()).exp().round() / 1000.0)
    }

    pub(crate) fn number(&mut self, range: RangeInclusive<u64>) -> u64 {
        self.random.u64(range)
    }
}

impl Weather {
    pub(crate) fn new(seed: u64, clock: Arc<MemoryClock>, allowed: Option<BTreeSet<String>>) -> Self {
        let mut random = stream(seed, "weather");
        let level = random.choice(LEVELS).unwrap_or(1.0);
        // Each seed has its own mixture.
        let rates = RATES.into_iter().map(|(fault, rate)| (fault, rate * level * 2.0 * random.f64())).collect();
        let until = clock.now().after(Duration::from_millis(random.u64(2_000..40_000)));
        Self { seed, clock, until, level, rates, allowed, drawn: Mutex::default() }
    }

    fn drawn(&self) -> MutexGuard<'_, Drawn> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Random numbers that follow from the seed and a name.
    pub(crate) fn stream(&self, name: &str) -> fastrand::Rng {
        stream(self.seed, name)
    }

    /// Whether anything may still go wrong.
    pub(crate) fn is_stormy(&self) -> bool {
        self.clock.now() < self.until
    }

    /// Takes the next decision of this kind.
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

    /// Which of these goes wrong, if any does.
    pub(crate) fn strike(&self, decision: &mut Decision, faults: &[Fault]) -> Option<Fault> {
        let mut left = decision.random.f64();
        let fault = faults.iter().copied().find(|fault| {
            left -= self.rates.get(fault).copied().unwrap_or(0.0);
            left < 0.0
        })?;
        self.admit(decision, fault)
    }

    fn admit(&self, decision: &Decision, fault: Fault) -> Option<Fault> {
        let is_allowed = self.allowed.as_ref().is_none_or(|allowed| allowed.contains(&decision.name));
        (is_allowed && self.is_stormy()).then(|| {
            self.drawn().faults.push((decision.name.clone(), fault));
            fault
        })
    }

    /// After how many polls a worker is in trouble next. The decision stands; it is struck when the time has come.
    pub(crate) fn next_trouble(&self, worker: &str) -> Option<(Decision, u64)> {
        if self.level == 0.0 || !self.is_stormy() {
            return None;
        }
        let mut decision = self.decide(&format!("{worker} trouble"));
        let polls = decision.number(1..=(POLLS_MAX / self.level) as u64);
        Some((decision, polls))
    }

    /// What the trouble is.
    pub(crate) fn trouble(&self, decision: &mut Decision) -> Option<Fault> {
        let fault = if decision.random.f64() < 0.7 { Fault::Crashed } else { Fault::Frozen };
        self.admit(decision, fault)
    }

    /// What went wrong so far, by the decision's name.
    pub(crate) fn faults(&self) -> Vec<(String, Fault)> {
        self.drawn().faults.clone()
    }
}

/// What can go wrong on the way of a call.
pub(crate) fn risks(operation: Operation) -> &'static [Fault] {
    if operation == Operation::OpenQueue {
        return &[Fault::Refused, Fault::Vanished];
    }
    // One that was given up and comes late leases messages for nobody: unanswered, that is.
    if operation == Operation::Receive {
        return &[Fault::Refused, Fault::Vanished, Fault::Unanswered, Fault::SlowReply];
    }
    if operation.is_read() {
        return &[Fault::Refused, Fault::Vanished, Fault::SlowRequest, Fault::SlowReply];
    }
    &[Fault::Refused, Fault::Vanished, Fault::Unanswered, Fault::Late, Fault::SlowRequest, Fault::SlowReply]
}

/// FNV-1a over the name, begun with the seed, and mixed well.
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

    fn stormy(allowed: Option<BTreeSet<String>>) -> Weather {
        let weather = (0..).map(|seed| Weather::new(seed, Arc::default(), allowed.clone()));
        weather.into_iter().find(|weather| weather.level > 1.0).expect("a storm")
    }

    fn faults(weather: &Weather) -> Vec<(String, Fault)> {
        for call in CALLS.iter().cycle().take(3_000) {
            let mut decision = weather.decide(call);
            weather.strike(&mut decision, risks(Operation::Commit));
        }
        weather.faults()
    }

    #[test]
    fn to_suppress_a_fault_does_not_change_the_others() {
        let all = faults(&stormy(None));
        assert!(all.len() > 100, "{}", all.len());
        for left_out in 0..20 {
            let others: Vec<_> = [&all[..left_out], &all[left_out + 1..]].concat();
            let allowed = others.iter().map(|(name, _)| name.clone()).collect();
            assert_eq!(faults(&stormy(Some(allowed))), others);
        }
    }

    #[test]
    fn nothing_goes_wrong_when_the_trouble_is_over() {
        let mut weather = stormy(None);
        weather.until = Timestamp::default();
        assert_eq!(faults(&weather), []);
        assert!(weather.next_trouble("a").is_none());
    }
}
