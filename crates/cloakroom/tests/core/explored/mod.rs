//! Every reachable progress of the step function, with every observation after every action. A
//! history, computed independently, decides whether each action is safe.

use std::collections::{BTreeSet, HashSet};

use cloakroom::{
    Outcome,
    protocol::{CheckIn, Claims, Consistency, Do, Progress, Saw, Version, WhenMissing, next},
};

/// The result of the last commit that was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
enum Last {
    #[default]
    Untried,
    Lost,
    Unknown,
    TooLarge,
    Durable,
}

/// The events of this pass, derived from the observations alone. A pass begins with the read of the
/// state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
struct History {
    state: Option<Version>,
    no_record: bool,
    payload: bool,
    missing: bool,
    /// There is no record, read after the payload was found missing.
    no_record_again: bool,
    accepted: bool,
    checked_in: bool,
    rejected: bool,
    last: Last,
    found: bool,
    /// There is an embedded record. Its message may be settled.
    embedded: bool,
    retained: bool,
    claims: bool,
    gone: bool,
    dispatched: bool,
    settled: bool,
    cleared: bool,
    parked: bool,
    deferred: bool,
    sent_again: bool,
}

impl History {
    fn after(self, saw: Saw) -> Self {
        match saw {
            Saw::Delivery => Self::default(),
            Saw::State(version) => Self { state: Some(version), last: self.last, ..Self::default() },
            Saw::Record(claims) => Self { found: true, claims: claims == Claims::Stored, ..self },
            Saw::NoRecord => Self { no_record: true, no_record_again: self.missing, ..self },
            Saw::Embedded => Self { embedded: true, ..self },
            Saw::Retained => Self { retained: true, ..self },
            // Then its message was not settled, and the record has its claims.
            Saw::NotSettled if self.embedded => Self { found: true, claims: true, ..self },
            Saw::NotSettled => Self { payload: self.no_record, ..self },
            Saw::PossiblySettled => Self { missing: true, ..self },
            Saw::Accepted => Self { accepted: true, ..self },
            Saw::Rejected => {
                let last = if self.accepted { Last::TooLarge } else { self.last };
                Self { rejected: true, last, ..self }
            }
            Saw::Parked => Self { parked: true, ..self },
            Saw::Deferred => Self { deferred: true, ..self },
            Saw::SentAgain => Self { sent_again: true, ..self },
            Saw::CheckedIn => Self { checked_in: true, ..self },
            Saw::Committed(claims) => Self { last: Last::Durable, claims: claims == Claims::Stored, ..self },
            Saw::Lost => Self { last: Last::Lost, ..self },
            Saw::Unknown | Saw::NotTried => Self { last: Last::Unknown, ..self },
            Saw::ClaimsStored => Self { claims: true, ..self },
            Saw::RecordGone => Self { gone: true, ..self },
            Saw::Dispatched => Self { dispatched: true, ..self },
            Saw::Settled => Self { settled: true, ..self },
            Saw::Cleared => Self { cleared: true, ..self },
        }
    }

    /// Whether a commit was tried before this pass. If so, another worker may have deleted the
    /// payload.
    const fn has_tried(&self) -> bool {
        matches!(self.last, Last::Lost | Last::Unknown)
    }

    const fn has_record(&self) -> bool {
        self.is_durable() || self.embedded || self.retained
    }

    const fn is_durable(&self) -> bool {
        self.found || matches!(self.last, Last::Durable)
    }

