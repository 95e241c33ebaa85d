//! All ports on one set of clients.

pub(crate) mod settings;

use std::{sync::Arc, time::Duration};

use aws_sdk_dynamodb::config::retry::RetryPartition;
use aws_types::{SdkConfig, sdk_ua_metadata::FrameworkMetadata, service_config::ServiceConfigKey};
use cloakroom::{
    Ports,
    observe::{Observer, Service},
    ports::{PayloadStore, RoutedPayloads, SystemRandom},
};

use crate::{
    aws::settings::AwsSettings,
    client::{consumption::Meter, credentials, http, timeouts},
    clock::TokioClock,
    dynamodb::{payload_table::DynamoPayloads, records::DynamoRecords, store::DynamoStore},
    s3::{address::BucketAddress, payloads::S3Payloads},
    settings::SettingsError,
    sqs::queue::SqsQueues,
};

/// DynamoDB, S3 and SQS, used with clients of the caller.
///
/// Clients are used as they are: the caller decides about region, credentials, endpoints, timeouts
/// and retries. Nothing is read from the environment. Three calls are sent without the client's
/// retries: committing, checking in a payload, and sending. See [Retries](crate#retries).
///
/// If you make the clients yourself, consider these points. [`Aws::configured`] takes care of all
/// of them.
///
/// - **The SDK sets no timeouts except for connecting.** Set an attempt timeout and an operation
///   timeout below [`call_ms_max`](cloakroom::EndpointSettings::call_ms_max). After that time an
///   endpoint abandons the call, but the SDK does not close the connection.
///   [`Diagnosis`](crate::Diagnosis) warns if timeouts are missing.
/// - Turn off the SDK's correction of a wrong clock (`disable_clock_skew_correction`). Expiry times
///   are written by the machine's clock.
/// - A client of S3 uses less CPU time with a [`BucketAddress`].
///
/// ```no_run
/// use cloakroom_aws::{Aws, AwsSettings};
///
/// # fn example(
/// #     dynamodb: aws_sdk_dynamodb::Client, s3: aws_sdk_s3::Client, sqs: aws_sdk_sqs::Client,
/// # ) -> Result<(), cloakroom_aws::SettingsError> {
/// // `let dynamodb = aws_sdk_dynamodb::Client::new(&aws_config::load_from_env().await)`, and so on.
/// let aws = Aws::new(dynamodb, s3, sqs, AwsSettings::new("orders", "orders-payloads"))?;
/// let ports = aws.ports();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Aws {
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) settings: AwsSettings,
    ports: Ports,
}

impl Aws {
    /// Creates the ports. Sends no request to AWS.
    ///
    /// # Errors
    /// A setting that AWS would refuse.
    pub fn new(
        dynamodb: aws_sdk_dynamodb::Client,
        s3: aws_sdk_s3::Client,
        sqs: aws_sdk_sqs::Client,
        settings: AwsSettings,
    ) -> Result<Self, SettingsError> {
        settings.validate()?;
        let AwsSettings { table, limits, items_per_request_max, .. } = &settings;
        let store = DynamoStore::new(dynamodb.clone(), table).with_items_per_request_max(*items_per_request_max);
        let ports = Ports {
            store: Arc::new(store.with_limits(*limits)),
            payloads: payloads(&dynamodb, &s3, &settings),
            queues: Arc::new(SqsQueues::new(sqs.clone(), settings.queues.clone())?.with_limits(*limits)),
            clock: Arc::new(TokioClock),
            random: Arc::new(SystemRandom),
            limits: *limits,
        };
        Ok(Self { dynamodb, s3, sqs, settings, ports })
    }

