//! The report of the kit.

use std::fmt;

use crate::crash_kit::plan::Tried;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingKind {
    /// The endpoint cannot be built.
    NotBuilt,
    /// A message that was given to the kit cannot be written as JSON, so it cannot be sent.
    NotWritable,
    /// A message ended otherwise than expected: it was not accepted although it should be, or it
    /// was accepted although it should be refused.
    Unexpected,
    /// The handler panicked.
    Panicked,
    /// The handler waits for something that the kit does not have: a real clock, a socket or
    /// another task.
    Waits,
    /// The handler had another effect when it ran again on the same state, message and time.
    DependsOnOutside,
    /// The handler itself writes through a port, outside of its transaction.
    WritesElsewhere,
    /// The handler itself reads through a port.
    ReadsElsewhere,
    /// The message is not finished, however often it is delivered.
    NeverFinished,
    /// After a stop, a lost response or a second delivery the result differs from that of the
    /// message processed once, undisturbed.
    Differs,
    /// Two messages that were processed at the same time left a result that neither order of them
    /// leaves.
    NoOrder,
}

impl FindingKind {
    /// What to do next.
    const fn advice(self) -> &'static str {
        match self {
            Self::NotBuilt => "fix the endpoint that the kit is given",
            Self::NotWritable => "fix the type of the message: in JSON every key is text",
            Self::Unexpected => {
                "fix the handler, or the `given` messages; a message that its handler should refuse is given with `refused`"
            }
            Self::Panicked => {
                "fix the handler. If it needs a runtime (timers, sockets), it cannot run here: do that work before or \
                 after the message"
            }
            Self::Waits => {
                "the kit runs handlers on virtual time in the calling thread. Do work that needs a runtime before or after \
                 the message: send a message to a service that does the work and replies"
            }
            Self::DependsOnOutside => {
                "a handler runs again after a crash, and it must have the same effect: take ids from `tx.new_id()`, the \
                 time from `tx.now()`, and everything else from the state and the message. Let other services answer with \
                 messages. The order of a `HashMap` changes"
            }
            Self::WritesElsewhere => {
                "a write outside of `tx` happens again with every run of the handler, also if nothing is committed. For \
                 items of the same partition use `tx.put`; for another partition send a message to its owner"
            }
            Self::ReadsElsewhere => {
                "data that a handler reads outside its state may differ in the next run: keep it in the state, or have it sent"
            }
            Self::NeverFinished => "see the last error; it occurs even when nothing disturbs the message any more",
            Self::Differs | Self::NoOrder => {
                "the handler has the same effect every time, so check the ports: each must pass \
                 `cloakroom::conformance`. If the ports are Cloakroom's own, this is a bug of Cloakroom: please report it \
                 with this text"
            }
        }
    }
}

/// A field that differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The path of the field, such as ``item `state#orders` of `order#1`, paid``.
    pub field: String,
    /// The value after the undisturbed run.
    pub expected: String,
    /// The value after this run.
    pub actual: String,
}

/// A problem, and the steps that lead to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The kind of problem.
    pub kind: FindingKind,
    /// The message, by type, with the combination of identity, timing and placement. Both messages
    /// if there were two. The endpoint, if it cannot be built.
    pub message: String,
    /// What happened.
    pub text: String,
    /// The steps that led to it, if they matter.
    pub timeline: Vec<String>,
    /// The result, field by field.
    pub differences: Vec<Difference>,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:?}: {}", self.kind, self.message)?;
        writeln!(f, "    {}", self.text)?;
        for line in &self.timeline {
            writeln!(f, "      {line}")?;
        }
        for Difference { field, expected, actual } in &self.differences {
            writeln!(f, "    {field}\n      expected {expected}\n      is       {actual}")?;
        }
        writeln!(f, "    What to do: {}.", self.kind.advice())
    }
}

/// What was done to a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Round {
    Stops,
    Answers,
    Deliveries,
    Meetings,
    Folds,
}

impl Round {
    const fn text(self) -> &'static str {
        match self {
            Self::Stops => "its process stops before or after any call, and the next process may stop, too",
            Self::Answers => {
                "the response of any call is lost, whether it happened, did not or will, and then the process stops"
            }
            Self::Deliveries => "two deliveries at the same time, interleaved in any order, and one of them may stop",
            Self::Meetings => "the two at the same time, interleaved in any order, and one of them may stop",
            Self::Folds => {
                "the two in one batch, committed together; its process stops, a response is lost, or one of the two is \
                 delivered once more at the same time"
            }
        }
    }
}

