//! Configuring and starting the services.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::credentials::Credentials;
use crate::dynamodb::DynamoDb;
use crate::faults::{FaultInjector, Faults};
use crate::folder::Folder;
use crate::http::endpoint::{Api, Endpoint};
use crate::http::listener::{Listener, Server, listen};
use crate::journal::{Entries, Journal};
use crate::local_aws::{LocalAws, Servers};
use crate::s3::S3;
use crate::sqs::service::Sqs;
use crate::start_error::StartError;
use crate::usage::Meter;

/// How long [`Folder::open`] waits for the lock of a folder. The operating system releases the lock
/// of a killed process after a delay. A `LocalAws` that was dropped first writes its remaining
/// batches.
const LOCK_TIMEOUT: Duration = Duration::from_secs(5);

/// The configuration of a [`LocalAws`]. Created by [`LocalAws::builder`].
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

impl LocalAws {
    /// Starts the services in memory, on ports that the operating system chooses.
    ///
    /// # Errors
    ///
    /// If no port is available.
    pub async fn start() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// Returns a [`Builder`], which configures the folder, ports and faults.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use cloakroom_local::{Faults, LocalAws};
    ///
    /// let aws = LocalAws::builder()
    ///     .folder("data")
    ///     .sqs_port(4503)
    ///     .faults(Faults { duplicate_deliveries: 0.01, ..Faults::default() })
    ///     .start()
    ///     .await?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn builder() -> Builder {
        Builder::default()
    }
}

impl Builder {
    /// Sets the folder for all data. The folder is created if it does not exist; otherwise its data
    /// is loaded. An acknowledged write survives the end of the process, even if the process is
    /// killed.
    ///
    /// Only one `LocalAws` can use a folder at a time. Objects and messages are also held in memory
    /// while it runs.
    ///
    /// The list of completed DynamoDB transactions does not survive. A transaction that is repeated
    /// after a restart with the same `ClientRequestToken` is performed again.
    pub fn folder(mut self, folder: impl Into<PathBuf>) -> Self {
        self.folder = Some(folder.into());
        self
    }

    /// Sets the faults to inject from the start. [`LocalAws::set_faults`] changes them later.
    pub fn faults(mut self, faults: Faults) -> Self {
        self.faults = faults;
        self
    }

    /// Sets the port of DynamoDB. By default, the operating system chooses one.
    pub fn dynamodb_port(mut self, port: u16) -> Self {
        self.dynamodb_port = port;
        self
    }

    /// Sets the port of S3. By default, the operating system chooses one.
    pub fn s3_port(mut self, port: u16) -> Self {
        self.s3_port = port;
        self
    }

    /// Sets the port of SQS. By default, the operating system chooses one.
    pub fn sqs_port(mut self, port: u16) -> Self {
        self.sqs_port = port;
        self
    }

    /// Sets whether SQS enforces the waiting times of AWS: it rejects a second purge of a queue
    /// within 60 seconds (`PurgeQueueInProgress`), and the creation of a queue within 60 seconds of
    /// its deletion (`QueueDeletedRecently`). Default: true. Tests that reuse the names of queues
    /// can disable this.
    pub fn queue_cooldowns(mut self, queue_cooldowns: bool) -> Self {
        self.queue_cooldowns = queue_cooldowns;
        self
    }

    /// Sets the keys with which clients sign their requests. S3 verifies signatures. DynamoDB and
    /// SQS accept any. Default: `AKIDTEST` and `SECRETTEST`.
    pub fn credentials(mut self, access_key_id: impl Into<String>, secret_access_key: impl Into<String>) -> Self {
        self.credentials =
            Credentials { access_key_id: access_key_id.into(), secret_access_key: secret_access_key.into() };
        self
    }

    /// Starts the services on the current Tokio runtime. They accept requests when this method
    /// returns.
    ///
    /// # Errors
    ///
    /// If a port is in use, the folder is in use or cannot be read, or a fault's rate is not from 0
    /// to 1.
    pub async fn start(self) -> Result<LocalAws, StartError> {
        self.faults.validate()?;
        // Ports are bound first: this step fails most often, and nothing else has changed yet.
        let dynamodb = bind("DynamoDB", self.dynamodb_port).await?;
        let s3 = bind("S3", self.s3_port).await?;
        let sqs = bind("SQS", self.sqs_port).await?;

        let folder = match &self.folder {
            Some(path) => Some(Arc::new(Folder::open(path, LOCK_TIMEOUT).await?)),
            None => None,
        };
        let (stop, stopped) = watch::channel(false);
        let shared =
            Shared { folder, injector: Arc::new(FaultInjector::new(self.faults)), meter: Arc::default(), stopped };
        let (dynamodb, s3) = (shared.dynamodb(dynamodb)?, shared.s3(s3, &self.credentials)?);
        let (server, sqs) = shared.sqs(sqs, self.queue_cooldowns)?;
        let servers = Servers { dynamodb, s3, sqs: server };
        Ok(LocalAws {
            servers,
            sqs,
            stop,
            injector: shared.injector,
            meter: shared.meter,
            credentials: self.credentials,
        })
    }
}

/// The parts that the services share.
struct Shared {
    folder: Option<Arc<Folder>>,
    injector: Arc<FaultInjector>,
    meter: Arc<Meter>,
    stopped: watch::Receiver<bool>,
}

impl Shared {
    fn dynamodb(&self, listener: Listener) -> Result<Server, StartError> {
        let api = DynamoDb::open(self.folder.clone(), Arc::clone(&self.meter))?;
        // The engine writes its own file, so it needs no journal.
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
        let (injector, meter) = (Arc::clone(&self.injector), Arc::clone(&self.meter));
        let stopped = self.stopped.clone();
        let api = Sqs::open(Arc::clone(&journal), &entries, injector, meter, stopped, cooldowns)
            .map_err(|cause| self.unreadable("sqs.sqlite", cause))?;
        Ok((self.serve(listener, api.clone(), journal), api))
    }

    fn serve<A: Api>(&self, listener: Listener, api: A, journal: Arc<Journal>) -> Server {
        let endpoint = Endpoint { api, injector: Arc::clone(&self.injector), meter: Arc::clone(&self.meter), journal };
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
