//! What happened in one seed, or in many.

use std::{collections::BTreeMap, fmt, time::Duration};

use super::weather::Fault;

/// Counts over the histories of one seed, or of many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Worlds.
    pub seeds: u64,
    /// Messages that had to be processed: submitted, or in the record of an applied commit.
    pub messages: u64,
    /// Commits that were applied.
    pub commits: u64,
    /// What went wrong, how often.
    pub faults: BTreeMap<Fault, u64>,
    /// Times that a payload was missing, or an entry found: duplicates that were recognised.
    pub duplicates: u64,
    /// Messages that were received more than once.
    pub redeliveries: u64,
    /// Records that were found, by whoever went on from there.
    pub resumes: u64,
    /// Messages that came to a dead-letter queue.
    pub parked: u64,
    /// Of these, those that were committed before, and that the operator finished while workers went on.
    pub finished: u64,
    /// Payloads left that nobody refers to.
    pub orphans: u64,
    /// Laws that were broken.
    pub violations: u64,
    /// Virtual time.
    pub time: Duration,
}

impl Tally {
    /// Adds what another one counted.
    pub fn add(&mut self, other: &Self) {
        self.seeds += other.seeds;
        self.messages += other.messages;
        self.commits += other.commits;
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
