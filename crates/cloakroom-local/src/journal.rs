//! Durable storage for S3 and SQS: a key-value journal on SQLite with group commit.
//!
//! The services read from memory. Each change is *recorded* in the journal, one [`Batch`] per
//! request, in the order in which it was made in memory. A writer thread commits all waiting
//! batches in one transaction. A request waits only once, before its response is sent
//! ([`Journal::until_durable`]), until everything recorded so far is on disk. Therefore no
//! response, not even that of a read, shows a change that a restart would lose.
//!
//! In memory mode, the journal has no file. Recording does nothing, and nothing waits.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread::JoinHandle;

use bytes::Bytes;
use rusqlite::{Connection, params};
use tokio::sync::watch;

use crate::folder::Folder;

/// Changes that become durable together or not at all.
#[derive(Debug, Default)]
pub(crate) struct Batch {
    changes: Vec<Change>,
}

#[derive(Debug)]
struct Change {
    space: &'static str,
    key: String,
    /// `None` deletes the entry.
    value: Option<Bytes>,
}

impl Batch {
    pub(crate) fn put(&mut self, space: &'static str, key: impl Into<String>, value: impl Into<Bytes>) {
        self.changes.push(Change { space, key: key.into(), value: Some(value.into()) });
    }

    pub(crate) fn delete(&mut self, space: &'static str, key: impl Into<String>) {
        self.changes.push(Change { space, key: key.into(), value: None });
    }
}

#[cfg(test)]
impl Batch {
    /// Applies the batch as the writer applies it to the file.
    pub(crate) fn apply_to(self, entries: &mut Entries) {
        for Change { space, key, value } in self.changes {
            let space = entries.entry(space.to_owned()).or_default();
            match value {
                Some(value) => space.insert(key, value.to_vec()),
                None => space.remove(&key),
            };
        }
    }
}

/// The entries of a journal when it was opened, by space and key.
pub(crate) type Entries = BTreeMap<String, BTreeMap<String, Vec<u8>>>;

/// The journal of one service.
pub(crate) struct Journal {
    file: Option<File>,
}

struct File {
    path: PathBuf,
    batches: Option<mpsc::Sender<Batch>>,
    recorded: AtomicU64,
    written: watch::Receiver<Progress>,
    writer: Option<JoinHandle<()>>,
    /// Keeps the folder locked until the last batch is written.
    _folder: Arc<Folder>,
}

#[derive(Debug, Clone)]
enum Progress {
    /// The number of durable batches.
    Written(u64),
    /// A batch could not be written. No later batch is written either.
    Failed(String),
}

/// The journal's file could not be opened, read or written.
#[derive(Debug, Clone)]
pub(crate) struct JournalError {
    path: PathBuf,
    cause: String,
}

impl std::fmt::Display for JournalError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.path.display(), self.cause)
    }
}

impl std::error::Error for JournalError {}

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = NORMAL;
    CREATE TABLE IF NOT EXISTS entries (
        space TEXT NOT NULL,
        key TEXT NOT NULL,
        value BLOB NOT NULL,
        PRIMARY KEY (space, key)
    );";

impl Journal {
    /// Returns a journal without a file.
    pub(crate) fn in_memory() -> Self {
        Self { file: None }
    }

    /// Opens the journal of this name in the folder, and reads its entries. Creates it if it does
    /// not exist.
    pub(crate) fn open(folder: &Arc<Folder>, name: &str) -> Result<(Self, Entries), JournalError> {
        let path = folder.file(name);
        let failed = |error: rusqlite::Error| JournalError { path: path.clone(), cause: error.to_string() };
        let connection = Connection::open(&path).map_err(failed)?;
        connection.execute_batch(SCHEMA).map_err(failed)?;
        let entries = read_all(&connection).map_err(failed)?;

        let (batches, inbox) = mpsc::channel();
        let (progress, written) = watch::channel(Progress::Written(0));
        let writer = std::thread::Builder::new()
            .name("cloakroom-local-journal".into())
            .spawn(move || write_until_closed(connection, &inbox, &progress))
            .map_err(|error| JournalError {
                path: path.clone(),
                cause: format!("cannot start the writer thread: {error}"),
            })?;
        let file = File {
            path,
            batches: Some(batches),
            recorded: AtomicU64::new(0),
            written,
            writer: Some(writer),
            _folder: Arc::clone(folder),
        };
        Ok((Self { file: Some(file) }, entries))
    }

    /// Whether the journal has a file. Callers skip the encoding of records if it has none.
    pub(crate) fn is_durable(&self) -> bool {
        self.file.is_some()
    }

    /// Records a batch. The caller holds the lock of the changed data, so the journal receives the
    /// batches in the order of their changes.
    pub(crate) fn record(&self, batch: Batch) {
        let Some(file) = &self.file else { return };
        if batch.changes.is_empty() {
            return;
        }
        file.recorded.fetch_add(1, Ordering::SeqCst);
        if let Some(batches) = &file.batches {
            // Fails only if the writer has failed, which `until_durable` reports.
            let _ = batches.send(batch);
        }
    }

