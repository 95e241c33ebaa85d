//! The running services.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::builder::Builder;
use crate::credentials::Credentials;
use crate::faults::{Dice, Faults, InvalidFaults};
use crate::http::{Connections, Server};
use crate::sqs::Sqs;
use crate::start_error::StartError;
use crate::usage::{Meter, Usage};

/// DynamoDB, S3 and SQS, running until this is dropped.
///
/// They run on the Tokio runtime that they were started on, so they also end with it.
pub struct LocalAws {
    pub(crate) servers: Servers,
    /// For clients in this process.
    pub(crate) sqs: Sqs,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) dice: Arc<Dice>,
    pub(crate) meter: Arc<Meter>,
    pub(crate) credentials: Credentials,
}

/// One of the services of a [`LocalAws`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwsService {
    /// DynamoDB and its streams.
    DynamoDb,
    /// S3.
    S3,
    /// SQS.
    Sqs,
}

impl AwsService {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::DynamoDb, Self::S3, Self::Sqs];
}

/// One server for each service.
pub(crate) struct Servers {
    pub(crate) dynamodb: Server,
    pub(crate) s3: Server,
    pub(crate) sqs: Server,
}

impl std::fmt::Debug for LocalAws {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LocalAws")
            .field("dynamodb", &self.dynamodb_url())
            .field("s3", &self.s3_url())
            .field("sqs", &self.sqs_url())
            .finish_non_exhaustive()
    }
}

impl LocalAws {
    /// Starts the services in memory, on ports that the operating system chooses.
    ///
    /// # Errors
    ///
    /// If no ports can be had.
    pub async fn start() -> Result<Self, StartError> {
        Self::builder().start().await
    }

    /// Says where and how to start: see [`Builder`].
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

    /// Where DynamoDB and its streams are, as in `http://127.0.0.1:4501`.
    #[must_use]
    pub fn dynamodb_url(&self) -> String {
        self.servers.dynamodb.url()
    }

    /// Where S3 is. Buckets are in the path, not in the name of the host: clients have to be
    /// told so (`force_path_style`).
    #[must_use]
    pub fn s3_url(&self) -> String {
        self.servers.s3.url()
    }

    /// Where SQS is.
    #[must_use]
    pub fn sqs_url(&self) -> String {
        self.servers.sqs.url()
    }

    /// The environment variables by which the AWS SDKs and the AWS command line find these
    /// services and are let in.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// let aws = cloakroom_local::LocalAws::start().await?;
    /// let status = std::process::Command::new("aws")
    ///     .args(["dynamodb", "list-tables"])
    ///     .envs(aws.environment())
    ///     .status()?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL_DYNAMODB", self.dynamodb_url()),
            ("AWS_ENDPOINT_URL_DYNAMODB_STREAMS", self.dynamodb_url()),
            ("AWS_ENDPOINT_URL_S3", self.s3_url()),
            ("AWS_ENDPOINT_URL_SQS", self.sqs_url()),
            ("AWS_REGION", crate::REGION.to_owned()),
            // The one that boto3 and the command of AWS read.
            ("AWS_DEFAULT_REGION", crate::REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", self.credentials.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.credentials.secret_access_key.clone()),
        ]
    }

    /// Injects these faults from now on, in place of those before. The random sequence starts
    /// again from their seed.
    ///
    /// # Errors
    ///
    /// If a rate is not from 0 to 1; then nothing changes.
    pub fn set_faults(&self, faults: Faults) -> Result<(), InvalidFaults> {
        faults.validate()?;
        self.dice.load(faults);
        Ok(())
    }

    /// The faults that are being injected.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.dice.faults()
    }

    /// Silences the connections that are open to a service now, for good: no request on them is
    /// answered any more, and they are not closed. A request that has arrived is carried out; a later
    /// one is not. New connections work. Returns how many connections went silent.
    pub fn silence_connections(&self, service: AwsService) -> u64 {
        self.count_silenced(self.connections(service).silence_open())
    }

    /// Silences a whole service for this time: the connections that are open now, and those that are
    /// opened meanwhile. They stay silent afterwards; connections that are opened later work. Returns
    /// how many open connections went silent.
    pub fn silence_service(&self, service: AwsService, duration: Duration) -> u64 {
        self.count_silenced(self.connections(service).silence_all(duration))
    }

    fn connections(&self, service: AwsService) -> &Connections {
        match service {
            AwsService::DynamoDb => self.servers.dynamodb.connections(),
            AwsService::S3 => self.servers.s3.connections(),
            AwsService::Sqs => self.servers.sqs.connections(),
        }
    }

    fn count_silenced(&self, silenced: u64) -> u64 {
        self.meter.record(|usage| usage.faults.silences += silenced);
        silenced
    }

    /// What was asked of the services so far, and what AWS would bill for it.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.meter.usage()
    }

    /// Stops accepting requests and waits until those that are running are answered.
    ///
    /// Dropping stops the services too, but breaks off what is running.
    pub async fn shutdown(self) {
        let Self { servers, stop, .. } = self;
        stop.send_replace(true);
        servers.dynamodb.ended().await;
        servers.s3.ended().await;
        servers.sqs.ended().await;
    }
}