    /// Creates the clients from a configuration that `aws-config` has loaded, with all of its
    /// standard variables and files. If the configuration names an endpoint for S3, buckets are
    /// addressed by path, because most services other than AWS support nothing else.
    ///
    /// The configuration's own values stay. The defaults for the others are:
    ///
    /// - **Timeouts**: 4 seconds for one try of a request, and 9 seconds for an operation with its
    ///   retries and a refresh of credentials. A long poll may take as much longer as it waits. A
    ///   configuration that sets a timeout for reading, tries or operations keeps its own.
    /// - **Credentials**: a load of credentials continues when the request that waits for it is
    ///   abandoned. A request within 2 minutes of its start uses its result. Each configured `Aws`
    ///   loads credentials for itself, so create one and clone it.
    /// - **Clock**: the SDK's correction of a wrong clock is off. Cloakroom writes expiry times by
    ///   the machine's clock, and AWS refuses a machine whose clock is wrong by more than 5 to 15
    ///   minutes. A configuration that sets the correction keeps its own.
    /// - **HTTP**: one client for each service, which closes idle connections after 20 seconds.
    ///   Services close idle connections too, and a request on a connection that is being closed
    ///   has an unknown outcome. After a request got no answer for 3 seconds and was abandoned, the
    ///   client makes new connections, at most every 10 seconds: the cause has usually broken other
    ///   connections as well.
    ///
    /// Each client has its own budget of retries (a custom retry partition), which other clients in
    /// the process do not use up. Its user agent contains `cloakroom/` and the version.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use cloakroom_aws::{Aws, AwsSettings};
    ///
    /// let config = aws_config::load_defaults(aws_config::BehaviorVersion::latest()).await;
    /// let aws = Aws::configured(&config, AwsSettings::new("orders", "orders-payloads"))?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// A setting that AWS would refuse, or a configuration without a region.
    pub fn configured(config: &SdkConfig, settings: AwsSettings) -> Result<Self, SettingsError> {
        if config.region().is_none() {
            return Err(SettingsError::new("region", "", "set: by `AWS_REGION`, or in the profile"));
        }
        // Each service has connections of its own: if one does not answer, the others keep their
        // connections.
        let config = &with_defaults(config);
        let own = || with_connections(config);
        let own_retries = |service| RetryPartition::custom(format!("cloakroom-{service}")).build();
        let dynamodb = aws_sdk_dynamodb::config::Builder::from(&own()).retry_partition(own_retries("dynamodb")).build();
        let s3 = aws_sdk_s3::config::Builder::from(&own()).force_path_style(has_own_endpoint(config, "S3"));
        let s3 = s3.endpoint_resolver(BucketAddress::default()).retry_partition(own_retries("s3")).build();
        let sqs = aws_sdk_sqs::config::Builder::from(&own()).retry_partition(own_retries("sqs")).build();
        let (dynamodb, s3) = (aws_sdk_dynamodb::Client::from_conf(dynamodb), aws_sdk_s3::Client::from_conf(s3));
        Self::new(dynamodb, s3, aws_sdk_sqs::Client::from_conf(sqs), settings)
    }

    /// Reports to an observer what every request consumes, including retries of the clients:
    /// [`Observer::consumed`].
    ///
    /// Units of DynamoDB are those that its responses report. A write whose condition failed
    /// reports none, so the lowest possible charge is assumed. SQS requests are counted in started
    /// chunks of 64 KB, as SQS bills them.
    ///
    /// ```no_run
    /// # fn example(aws: cloakroom_aws::Aws) {
    /// use std::sync::Arc;
    /// use cloakroom::observe::Counters;
    ///
    /// let counters = Arc::new(Counters::default());
    /// let aws = aws.observed_by(counters.clone());
    /// // … later, the consumption until then:
    /// let consumption = counters.consumption();
    /// # }
    /// ```
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        let meter = |service| Meter::new(service, &observer);
        let dynamodb = self.dynamodb.config().to_builder().interceptor(meter(Service::DynamoDb)).build();
        let s3 = self.s3.config().to_builder().interceptor(meter(Service::S3)).build();
        let sqs = self.sqs.config().to_builder().interceptor(meter(Service::Sqs)).build();
        let (dynamodb, s3) = (aws_sdk_dynamodb::Client::from_conf(dynamodb), aws_sdk_s3::Client::from_conf(s3));
        Self::new(dynamodb, s3, aws_sdk_sqs::Client::from_conf(sqs), self.settings)
            .expect("the settings were valid before")
    }

    /// Returns the settings.
    pub const fn settings(&self) -> &AwsSettings {
        &self.settings
    }

    /// Returns the client of DynamoDB, [observed](Self::observed_by) if this `Aws` is.
    pub const fn dynamodb(&self) -> &aws_sdk_dynamodb::Client {
        &self.dynamodb
    }

    /// Returns the client of S3.
    pub const fn s3(&self) -> &aws_sdk_s3::Client {
        &self.s3
    }

    /// Returns the client of SQS.
    pub const fn sqs(&self) -> &aws_sdk_sqs::Client {
        &self.sqs
    }

    /// Returns the ports for an endpoint: store, payloads and queues, the machine's clock and its
    /// random numbers. All ports of one `Aws` and its clones share the open queues and the
    /// [requests](AwsSettings::items_per_request_max).
    pub fn ports(&self) -> Ports {
        self.ports.clone()
    }

    /// Returns the records of the table, for a [sweep](cloakroom::recovery::Sweep).
    pub fn records(&self) -> DynamoRecords {
        DynamoRecords::new(self.dynamodb.clone(), &self.settings.table)
    }

    /// Returns the payloads in the bucket, for listing them. Endpoints use those of
    /// [`ports`](Self::ports).
    pub fn payloads(&self) -> S3Payloads {
        S3Payloads::new(self.s3.clone(), &self.settings.bucket).with_bytes_max(self.settings.payload_bytes_max)
    }
}

