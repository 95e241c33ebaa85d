//! The running services.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::credentials::Credentials;
use crate::faults::{FaultInjector, Faults, InvalidFaults};
use crate::http::listener::Server;
use crate::http::silence::Connections;
use crate::sqs::service::Sqs;
use crate::usage::{Meter, Usage};

/// DynamoDB, S3 and SQS, which run until this value is dropped.
///
/// They run on the Tokio runtime on which they were started, so they also end with that runtime.
pub struct LocalAws {
    pub(crate) servers: Servers,
    /// Called directly by Lambda functions in this process.
    pub(crate) sqs: Sqs,
    pub(crate) stop: watch::Sender<bool>,
    pub(crate) injector: Arc<FaultInjector>,
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
    /// All services.
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
    /// Returns the URL of DynamoDB and its streams, for example `http://127.0.0.1:4501`.
    #[must_use]
    pub fn dynamodb_url(&self) -> String {
        self.servers.dynamodb.url()
    }

    /// Returns the URL of S3. The bucket is part of the path, not of the host name, so clients must
    /// enable `force_path_style`.
    #[must_use]
    pub fn s3_url(&self) -> String {
        self.servers.s3.url()
    }

    /// Returns the URL of SQS.
    #[must_use]
    pub fn sqs_url(&self) -> String {
        self.servers.sqs.url()
    }

    /// Returns the environment variables with the endpoint URLs, region and credentials that the
    /// AWS SDKs and the AWS CLI read.
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
            // boto3 and the AWS CLI read this variable.
            ("AWS_DEFAULT_REGION", crate::REGION.to_owned()),
            ("AWS_ACCESS_KEY_ID", self.credentials.access_key_id.clone()),
            ("AWS_SECRET_ACCESS_KEY", self.credentials.secret_access_key.clone()),
        ]
    }

    /// Replaces the faults to inject. The random sequence starts again from the seed of the new
    /// faults.
    ///
    /// # Errors
    ///
    /// If a rate is not from 0 to 1. In this case, the faults do not change.
    pub fn set_faults(&self, faults: Faults) -> Result<(), InvalidFaults> {
        faults.validate()?;
        self.injector.replace(faults);
        Ok(())
    }

    /// Returns the faults that are currently injected.
    #[must_use]
    pub fn faults(&self) -> Faults {
        self.injector.faults()
    }

    /// Silences the open connections of a service permanently. They stay open, but no request on
    /// them gets a response. A request that has already arrived is performed. A later one is not.
    /// New connections work. Returns the number of connections that were silenced.
    pub fn silence_connections(&self, service: AwsService) -> u64 {
        self.count_silenced(self.connections(service).silence_open())
    }

    /// Silences a whole service for this duration: the open connections and those that are opened
    /// during it. These connections stay silent afterwards. Connections that are opened later work.
    /// Returns the number of open connections that were silenced.
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

    /// Returns the number of requests so far, and what AWS would bill for them.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.meter.usage()
    }

    /// Stops accepting requests, and waits until all running requests have a response.
    ///
    /// Dropping the value also stops the services, but it aborts running requests.
    pub async fn shutdown(self) {
        let Self { servers, stop, .. } = self;
        stop.send_replace(true);
        servers.dynamodb.ended().await;
        servers.s3.ended().await;
        servers.sqs.ended().await;
    }
}
