//! Counts of what happened in one seed, or in many.

use std::{collections::BTreeMap, fmt, time::Duration};

use crate::simulation::faults::Fault;

/// Counts over the histories of one seed, or of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Seeds that were run.
    pub seeds: u64,
    /// Messages that had to be processed: submitted, or in the record of an applied commit.
    pub messages: u64,
    /// Messages that were committed.
    pub commits: u64,
    /// Of the committed messages: those that were committed together with others.
    pub folded: u64,
    /// Of the committed messages: those whose records were embedded in the state's item.
    pub embedded: u64,
    /// Of the committed messages: those whose records should have been embedded, and are separate
    /// because the state's item would have grown too large.
    pub spilled: u64,
    /// Embedded records of other messages that a commit carried over.
    pub carried: u64,
    /// Embedded records of other messages that a commit dropped, because they were settled.
    pub dropped: u64,
    /// Records that were retained as the proof that their messages were processed.
    pub retained: u64,
    /// How often each fault occurred.
    pub faults: BTreeMap<Fault, u64>,
    /// How often a payload was missing or a dedupe entry was found: duplicates that were
    /// recognised.
    pub duplicates: u64,
    /// Messages that were received more than once.
    pub redeliveries: u64,
    /// Separate records that a worker found, so that it resumed.
    pub resumes: u64,
    /// Messages that were moved to a dead-letter queue.
    pub parked: u64,
    /// Of these, those that were committed before and that the operator finished while workers ran.
    pub finished: u64,
    /// Payloads that no message refers to.
    pub orphans: u64,
    /// Violations of laws.
    pub violations: u64,
    /// Virtual time.
    pub time: Duration,
}

impl Tally {
    /// Adds the counts of another tally.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.messages += other.messages;
        self.commits += other.commits;
        self.folded += other.folded;
        self.embedded += other.embedded;
        self.spilled += other.spilled;
        self.carried += other.carried;
        self.dropped += other.dropped;
        self.retained += other.retained;
        for (fault, times) in &other.faults {
            *self.faults.entry(*fault).or_default() += times;
        }
        self.duplicates += other.duplicates;
        self.redeliveries += other.redeliveries;
        self.resumes += other.resumes;
        self.parked += other.parked;
        self.finished += other.finished;
        self.orphans += other.orphans;
        self.violations += other.violations;
        self.time += other.time;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut line = |name: &str, value: &dyn fmt::Display| writeln!(f, "{name:<18}{value:>12}");
        line("seeds", &self.seeds)?;
        line("messages", &self.messages)?;
        line("commits", &self.commits)?;
        line("folded", &self.folded)?;
        line("embedded", &self.embedded)?;
        line("spilled", &self.spilled)?;
        line("carried on", &self.carried)?;
        line("dropped", &self.dropped)?;
        line("retained", &self.retained)?;
        for (fault, times) in &self.faults {
            line(&format!("  {fault}"), times)?;
        }
        line("duplicates", &self.duplicates)?;
        line("redeliveries", &self.redeliveries)?;
        line("resumes", &self.resumes)?;
        line("parked", &self.parked)?;
        line("finished there", &self.finished)?;
        line("orphan payloads", &self.orphans)?;
        line("virtual hours", &format!("{:.1}", self.time.as_secs_f64() / 3600.0))?;
        write!(f, "violations: {}", self.violations)
    }
}