    /// Whether an action is safe.
    fn allows(&self, action: Do, check_in: CheckIn, when_missing: WhenMissing) -> bool {
        let is_fresh = self.state.is_some() && self.no_record && self.payload && !self.missing && !self.has_record();
        match action {
            Do::ReadState(consistency) => {
                let is_timely = self.has_tried() == (consistency == Consistency::Strong);
                is_timely && !self.is_durable() && !self.settled && !self.cleared
            }
            Do::ReadRecord => self.state.is_some() && (!self.no_record || self.missing && !self.no_record_again),
            Do::ReadPayload => self.state.is_some() && (self.no_record || self.embedded) && !self.missing,
            Do::Handle => is_fresh && !self.accepted,
            Do::Park => self.rejected || self.no_record_again && when_missing == WhenMissing::Park && !self.has_tried(),
            Do::SendAgain => self.deferred && is_fresh && !self.accepted && !self.sent_again,
            Do::CheckIn if self.is_durable() => !self.claims && !self.checked_in,
            Do::CheckIn => is_fresh && self.accepted && !self.checked_in && check_in == CheckIn::BeforeCommit,
            Do::Commit(version) => {
                let is_timely = self.checked_in == (check_in == CheckIn::BeforeCommit);
                is_fresh && self.accepted && is_timely && self.state == Some(version)
            }
            Do::StoreClaims => self.is_durable() && !self.claims && self.checked_in,
            Do::Dispatch => self.is_durable() && self.claims && !self.dispatched && !self.gone,
            Do::Settle => self.is_durable() && self.dispatched && !self.settled,
            Do::Clear => self.dispatched && self.settled && !self.cleared,
            Do::Acknowledge(Outcome::Processed) => self.cleared && self.last == Last::Durable && !self.found,
            Do::Acknowledge(Outcome::Resumed) => self.cleared && self.found,
            Do::Acknowledge(Outcome::Duplicate) => {
                let is_settled = self.embedded && self.missing;
                self.gone
                    || self.retained
                    || is_settled
                    || self.no_record_again && (when_missing == WhenMissing::Acknowledge || self.has_tried())
            }
            Do::Acknowledge(Outcome::Parked) => self.parked && !self.settled && !self.cleared && !self.is_durable(),
            Do::Acknowledge(Outcome::Deferred) => self.sent_again && is_fresh && !self.accepted && !self.settled,
            Do::Leave => self.no_record && !self.is_durable(),
        }
    }
}

/// Returns every observation that a driver may report after this action.
fn observations(action: Do) -> Vec<Saw> {
    match action {
        Do::ReadState(_) => (0..3).map(|number| Saw::State(Version::new(number))).collect(),
        Do::ReadRecord => {
            let separate = [Claims::Stored, Claims::Missing].map(Saw::Record);
            [&separate[..], &[Saw::Embedded, Saw::Retained, Saw::NoRecord]].concat()
        }
        Do::ReadPayload => vec![Saw::NotSettled, Saw::PossiblySettled],
        Do::Handle => vec![Saw::Accepted, Saw::Rejected, Saw::Deferred],
        Do::Park => vec![Saw::Parked],
        Do::SendAgain => vec![Saw::SentAgain],
        Do::CheckIn => vec![Saw::CheckedIn],
        Do::Commit(_) => {
            let committed = [Claims::Stored, Claims::Missing].map(Saw::Committed);
            [&committed[..], &[Saw::Lost, Saw::Unknown, Saw::NotTried, Saw::Rejected]].concat()
        }
        Do::StoreClaims => vec![Saw::ClaimsStored, Saw::RecordGone],
        Do::Dispatch => vec![Saw::Dispatched],
        Do::Settle => vec![Saw::Settled],
        Do::Clear => vec![Saw::Cleared],
        Do::Acknowledge(_) | Do::Leave => Vec::new(),
    }
}

type Node = (Progress, Do, History);

/// Returns all reachable nodes, each checked when it is found, and every kind of action and
/// observation.
fn explore(check_in: CheckIn, when_missing: WhenMissing) -> (HashSet<Node>, BTreeSet<String>) {
    explore_from(Progress::new(check_in, when_missing), check_in, when_missing)
}

fn explore_from(progress: Progress, check_in: CheckIn, when_missing: WhenMissing) -> (HashSet<Node>, BTreeSet<String>) {
    let mut reached: HashSet<Node> = HashSet::new();
    let mut kinds = BTreeSet::new();
    let mut open = vec![(progress, History::default(), Saw::Delivery)];
    while let Some((progress, history, saw)) = open.pop() {
        let history = history.after(saw);
        let (progress, action) = next(progress, saw);
        assert!(history.allows(action, check_in, when_missing), "{action:?} after {saw:?}: {history:?}, {progress:?}");
        kinds.extend([kind(&action), kind(&saw)]);
        if reached.insert((progress, action, history)) {
            // If payloads are checked in before the commit, its record has its claims.
            let claimed = |saw: &Saw| check_in == CheckIn::AfterCommit || *saw != Saw::Committed(Claims::Missing);
            open.extend(observations(action).into_iter().filter(claimed).map(|saw| (progress, history, saw)));
        }
    }
    (reached, kinds)
}

