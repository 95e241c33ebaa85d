//! How the services are started.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::credentials::Credentials;
use crate::dynamodb::DynamoDb;
use crate::faults::{Dice, Faults};
use crate::folder::Folder;
use crate::http::{Api, Endpoint, Listener, Server, listen};
use crate::journal::{Entries, Journal};
use crate::local_aws::{LocalAws, Servers};
use crate::s3::S3;
use crate::sqs::Sqs;
use crate::start_error::StartError;
use crate::usage::Meter;

/// How long the lock of a folder is waited for: a process that was killed takes a moment to let
/// go of it, and a `LocalAws` that was dropped first writes what is still to be written.
const PATIENCE: Duration = Duration::from_secs(5);

/// Where and how the services run. Made by [`LocalAws::builder`].
#[derive(Debug, Clone)]
#[must_use = "nothing runs until `start` is called"]
pub struct Builder {
    folder: Option<PathBuf>,
    faults: Faults,
    dynamodb_port: u16,
    s3_port: u16,
    sqs_port: u16,
    queue_cooldowns: bool,
    credentials: Credentials,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            folder: None,
            faults: Faults::default(),
            dynamodb_port: 0,
            s3_port: 0,
            sqs_port: 0,
            queue_cooldowns: true,
            credentials: Credentials::default(),
        }
    }
}

impl Builder {
    /// Keeps everything in this folder, which is created if need be, and goes on from what is
    /// there. What was acknowledged survives the end of the process, whatever that is.
    ///
    /// One `LocalAws` can use a folder at a time. Objects and messages are also held in
    /// memory while it runs.
    ///
    /// What does not survive is which DynamoDB transactions were done: one that is repeated
    /// after a restart under the same `ClientRequestToken` is done again.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Injects faults from the start. See [`LocalAws::set_faults`] for doing so later.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Serves DynamoDB on this port. By default the operating system chooses.
    pub fn dynamodb_port(mut self, port: u16) -> Self {
        self.dynamodb_port = port;
        self
    }

    /// Serves S3 on this port. By default the operating system chooses.
    pub fn s3_port(mut self, port: u16) -> Self {
        self.s3_port = port;
        self
    }

    /// Serves SQS on this port. By default the operating system chooses.
    pub fn sqs_port(mut self, port: u16) -> Self {
        self.sqs_port = port;
        self
    }

    /// Whether SQS refuses to purge a queue twice in 60 seconds (`PurgeQueueInProgress`) and to create
    /// a queue again within 60 seconds of its deletion (`QueueDeletedRecently`), as AWS does. Default:
    /// true. Tests that reuse the names of queues can turn it off.
    pub fn queue_cooldowns(mut self, queue_cooldowns: bool) -> Self {
        self.queue_cooldowns = queue_cooldowns;
        self
    }

    /// The keys that requests have to be signed with. S3 checks them; DynamoDB and SQS take
    /// any. By default `AKIDTEST` and `SECRETTEST`.
    pub fn credentials(mut self, access_key_id: impl Into<String>, secret_access_key: impl Into<String>) -> Self {
        self.credentials =
            Credentials { access_key_id: access_key_id.into(), secret_access_key: secret_access_key.into() };
        self
    }

    /// Starts the services on the current Tokio runtime. When this returns they can be used.
    ///
    /// # Errors
    ///
    /// If a port is taken, the folder is in use or cannot be read, or a fault has a rate that
    /// is not from 0 to 1.
    pub async fn start(self) -> Result<LocalAws, StartError> {
        self.faults.validate()?;
        // The ports first: they are what fails most, and nothing has been touched by then.
        let dynamodb = bind("DynamoDB", self.dynamodb_port).await?;
        let s3 = bind("S3", self.s3_port).await?;
        let sqs = bind("SQS", self.sqs_port).await?;

        let folder = match &self.folder {
            Some(path) => Some(Arc::new(Folder::open(path, PATIENCE).await?)),
            None => None,
        };
        let (stop, stopped) = watch::channel(false);
        let site = Site { folder, dice: Arc::new(Dice::new(self.faults)), meter: Arc::default(), stopped };
        let (dynamodb, s3) = (site.dynamodb(dynamodb)?, site.s3(s3, &self.credentials)?);
        let (server, sqs) = site.sqs(sqs, self.queue_cooldowns)?;
        let servers = Servers { dynamodb, s3, sqs: server };
        Ok(LocalAws { servers, sqs, stop, dice: site.dice, meter: site.meter, credentials: self.credentials })
    }
}

/// What the services have in common.
struct Site {
    folder: Option<Arc<Folder>>,
    dice: Arc<Dice>,
    meter: Arc<Meter>,
    stopped: watch::Receiver<bool>,
}

impl Site {
    fn dynamodb(&self, listener: Listener) -> Result<Server, StartError> {
        let api = DynamoDb::open(self.folder.clone(), Arc::clone(&self.meter))?;
        // The engine writes its own file.
        let journal = Arc::new(Journal::in_memory());
        Ok(self.serve(listener, api, journal))
    }

    fn s3(&self, listener: Listener, credentials: &Credentials) -> Result<Server, StartError> {
        let (journal, entries) = self.journal("s3.sqlite")?;
        let meter = Arc::clone(&self.meter);
        let api = S3::open(Arc::clone(&journal), &entries, credentials, meter)
            .map_err(|cause| self.unreadable("s3.sqlite", cause))?;
        Ok(self.serve(listener, api, journal))
    }

    fn sqs(&self, listener: Listener, cooldowns: bool) -> Result<(Server, Sqs), StartError> {
        let (journal, entries) = self.journal("sqs.sqlite")?;
        let (dice, meter) = (Arc::clone(&self.dice), Arc::clone(&self.meter));
        let stopped = self.stopped.clone();
        let api = Sqs::open(Arc::clone(&journal), &entries, dice, meter, stopped, cooldowns)
            .map_err(|cause| self.unreadable("sqs.sqlite", cause))?;
        Ok((self.serve(listener, api.clone(), journal), api))
    }

    fn serve<A: Api>(&self, listener: Listener, api: A, journal: Arc<Journal>) -> Server {
        let endpoint = Endpoint { api, dice: Arc::clone(&self.dice), meter: Arc::clone(&self.meter), journal };
        Server::start(listener, endpoint, self.stopped.clone())
    }

    fn journal(&self, name: &str) -> Result<(Arc<Journal>, Entries), StartError> {
        let Some(folder) = &self.folder else {
            return Ok((Arc::new(Journal::in_memory()), Entries::new()));
        };
        let (journal, entries) = Journal::open(folder, name).map_err(|error| self.unreadable(name, error))?;
        Ok((Arc::new(journal), entries))
    }

    fn unreadable(&self, name: &str, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> StartError {
        let folder = self.folder.as_ref();
        StartError::File { path: folder.map(|folder| folder.file(name)).unwrap_or_default(), cause: cause.into() }
    }
}

async fn bind(service: &'static str, port: u16) -> Result<Listener, StartError> {
    let bound = listen(port).await;
    bound.map_err(|cause| StartError::Port { service, port, cause })
}