    /// Waits until everything recorded so far is durable.
    pub(crate) async fn until_durable(&self) -> Result<(), JournalError> {
        let Some(file) = &self.file else {
            return Ok(());
        };
        let recorded = file.recorded.load(Ordering::SeqCst);
        let mut written = file.written.clone();
        let outcome = written
            .wait_for(|progress| match progress {
                Progress::Written(count) => *count >= recorded,
                Progress::Failed(_) => true,
            })
            .await;
        let cause = match outcome.as_deref() {
            Ok(Progress::Written(_)) => return Ok(()),
            Ok(Progress::Failed(cause)) => cause.clone(),
            Err(_) => "the writer thread has ended".into(),
        };
        Err(JournalError { path: file.path.clone(), cause })
    }
}

impl Drop for File {
    /// Waits until all recorded batches are written and the file is closed, so the folder can be
    /// opened again immediately.
    fn drop(&mut self) {
        self.batches = None;
        if let Some(writer) = self.writer.take() {
            let _ = writer.join();
        }
    }
}

fn read_all(connection: &Connection) -> rusqlite::Result<Entries> {
    let mut entries = Entries::new();
    let mut statement = connection.prepare("SELECT space, key, value FROM entries")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let space: String = row.get(0)?;
        entries.entry(space).or_default().insert(row.get(1)?, row.get(2)?);
    }
    Ok(entries)
}

fn write_until_closed(mut connection: Connection, inbox: &mpsc::Receiver<Batch>, progress: &watch::Sender<Progress>) {
    let mut written = 0;
    while let Ok(first) = inbox.recv() {
        let batches: Vec<Batch> = std::iter::once(first).chain(inbox.try_iter()).collect();
        written += batches.len() as u64;
        if let Err(error) = write(&mut connection, &batches) {
            progress.send_replace(Progress::Failed(error.to_string()));
            return;
        }
        progress.send_replace(Progress::Written(written));
    }
}

fn write(connection: &mut Connection, batches: &[Batch]) -> rusqlite::Result<()> {
    let transaction = connection.transaction()?;
    {
        let mut put =
            transaction.prepare_cached("INSERT OR REPLACE INTO entries (space, key, value) VALUES (?, ?, ?)")?;
        let mut delete = transaction.prepare_cached("DELETE FROM entries WHERE space = ? AND key = ?")?;
        for change in batches.iter().flat_map(|batch| &batch.changes) {
            match &change.value {
                Some(value) => put.execute(params![change.space, change.key, &**value])?,
                None => delete.execute(params![change.space, change.key])?,
            };
        }
    }
    transaction.commit()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAME: &str = "journal.sqlite";

    async fn folder() -> (tempfile::TempDir, Arc<Folder>) {
        let parent = tempfile::tempdir().expect("a folder");
        let folder = Folder::open(parent.path(), std::time::Duration::ZERO).await.expect("locked");
        (parent, Arc::new(folder))
    }

    fn put(key: &str, value: &str) -> Batch {
        let mut batch = Batch::default();
        batch.put("things", key, value.to_owned());
        batch
    }

    #[tokio::test]
    async fn durable_journal_entries_are_read_back() {
        let (_parent, folder) = folder().await;
        let (journal, entries) = Journal::open(&folder, NAME).expect("a new journal");
        assert!(entries.is_empty());
        for number in 0..100 {
            journal.record(put(&format!("key {number}"), "old"));
        }
        journal.record(put("key 7", "new"));
        let mut gone = Batch::default();
        gone.delete("things", "key 8");
        journal.record(gone);
        journal.until_durable().await.expect("written");

        // A second connection reads the entries while the first is open, as after a kill.
        let (_, entries) = Journal::open(&folder, NAME).expect("the same journal");
        let things = &entries["things"];
        assert_eq!(things.len(), 99);
        assert_eq!(things["key 7"], b"new");
        assert!(!things.contains_key("key 8"));
    }

    #[tokio::test]
    async fn failed_journal_write_fails_every_later_wait() {
        let (_parent, folder) = folder().await;
        let (journal, _) = Journal::open(&folder, NAME).expect("a new journal");
        Connection::open(folder.file(NAME))
            .and_then(|other| other.execute_batch("DROP TABLE entries"))
            .expect("the table is dropped");
        journal.record(put("key", "value"));
        let error = journal.until_durable().await.expect_err("cannot be written");
        assert!(error.to_string().contains("journal.sqlite"), "{error}");
        journal.record(put("key", "value"));
        assert!(journal.until_durable().await.is_err());
    }

    #[tokio::test]
    async fn journal_in_memory_never_waits() {
        let journal = Journal::in_memory();
        journal.record(put("key", "value"));
        journal.until_durable().await.expect("nothing to wait for");
        assert!(!journal.is_durable());
    }
}
