//! Batches: checks of the whole batch, and the result of each entry.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::sqs::error::{Error, Kind};

/// A request with several entries.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Batch<E> {
    #[serde(default)]
    pub(super) queue_url: String,
    #[serde(default = "Vec::new")]
    pub(super) entries: Vec<E>,
}

/// An entry with an id.
pub(super) trait Entry {
    fn id(&self) -> &str;
}

/// The results of the entries.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Outcome<S> {
    pub(super) successful: Vec<S>,
    pub(super) failed: Vec<Failure>,
}

/// An entry that failed.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Failure {
    id: String,
    sender_fault: bool,
    code: String,
    message: String,
}

const MAX_ENTRIES: usize = 10;

impl<E: Entry> Batch<E> {
    /// Checks the conditions under which the whole batch fails.
    pub(super) fn check(&self) -> Result<(), Error> {
        if self.entries.is_empty() {
            return Err(Kind::EmptyBatchRequest.because("There should be at least one entry in the request."));
        }
        if self.entries.len() > MAX_ENTRIES {
            return Err(Kind::TooManyEntriesInBatchRequest.because(format!(
                "Maximum number of entries per request are {MAX_ENTRIES}. You have sent {}.",
                self.entries.len()
            )));
        }
        let mut ids = HashSet::new();
        for entry in &self.entries {
            let id = entry.id();
            let plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
            if id.is_empty() || id.len() > 80 || !id.chars().all(plain) {
                return Err(Kind::InvalidBatchEntryId.because(
                    "A batch entry id can only contain alphanumeric characters, hyphens and \
                     underscores. It can be at most 80 letters long.",
                ));
            }
            if !ids.insert(id) {
                return Err(Kind::BatchEntryIdsNotDistinct.because(format!("Id {id} repeated.")));
            }
        }
        Ok(())
    }

    /// Performs the operation for each entry separately.
    pub(super) fn each<S>(self, mut operation: impl FnMut(E) -> Result<S, Error>) -> Outcome<S> {
        let mut outcome = Outcome { successful: Vec::with_capacity(self.entries.len()), failed: Vec::new() };
        for entry in self.entries {
            let id = entry.id().to_owned();
            match operation(entry) {
                Ok(success) => outcome.successful.push(success),
                Err(error) => outcome.failed.push(Failure {
                    id,
                    sender_fault: error.kind.is_senders_fault(),
                    code: error.kind.code(),
                    message: error.message,
                }),
            }
        }
        outcome
    }
}

/// The result of an entry without further content.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Success {
    pub(super) id: String,
}
