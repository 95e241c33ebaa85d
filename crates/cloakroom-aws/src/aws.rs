//! All ports over one set of clients.

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

/// DynamoDB, S3 and SQS, over clients of the caller's.
///
/// Clients are used as they come: region, credentials, endpoints, timeouts and retries are the caller's affair, and
/// nothing is read from the environment here. **The SDK sets no timeouts but for connecting**: give clients an attempt and an
/// operation timeout below [`call_ms_max`](cloakroom::EndpointSettings::call_ms_max), after which an endpoint gives up a call, but
/// not its connection. [`Aws::configured`] does so, and [`Diagnosis`](crate::Diagnosis) warns. The three calls that must not be repeated unseen (committing, checking
/// a payload in, sending) go without the client's retries. Turn off the SDK's correction of a wrong clock (`disable_clock_skew_correction`):
/// what expires is dated by the machine's clock. A client of S3 takes less of the processor with a [`BucketAddress`].
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
    /// Takes clients and settings. Nothing is asked of AWS.
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

    /// Makes the clients from a configuration that `aws-config` has loaded, with all of its standard variables and
    /// files. Where these name an endpoint for S3, buckets are addressed by path: what is not AWS seldom knows another way.
    ///
    /// What the configuration does not set is set so:
    ///
    /// - **Timeouts**: 4 seconds for one try of a request, and 9 seconds for an operation with its repetitions and a refresh of
    ///   credentials. A long poll may take as much longer as it waits. A configuration that sets a timeout for reading, tries or
    ///   operations keeps its own.
    /// - **Credentials**: a load goes on when the request that waits for it is given up, and a request within 2 minutes of its beginning has
    ///   its result. They are loaded for each `Aws` that is configured: make one and clone it.
    /// - **Clock**: the SDK's correction of a wrong clock is off. Cloakroom dates by the machine's clock what expires, and AWS refuses a
    ///   machine whose clock is wrong by more than 5 to 15 minutes. A configuration that sets the correction keeps its own.
    /// - **HTTP**: a client for each service, which closes idle connections after 20 seconds. Services close theirs at some time,
    ///   and a request that meets that has an unknown outcome. After a request that had no answer for 3 seconds and is given
    ///   up, new connections are made, at most every 10 seconds: what silenced one has mostly silenced others.
    ///
    /// Each client has a budget of retries of its own (a custom retry partition), which other clients in the process do not use up,
    /// and a user agent with `cloakroom/` and the version.
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
    /// A setting that AWS would refuse; a configuration without a region.
    pub fn configured(config: &SdkConfig, settings: AwsSettings) -> Result<Self, SettingsError> {
        if config.region().is_none() {
            return Err(SettingsError::new("region", "", "set: by `AWS_REGION`, or in the profile"));
        }
        // Each service has connections of its own: that one does not answer is no reason to leave those to the others.
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

    /// Tells an observer what every request consumes, also those that the clients repeat: [`Observer::consumed`].
    ///
    /// Units of DynamoDB are those that it tells; for a write whose condition failed, of which it tells nothing, the least
    /// that it charges. SQS is counted by begun 64 KB of messages, as it bills.
    ///
    /// ```no_run
    /// # fn example(aws: cloakroom_aws::Aws) {
    /// use std::sync::Arc;
    /// use cloakroom::observe::Counters;
    ///
    /// let counters = Arc::new(Counters::default());
    /// let aws = aws.observed_by(counters.clone());
    /// // … later, what was consumed by then:
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

    /// The settings.
    pub const fn settings(&self) -> &AwsSettings {
        &self.settings
    }

    /// The client of DynamoDB as it is used here: [observed](Self::observed_by), if this is.
    pub const fn dynamodb(&self) -> &aws_sdk_dynamodb::Client {
        &self.dynamodb
    }

    /// The client of S3.
    pub const fn s3(&self) -> &aws_sdk_s3::Client {
        &self.s3
    }

    /// The client of SQS.
    pub const fn sqs(&self) -> &aws_sdk_sqs::Client {
        &self.sqs
    }

    /// What an endpoint needs: store, payloads and queues, the machine's clock and its random numbers.
    /// All ports of one `Aws`, and of its clones, share the queues that are open, and
    /// [requests](AwsSettings::items_per_request_max).
    pub fn ports(&self) -> Ports {
        self.ports.clone()
    }

    /// What a [sweep](cloakroom::recovery::Sweep) finds records with.
    pub fn records(&self) -> DynamoRecords {
        DynamoRecords::new(self.dynamodb.clone(), &self.settings.table)
    }

    /// The payloads in the bucket, for those who list them. What endpoints use is in [`ports`](Self::ports).
    pub fn payloads(&self) -> S3Payloads {
        S3Payloads::new(self.s3.clone(), &self.settings.bucket).with_bytes_max(self.settings.payload_bytes_max)
    }
}

/// The payloads of bucket and payload table.
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

/// The configuration, with what it does not set, and with the name of this library for the services.
fn with_defaults(config: &SdkConfig) -> SdkConfig {
    let us = FrameworkMetadata::new("cloakroom", Some(env!("CARGO_PKG_VERSION"))).expect("plain letters and digits");
    let defaults = config.to_builder().timeout_config(timeouts::filled(config.timeout_config())).framework_metadata(us);
    let uncorrected = config.disable_clock_skew_correction().unwrap_or(true);
    let mut defaults = defaults.disable_clock_skew_correction(uncorrected);
    defaults.set_credentials_provider(config.credentials_provider().map(credentials::patient));
    defaults.build()
}

/// The configuration, with an HTTP client if it has none.
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
    /// The same, over clients that do not wait forever for an answer: to look at what there is, and to change it. Their
    /// ports are those of the caller's clients.
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
