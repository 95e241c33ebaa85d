//! What is said of the messages of a queue.

use std::{collections::BTreeMap, fmt};

use cloakroom::recovery::{DeadLetter, Fate, MessageStatus};
use serde::Serialize;

use crate::{operate::table::Table, terminal};

/// Messages that were treated.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    queue: String,
    dry_run: bool,
    /// False if there may be more in the queue.
    pub(super) complete: bool,
    /// How many messages came to which end.
    counts: BTreeMap<&'static str, u64>,
    /// How many messages are known to be what.
    standings: BTreeMap<&'static str, u64>,
    /// How many more there are, roughly: in somebody's hands, or behind others of their group.
    unseen: u64,
    /// How many were received, and are of no concern.
    pub(super) others: u64,
    letters: Vec<Row>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Row {
    /// What is known of it.
    standing: &'static str,
    /// What became of it.
    fate: &'static str,
    endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The queue's own id of it.
    queue_id: String,
    receives: u32,
    /// Why its endpoint parked it, if it says so.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// What failed, or why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

impl Row {
    fn new(letter: &DeadLetter) -> Self {
        let envelope = letter.envelope.as_ref();
        let trouble = match (&letter.fate, &letter.standing) {
            (Fate::Failed(reason), _) | (_, Some(MessageStatus::Unreadable(reason))) => Some(reason.clone()),
            (Fate::Left | Fate::Finished | Fate::Deleted | Fate::PutBack | Fate::Parked, _) => None,
        };
        Self {
            standing: standing(letter.standing.as_ref()),
            fate: fate(&letter.fate),
            endpoint: letter.endpoint.clone(),
            r#type: envelope.map(|envelope| envelope.kind.clone()),
            partition: envelope.map(|envelope| envelope.partition.to_string()),
            id: envelope.map(|envelope| envelope.id.to_string()),
            queue_id: letter.delivery.id.clone(),
            receives: letter.delivery.receive_count,
            reason: letter.reason().map(str::to_owned),
            trouble,
        }
    }
}

impl Row {
    /// Why the message is where it is. The endpoint that parked it knows that best; this command knows no message types, and can
    /// only say what it could not read or do.
    fn why(&self) -> String {
        match (&self.reason, &self.trouble) {
            (Some(reason), Some(trouble)) if self.fate == "failed" => format!("{trouble} (parked because: {reason})"),
            (Some(reason), _) => reason.clone(),
            (None, trouble) => trouble.clone().unwrap_or_default(),
        }
    }
}

const fn standing(standing: Option<&MessageStatus>) -> &'static str {
    match standing {
        Some(MessageStatus::Committed) => "committed",
        Some(MessageStatus::Processed) => "done",
        Some(MessageStatus::NotProcessed) => "not_processed",
        Some(MessageStatus::Missing) => "payload_missing",
        Some(MessageStatus::Unreadable(_)) => "unreadable",
        None => "unknown",
    }
}

const fn fate(fate: &Fate) -> &'static str {
    match fate {
        Fate::Left => "left",
        Fate::Finished => "finished",
        Fate::Deleted => "deleted",
        Fate::PutBack => "put_back",
        Fate::Parked => "parked",
        Fate::Failed(_) => "failed",
    }
}

impl Report {
    pub(super) fn new(queue: &str, dry_run: bool) -> Self {
        let (counts, standings) = (BTreeMap::new(), BTreeMap::new());
        let queue = queue.to_owned();
        Self { queue, dry_run, complete: false, counts, standings, unseen: 0, others: 0, letters: Vec::new() }
    }

    pub(super) fn note(&mut self, letter: &DeadLetter) {
        let row = Row::new(letter);
        *self.counts.entry(row.fate).or_default() += 1;
        *self.standings.entry(row.standing).or_default() += 1;
        let place = self.letters.partition_point(|other| *other < row);
        self.letters.insert(place, row);
        if self.letters.len().is_multiple_of(100) {
            terminal::progress(format_args!("{} messages received", self.letters.len()));
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Compares what stays with how many messages the queue has, which may be hidden from whoever looks.
    pub(super) fn compare(&mut self, depth: u64) {
        let gone = |row: &&Row| !self.dry_run && !matches!(row.fate, "left" | "failed");
        let gone = self.letters.iter().filter(gone).count();
        self.unseen = depth.saturating_sub((self.letters.len() - gone) as u64);
        self.complete = self.unseen == 0;
    }

    /// Whether something stays where it should not be.
    pub(super) fn leaves_some(&self) -> bool {
        self.letters.iter().any(|row| matches!(row.fate, "left" | "failed"))
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row = |row: &Row| {
            let or_dash = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
            let [endpoint, standing, fate] = [&row.endpoint, row.standing, row.fate].map(str::to_owned);
            let [kind, partition, id] = [&row.r#type, &row.partition, &row.id].map(or_dash);
            let id = if row.id.is_none() { format!("({})", row.queue_id) } else { id };
            [standing, fate, endpoint, kind, partition, id, row.receives.to_string(), row.why()]
        };
        let heading = ["STANDING", "FATE", "ENDPOINT", "TYPE", "PARTITION", "ID", "RECEIVES", "REASON"];
        write!(f, "{}", Table::new(heading, self.letters.iter().map(row)))?;
        let told = |counts: &BTreeMap<&str, u64>| {
            counts.iter().map(|(what, count)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
        };
        let counts = match (self.letters.is_empty(), self.others) {
            (false, _) => format!("{} ({})", told(&self.counts), told(&self.standings)),
            (true, 0) => "no messages".to_owned(),
            (true, others) => format!("none of {others} messages is meant"),
        };
        write!(f, "queue `{}`: {counts}", self.queue)?;
        match (self.complete, self.unseen) {
            (true, _) => {}
            (false, 0) => write!(f, "; there may be more, run it again")?,
            (false, unseen) => write!(
                f,
                "; about {unseen} more are in somebody's hands, for up to five minutes, or behind others of their group"
            )?,
        }
        if self.dry_run { write!(f, " (dry run: nothing but receive counts was changed)") } else { Ok(()) }
    }
}
