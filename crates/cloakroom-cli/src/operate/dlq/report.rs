//! The report on the messages of a queue.

use std::{collections::BTreeMap, fmt};

use cloakroom::recovery::{DeadLetter, Fate, MessageStatus};
use serde::Serialize;

use crate::{operate::table::Table, terminal};

/// The messages that were treated, and their counts.
#[derive(Debug, Serialize)]
pub(super) struct Report {
    queue: String,
    dry_run: bool,
    /// Whether the report includes every message in the queue.
    pub(super) complete: bool,
    /// The number of messages by fate.
    counts: BTreeMap<&'static str, u64>,
    /// The number of messages by standing.
    standings: BTreeMap<&'static str, u64>,
    /// The approximate number of further messages: in flight at another receiver, or behind other
    /// messages of their message group.
    unseen: u64,
    /// The number of messages that were received and not selected.
    pub(super) others: u64,
    letters: Vec<Row>,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
struct Row {
    /// The status of the message.
    standing: &'static str,
    /// The action on the message, or its failure.
    fate: &'static str,
    endpoint: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    r#type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    partition: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// The message id that the queue assigned.
    queue_id: String,
    receives: u32,
    /// The reason for which its endpoint parked it, if the message has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The error of a failed action, or the reason why the message cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

impl Row {
    fn new(dead_letter: &DeadLetter) -> Self {
        let envelope = dead_letter.envelope.as_ref();
        let trouble = match (&dead_letter.fate, &dead_letter.standing) {
            (Fate::Failed(reason), _) | (_, Some(MessageStatus::Unreadable(reason))) => Some(reason.clone()),
            (Fate::Left | Fate::Finished | Fate::Deleted | Fate::PutBack | Fate::Parked, _) => None,
        };
        Self {
            standing: standing(dead_letter.standing.as_ref()),
            fate: fate(&dead_letter.fate),
            endpoint: dead_letter.endpoint.clone(),
            r#type: envelope.map(|envelope| envelope.kind.clone()),
            partition: envelope.map(|envelope| envelope.partition.to_string()),
            id: envelope.map(|envelope| envelope.id.to_string()),
            queue_id: dead_letter.delivery.id.clone(),
            receives: dead_letter.delivery.receive_count,
            reason: dead_letter.reason().map(str::to_owned),
            trouble,
        }
    }
}

impl Row {
    /// Returns why the message is in the dead-letter queue. The endpoint that parked it knows the
    /// reason. This command does not know the message types, so it reports only its own errors.
    fn why(&self) -> String {
        match (&self.reason, &self.trouble) {
            (Some(reason), Some(trouble)) if self.fate == "failed" => {
                format!("{trouble} (reason for parking: {reason})")
            }
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

    pub(super) fn note(&mut self, dead_letter: &DeadLetter) {
        let row = Row::new(dead_letter);
        *self.counts.entry(row.fate).or_default() += 1;
        *self.standings.entry(row.standing).or_default() += 1;
        let index = self.letters.partition_point(|other| *other < row);
        self.letters.insert(index, row);
        if self.letters.len().is_multiple_of(100) {
            terminal::progress(format_args!("{} messages received", self.letters.len()));
        }
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.letters.is_empty()
    }

    /// Compares the messages that stay with the depth of the queue, which includes messages that
    /// were in flight at another receiver.
    pub(super) fn compare(&mut self, depth: u64) {
        let gone = |row: &&Row| !self.dry_run && !matches!(row.fate, "left" | "failed");
        let gone = self.letters.iter().filter(gone).count();
        self.unseen = depth.saturating_sub((self.letters.len() - gone) as u64);
        self.complete = self.unseen == 0;
    }

    /// Returns whether any message stays in its queue.
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
        let summary = |counts: &BTreeMap<&str, u64>| {
            counts.iter().map(|(what, count)| format!("{count} {what}")).collect::<Vec<_>>().join(", ")
        };
        let counts = match (self.letters.is_empty(), self.others) {
            (false, _) => format!("{} ({})", summary(&self.counts), summary(&self.standings)),
            (true, 0) => "no messages".to_owned(),
            (true, others) => format!("none of {others} messages was selected"),
        };
        write!(f, "queue `{}`: {counts}", self.queue)?;
        match (self.complete, self.unseen) {
            (true, _) => {}
            (false, 0) => write!(f, "; there may be more messages, run the command again")?,
            (false, unseen) => write!(
                f,
                "; about {unseen} more messages are in flight for up to five minutes, or behind other messages of their group"
            )?,
        }
        if self.dry_run { write!(f, " (dry run: only receive counts were changed)") } else { Ok(()) }
    }
}
