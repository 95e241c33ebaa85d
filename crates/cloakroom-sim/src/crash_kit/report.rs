//! What the kit has to tell.

use std::fmt;

use super::plan::Tried;

/// What is wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FindingKind {
    /// The endpoint cannot be built.
    NotBuilt,
    /// A message that the kit was given cannot be written as JSON, so nobody could send it.
    NotWritable,
    /// A message ended otherwise than it was given to the kit for: it was not accepted although it should be, or
    /// accepted although it should be refused.
    Unexpected,
    /// The handler panicked.
    Panicked,
    /// The handler waits for something that the kit does not have: a real clock, a socket, another task.
    Waits,
    /// The handler, run twice on the same state, message and time, made something else of them.
    DependsOnOutside,
    /// The handler writes by way of a port itself, outside of its transaction.
    WritesElsewhere,
    /// The handler reads by way of a port itself.
    ReadsElsewhere,
    /// However often the message is delivered, it is not finished.
    NeverFinished,
    /// After a stop, a lost answer or a second delivery something is not as if the message had been processed once,
    /// undisturbed.
    Differs,
    /// Two messages that were processed at the same time have left something that neither order of them leaves.
    NoOrder,
}

impl FindingKind {
    /// What to do next.
    const fn advice(self) -> &'static str {
        match self {
            Self::NotBuilt => "mend the endpoint that the kit is given",
            Self::NotWritable => "mend the type of the message: JSON has no other keys than text",
            Self::Unexpected => {
                "mend the handler, or what was `given` before; a message that its handler shall refuse is given with `refused`"
            }
            Self::Panicked => {
                "mend the handler. If it needs a runtime (timers, sockets), it cannot run here: do that part in front of or \
                 behind the message"
            }
            Self::Waits => {
                "the kit runs handlers on virtual time in the calling thread. Do what needs a runtime in front of or behind the \
                 message: send a message to a service that does it and replies"
            }
            Self::DependsOnOutside => {
                "a handler runs again after a crash, and whatever it makes then must be the same: take ids from `tx.new_id()`, \
                 the time from `tx.now()`, everything else from the state and the message. Answers of other services come as \
                 messages. Beware of the order of a `HashMap`"
            }
            Self::WritesElsewhere => {
                "what is not written by `tx` happens again with every run of the handler, also if nothing is committed. Items of the \
                 same partition: `tx.put`; another partition: send a message to its owner"
            }
            Self::ReadsElsewhere => {
                "what a handler reads beside its state may be different in the next run: keep it in the state, or have it sent"
            }
            Self::NeverFinished => "see the last error; it stays when nothing disturbs the message any more",
            Self::Differs | Self::NoOrder => {
                "the handler does the same every time, so look at the ports: each must pass `cloakroom::conformance`. If they are \
                 Cloakroom's own, this is a bug of Cloakroom: please report it with this text"
            }
        }
    }
}

/// A field that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where it is, such as ``item `state#orders` of `order#1`, paid``.
    pub field: String,
    /// As the undisturbed run left it.
    pub expected: String,
    /// As this one did.
    pub actual: String,
}

/// Something that is wrong, and how it comes about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What it is.
    pub kind: FindingKind,
    /// Which message it is about, by type, and in which combination of identity and timing; two if they met. The endpoint, if
    /// it cannot be built.
    pub message: String,
    /// What happened.
    pub text: String,
    /// The steps that led to it, if they matter.
    pub timeline: Vec<String>,
    /// What came of it, field by field.
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
            Self::Stops => "its process stops before or after any call, and so may the next one",
            Self::Answers => {
                "the answer of any call is lost, whether it happened, did not or will, and then the process stops"
            }
            Self::Deliveries => "two deliveries at the same time, turn about in any order, and one of them may stop",
            Self::Meetings => "the two at the same time, turn about in any order, and one of them may stop",
            Self::Folds => {
                "the two in one batch, committed together; its process stops, an answer is lost, or one of the two is \
                 delivered once more at the same time"
            }
        }
    }
}

/// What was tried with one message, or with two that met.
#[derive(Clone, Debug)]
pub(super) struct Tested {
    pub(super) message: String,
    /// How it ends when nothing disturbs it, and how many calls that takes. Empty if it came to no end.
    pub(super) ends: String,
    /// One for each combination of timing, identity and placement.
    pub(super) rounds: Vec<(Round, Tried)>,
}

/// What the kit did and found. Its text is for the one who reads the failed test.
#[derive(Clone, Debug)]
pub struct Report {
    pub(super) endpoint: String,
    pub(super) tested: Vec<Tested>,
    pub(super) findings: Vec<Finding>,
    pub(super) runs_max: usize,
}

impl Report {
    /// Whether everything that was tried ended as if each message had been processed once. False also if nothing was tried.
    pub fn passed(&self) -> bool {
        self.findings.is_empty() && self.runs() > 0
    }

    /// What is wrong; at most a few for each message: what comes after the first is seldom worth reading.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// How many times messages were processed in a fresh world: for each round of each combination of timing, identity and placement once
    /// undisturbed, and then each time disturbed in another way.
    pub fn runs(&self) -> usize {
        self.tried().map(|(_, tried)| tried.runs).sum()
    }

    /// How many of the [runs](Self::runs) had a process stop.
    pub fn crash_points(&self) -> usize {
        self.of(&[Round::Stops]).map(Tried::disturbed).sum()
    }

    /// How many of the [runs](Self::runs) had the answer of a call lost.
    pub fn lost_answers(&self) -> usize {
        self.of(&[Round::Answers]).map(Tried::disturbed).sum()
    }

    /// How many of the [runs](Self::runs) had two deliveries at the same time.
    pub fn interleavings(&self) -> usize {
        self.of(&[Round::Deliveries, Round::Meetings]).map(|tried| tried.runs).sum()
    }

    /// How many of the [runs](Self::runs) had two messages in one batch.
    pub fn folds(&self) -> usize {
        self.of(&[Round::Folds]).map(|tried| tried.runs).sum()
    }

    /// Whether a bound cut something off. What is cut off has more disturbances in one run than all that was tried.
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
        let twists = tried.iter().map(|tried| tried.twists).min().unwrap_or_default();
        let left_out: usize = tried.iter().map(|tried| tried.left_out).sum();
        let disturbances = if twists == 1 { "one disturbance" } else { &format!("{twists} disturbances") };
        let all = format!("{runs:>6} runs: {}. All with up to {disturbances}", round.text());
        match left_out {
            0 => all,
            _ => format!("{all}; {left_out} with more were left out (`runs_max` is {})", self.runs_max),
        }
    }
}