fn kind(what: &impl std::fmt::Debug) -> String {
    let text = format!("{what:?}");
    match text.split_once("(Version") {
        Some((kind, _)) => kind.to_owned(),
        None => text,
    }
}

const TIMINGS: [CheckIn; 2] = [CheckIn::BeforeCommit, CheckIn::AfterCommit];
const POLICIES: [WhenMissing; 2] = [WhenMissing::Acknowledge, WhenMissing::Park];

#[test]
fn every_reachable_action_is_safe() {
    for check_in in TIMINGS {
        for when_missing in POLICIES {
            let (reached, _) = explore(check_in, when_missing);
            assert!((50..5_000).contains(&reached.len()), "{} nodes are reachable", reached.len());
        }
    }
}

#[test]
fn every_action_and_every_observation_is_reachable() {
    let kinds = |check_in, when_missing| explore(check_in, when_missing).1;
    let all: BTreeSet<String> =
        TIMINGS.iter().flat_map(|timing| POLICIES.iter().flat_map(|policy| kinds(*timing, *policy))).collect();
    let expected = "Acknowledge(Deferred) Acknowledge(Duplicate) Acknowledge(Parked) Acknowledge(Processed) Acknowledge(Resumed) Accepted \
        CheckIn CheckedIn ClaimsStored Clear Cleared Commit Committed(Missing) Committed(Stored) Deferred Delivery Dispatch \
        Dispatched Embedded Handle Lost NoRecord Park Parked NotSettled PossiblySettled ReadPayload ReadRecord ReadState(Any) \
        ReadState(Strong) Record(Missing) Record(Stored) RecordGone Rejected Retained SendAgain SentAgain Settle Settled State StoreClaims Unknown NotTried";
    let expected: BTreeSet<String> = expected.split_whitespace().map(str::to_owned).collect();
    assert_eq!(all, expected);
}

#[test]
fn finishing_worker_commits_nothing_and_leaves_messages_without_a_record() {
    let (_, kinds) = explore_from(Progress::finishing(), CheckIn::AfterCommit, WhenMissing::Acknowledge);
    let expected = "Acknowledge(Duplicate) Acknowledge(Resumed) CheckIn CheckedIn ClaimsStored Clear Cleared Delivery \
        Dispatch Dispatched Embedded Leave NoRecord NotSettled PossiblySettled ReadPayload ReadRecord ReadState(Any) \
        Record(Missing) Record(Stored) RecordGone Retained Settle Settled State StoreClaims";
    let expected: BTreeSet<String> = expected.split_whitespace().map(str::to_owned).collect();
    assert_eq!(kinds, expected);
}

/// From every reachable node an undisturbed worker acknowledges the message.
#[test]
fn every_reachable_action_leads_to_an_acknowledgement() {
    for check_in in TIMINGS {
        for when_missing in POLICIES {
            for (mut progress, mut action, _) in explore(check_in, when_missing).0 {
                for _ in 0..20 {
                    let Some(saw) = undisturbed(action, check_in) else { break };
                    (progress, action) = next(progress, saw);
                }
                assert!(matches!(action, Do::Acknowledge(_)), "the last action is {action:?}");
            }
        }
    }
}

/// Returns the observation if no other worker is active and nothing fails. `None` after the last
/// action.
fn undisturbed(action: Do, check_in: CheckIn) -> Option<Saw> {
    let claims = if check_in == CheckIn::BeforeCommit { Claims::Stored } else { Claims::Missing };
    match action {
        Do::ReadState(_) => Some(Saw::State(Version::ABSENT)),
        Do::ReadRecord => Some(Saw::NoRecord),
        Do::Commit(_) => Some(Saw::Committed(claims)),
        Do::ReadPayload
        | Do::Handle
        | Do::Park
        | Do::SendAgain
        | Do::CheckIn
        | Do::StoreClaims
        | Do::Dispatch
        | Do::Settle
        | Do::Clear
        | Do::Acknowledge(_)
        | Do::Leave => observations(action).first().copied(),
    }
}