/// The store of payloads: the bucket, and the payload table if one is set.
fn payloads(
    dynamodb: &aws_sdk_dynamodb::Client,
    s3: &aws_sdk_s3::Client,
    settings: &AwsSettings,
) -> Arc<dyn PayloadStore> {
    let bucket = Arc::new(S3Payloads::new(s3.clone(), &settings.bucket).with_bytes_max(settings.payload_bytes_max));
    let Some(table) = &settings.payload_table else { return bucket };
    let ttl = Duration::from_secs(u64::from(settings.payload_ttl_days) * 24 * 60 * 60);
    let table = DynamoPayloads::new(dynamodb.clone(), table).with_ttl(ttl);
    let table = table.with_items_per_request_max(settings.items_per_request_max);
    let placed = RoutedPayloads::new(bucket).small(Arc::new(table), settings.small_payload_bytes_max);
    Arc::new(placed.expect("the settings were valid: the names differ"))
}

/// Returns the configuration with defaults for what it does not set, and with the name of this
/// library in the user agent.
fn with_defaults(config: &SdkConfig) -> SdkConfig {
    let us = FrameworkMetadata::new("cloakroom", Some(env!("CARGO_PKG_VERSION"))).expect("plain letters and digits");
    let defaults = config.to_builder().timeout_config(timeouts::filled(config.timeout_config())).framework_metadata(us);
    let uncorrected = config.disable_clock_skew_correction().unwrap_or(true);
    let mut defaults = defaults.disable_clock_skew_correction(uncorrected);
    defaults.set_credentials_provider(config.credentials_provider().map(credentials::continuing));
    defaults.build()
}

/// Returns the configuration, with an HTTP client if it has none.
fn with_connections(config: &SdkConfig) -> SdkConfig {
    match config.http_client() {
        Some(_) => config.clone(),
        None => config.to_builder().http_client(http::client(http::TIMES)).build(),
    }
}

/// Whether the configuration names an endpoint for all services or for this one.
fn has_own_endpoint(config: &SdkConfig, service: &str) -> bool {
    let key = ServiceConfigKey::builder().service_id(service).profile("endpoint_url").env("AWS_ENDPOINT_URL").build();
    let own = key.ok().and_then(|key| config.service_config()?.load_config(key));
    own.is_some() || config.endpoint_url().is_some()
}

impl Aws {
    /// Returns an `Aws` whose clients have timeouts, for diagnosis and provisioning. Its ports
    /// still use the caller's clients.
    pub(crate) fn with_timeouts(mut self) -> Self {
        macro_rules! filled {
            ($sdk:ident, $client:expr) => {{
                let config = $client.config();
                if timeouts::are_missing(config.timeout_config()) {
                    let timeouts = timeouts::filled(config.timeout_config());
                    $client = $sdk::Client::from_conf(config.to_builder().timeout_config(timeouts).build());
                }
            }};
        }
        filled!(aws_sdk_dynamodb, self.dynamodb);
        filled!(aws_sdk_s3, self.s3);
        filled!(aws_sdk_sqs, self.sqs);
        self
    }

    /// The services whose client may wait forever for an answer.
    pub(crate) fn without_timeouts(&self) -> Vec<&'static str> {
        let clients = [
            ("DynamoDB", self.dynamodb.config().timeout_config()),
            ("S3", self.s3.config().timeout_config()),
            ("SQS", self.sqs.config().timeout_config()),
        ];
        clients
            .into_iter()
            .filter(|(_, timeouts)| timeouts::are_missing(*timeouts))
            .map(|(service, _)| service)
            .collect()
    }
}

#[cfg(test)]
pub(crate) mod tests;