/// What was tried with one message, or with two together.
#[derive(Clone, Debug)]
pub(super) struct Tested {
    pub(super) message: String,
    /// How the message ends undisturbed, and the number of calls.
    pub(super) ends: String,
    /// One entry for each round of each combination of timing, identity and placement.
    pub(super) rounds: Vec<(Round, Tried)>,
}

/// What the kit did and found. Its text is for the reader of a failed test.
#[derive(Clone, Debug)]
pub struct Report {
    pub(super) endpoint: String,
    pub(super) tested: Vec<Tested>,
    pub(super) findings: Vec<Finding>,
    pub(super) runs_max: usize,
}

impl Report {
    /// Whether every run ended as if each message had been processed once. False if nothing was
    /// tried.
    pub fn passed(&self) -> bool {
        self.findings.is_empty() && self.runs() > 0
    }

    /// The problems. There are at most a few for each message, because later ones usually follow
    /// from the first.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// The number of runs, each in a new world: for each round of each combination of timing,
    /// identity and placement one undisturbed run, and then one for each disturbance or combination
    /// of them.
    pub fn runs(&self) -> usize {
        self.tried().map(|(_, tried)| tried.runs).sum()
    }

    /// The number of [runs](Self::runs) in which a process stopped.
    pub fn crash_points(&self) -> usize {
        self.of(&[Round::Stops]).map(Tried::disturbed).sum()
    }

    /// The number of [runs](Self::runs) in which the response of a call was lost.
    pub fn lost_answers(&self) -> usize {
        self.of(&[Round::Answers]).map(Tried::disturbed).sum()
    }

    /// The number of [runs](Self::runs) with two deliveries at the same time.
    pub fn interleavings(&self) -> usize {
        self.of(&[Round::Deliveries, Round::Meetings]).map(|tried| tried.runs).sum()
    }

    /// The number of [runs](Self::runs) with two messages in one batch.
    pub fn folds(&self) -> usize {
        self.of(&[Round::Folds]).map(|tried| tried.runs).sum()
    }

    /// Whether a bound left out runs. Each of these has more disturbances than any run that was
    /// made.
    pub fn is_truncated(&self) -> bool {
        self.tried().any(|(_, tried)| tried.left_out > 0)
    }

    fn tried(&self) -> impl Iterator<Item = (Round, Tried)> {
        self.tested.iter().flat_map(|tested| tested.rounds.iter().copied())
    }

    fn of(&self, rounds: &[Round]) -> impl Iterator<Item = Tried> {
        self.tried().filter(|(round, _)| rounds.contains(round)).map(|(_, tried)| tried)
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match (self.findings.len(), self.runs()) {
            (0, 0) => "nothing was tried: give it a message with `message`".to_owned(),
            (0, runs) => format!("passed, {runs} runs"),
            (count, runs) => format!("FAILED, {count} found, {runs} runs"),
        };
        writeln!(f, "Crash kit, endpoint `{}`: {verdict}", self.endpoint)?;
        for Tested { message, ends, rounds } in &self.tested {
            writeln!(f, "  {message}: {ends}")?;
            for round in [Round::Stops, Round::Answers, Round::Deliveries, Round::Meetings, Round::Folds] {
                let tried: Vec<Tried> = rounds.iter().filter(|(of, _)| *of == round).map(|(_, tried)| *tried).collect();
                if !tried.is_empty() {
                    writeln!(f, "    {}", self.line(round, &tried))?;
                }
            }
        }
        self.findings.iter().try_for_each(|finding| write!(f, "\n  {finding}"))
    }
}

impl Report {
    fn line(&self, round: Round, tried: &[Tried]) -> String {
        let runs: usize = tried.iter().map(|tried| tried.runs).sum();
        let disturbances = tried.iter().map(|tried| tried.disturbances).min().unwrap_or_default();
        let left_out: usize = tried.iter().map(|tried| tried.left_out).sum();
        let disturbances = if disturbances == 1 { "one disturbance" } else { &format!("{disturbances} disturbances") };
        let all = format!("{runs:>6} runs: {}. All with up to {disturbances}", round.text());
        match left_out {
            0 => all,
            _ => format!("{all}; {left_out} with more were left out (`runs_max` is {})", self.runs_max),
        }
    }
}
