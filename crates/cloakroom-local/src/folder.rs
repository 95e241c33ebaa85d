//! The folder that holds the data of the services, locked to one process.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::time::{Instant, sleep};

use crate::start_error::StartError;

/// A folder to which only this process writes. The operating system releases the lock when the
/// process ends, even if it is killed.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
    _lock: File,
}

impl Folder {
    /// Creates the folder if it does not exist, and locks it. Waits up to `timeout` for another
    /// process that is ending.
    pub(crate) async fn open(path: &Path, timeout: Duration) -> Result<Self, StartError> {
        let failed = |cause| StartError::Folder { path: path.to_path_buf(), cause };
        fs::create_dir_all(path).map_err(failed)?;
        let lock = File::create(path.join("lock")).map_err(failed)?;
        let started = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => {
                    return Ok(Self { path: path.to_path_buf(), _lock: lock });
                }
                Err(TryLockError::WouldBlock) if started.elapsed() < timeout => {
                    sleep(Duration::from_millis(10)).await;
                }
                Err(TryLockError::WouldBlock) => {
                    return Err(StartError::FolderInUse { path: path.to_path_buf() });
                }
                Err(TryLockError::Error(cause)) => return Err(failed(cause)),
            }
        }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn folder_is_locked_by_one_owner_at_a_time() {
        let parent = tempfile::tempdir().expect("a folder");
        let path = parent.path().join("data");
        let first = Folder::open(&path, Duration::ZERO).await.expect("created and locked");
        let error = Folder::open(&path, Duration::ZERO).await.expect_err("locked");
        assert!(matches!(error, StartError::FolderInUse { .. }), "{error:?}");
        let error = error.to_string();
        assert!(error.contains("data") && error.contains("another"), "{error}");
        drop(first);
        Folder::open(&path, Duration::ZERO).await.expect("free again");
    }
}
