//! The services of a run.

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use aws_sdk_s3::types::{Delete, ObjectIdentifier};
use aws_types::SdkConfig;
use cloakroom::engine::parking::dead_letter_queue;
use cloakroom_aws::{Aws, AwsSettings, BucketAddress, QueueSettings};
use cloakroom_local::{Faults, LocalAws};

use crate::{
    error::RunError,
    site::{INCOMING, OUTGOING},
    workload::LoadSettings,
};

/// The limit for payloads on embedded services, which keep them in memory, in bytes.
const EMBEDDED_BYTES_MAX: u64 = 1 << 30;

/// The services that a run uses, and their name in the report.
#[derive(Debug)]
pub struct Target {
    name: String,
    dynamodb: aws_sdk_dynamodb::Client,
    s3: aws_sdk_s3::Client,
    sqs: aws_sdk_sqs::Client,
    local: Option<LocalAws>,
}

impl Target {
    /// Starts embedded AWS, in this process and in memory, with these faults.
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), cloakroom_bench::RunError> {
    /// // Every tenth message is delivered twice.
    /// let faults = cloakroom_local::Faults { duplicate_deliveries: 0.1, ..Default::default() };
    /// let target = cloakroom_bench::Target::embedded(faults).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// There are no free ports, or a rate of faults is invalid.
    pub async fn embedded(faults: Faults) -> Result<Self, RunError> {
        let name = if faults == Faults::default() { "embedded AWS" } else { "embedded AWS, with faults" };
        let local = LocalAws::builder().faults(faults).start().await.map_err(RunError::failed)?;
        let variables = local.environment();
        let get = |name: &str| {
            let found = variables.iter().find(|(known, _)| *known == name);
            found.map(|(_, value)| value.clone()).unwrap_or_default()
        };
        let credentials =
            Credentials::new(get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY"), None, None, "cloakroom");
        let http = aws_smithy_http_client::Builder::new().build_http();
        macro_rules! config {
            ($sdk:ident, $url:expr) => {
                $sdk::Config::builder()
                    .behavior_version(BehaviorVersion::v2026_01_12())
                    .region(Region::new(get("AWS_REGION")))
                    .credentials_provider(credentials.clone())
                    .http_client(http.clone())
                    .endpoint_url($url)
            };
        }
        let dynamodb = config!(aws_sdk_dynamodb, local.dynamodb_url()).build();
        let s3 = config!(aws_sdk_s3, local.s3_url()).force_path_style(true).build();
        let sqs = config!(aws_sdk_sqs, local.sqs_url()).build();
        Ok(Self {
            name: name.to_owned(),
            dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb),
            s3: aws_sdk_s3::Client::from_conf(s3),
            sqs: aws_sdk_sqs::Client::from_conf(sqs),
            local: Some(local),
        })
    }

    /// Returns the services of a configuration, such as a container or an account. See
    /// [`Aws::configured`].
    ///
    /// # Errors
    /// The configuration has no region.
    pub fn configured(name: impl Into<String>, config: &SdkConfig) -> Result<Self, RunError> {
        let aws = Aws::configured(config, AwsSettings::new("cloakroom-bench", "cloakroom-bench"))?;
        let (dynamodb, s3, sqs) = (aws.dynamodb().clone(), aws.s3().clone(), aws.sqs().clone());
        Ok(Self { name: name.into(), dynamodb, s3, sqs, local: None })
    }

    /// Returns the name in the report.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the embedded services. `None` if the services are not embedded.
    pub const fn local(&self) -> Option<&LocalAws> {
        self.local.as_ref()
    }

    /// Rejects a workload whose payloads the services cannot hold.
    pub(crate) fn check(&self, load: &LoadSettings) -> Result<(), RunError> {
        let bytes = load.messages().unwrap_or_default().saturating_mul(load.payload_bytes as u64);
        if self.local.is_some() && bytes > EMBEDDED_BYTES_MAX {
            return Err(RunError::BadInput(format!(
                "the payloads have {bytes} bytes in all, but embedded AWS keeps payloads in memory, up to \
                 {EMBEDDED_BYTES_MAX} bytes; offer fewer or smaller messages, or use another target"
            )));
        }
        Ok(())
    }

    /// Returns the adapters for one contestant. The names of its table, bucket and queues begin
    /// with `name`.
    pub(crate) fn aws(&self, name: &str, settings: impl Fn(AwsSettings) -> AwsSettings) -> Result<Aws, RunError> {
        let queues = QueueSettings { prefix: format!("{name}-"), ..QueueSettings::default() };
        let settings = settings(AwsSettings { queues, ..AwsSettings::new(name, name) });
        // Each contestant has a bucket of its own.
        let s3 = self.s3.config().to_builder().endpoint_resolver(BucketAddress::default()).build();
        let s3 = aws_sdk_s3::Client::from_conf(s3);
        Ok(Aws::new(self.dynamodb.clone(), s3, self.sqs.clone(), settings)?)
    }

    /// Deletes the resources of a contestant. Returns a text for each resource that could not be
    /// deleted.
    pub(crate) async fn clean_up(&self, settings: &AwsSettings) -> Vec<String> {
        let mut remaining = Vec::new();
        let mut note = |what: String, result: Result<(), String>| {
            remaining.extend(result.err().map(|error| format!("failed to delete {what}: {error}; delete it yourself")));
        };
        let table = self.dynamodb.delete_table().table_name(&settings.table).send().await;
        note(format!("table `{}`", settings.table), table.map(drop).map_err(with_causes));
        if let Some(payloads) = &settings.payload_table {
            let table = self.dynamodb.delete_table().table_name(payloads).send().await;
            note(format!("table `{payloads}`"), table.map(drop).map_err(with_causes));
        }
        note(format!("bucket `{}`", settings.bucket), self.delete_bucket(&settings.bucket).await);
        for queue in [INCOMING, OUTGOING].into_iter().flat_map(|queue| [queue.to_owned(), dead_letter_queue(queue)]) {
            let name = settings.queues.full_name(&queue);
            let deleted = self.delete_queue(&name).await;
            note(format!("queue `{name}`"), deleted);
        }
        remaining
    }

    async fn delete_bucket(&self, bucket: &str) -> Result<(), String> {
        let mut pages = self.s3.list_objects_v2().bucket(bucket).into_paginator().send();
        while let Some(page) = pages.next().await {
            let keys =
                page.map_err(with_causes)?.contents.unwrap_or_default().into_iter().filter_map(|object| object.key);
            let objects: Result<Vec<_>, _> = keys.map(|key| ObjectIdentifier::builder().key(key).build()).collect();
            let objects = objects.map_err(with_causes)?;
            if !objects.is_empty() {
                let delete = Delete::builder().set_objects(Some(objects)).quiet(true).build().map_err(with_causes)?;
                self.s3.delete_objects().bucket(bucket).delete(delete).send().await.map_err(with_causes)?;
            }
        }
        self.s3.delete_bucket().bucket(bucket).send().await.map_err(with_causes)?;
        Ok(())
    }

    async fn delete_queue(&self, name: &str) -> Result<(), String> {
        let found = self.sqs.get_queue_url().queue_name(name).send().await.map_err(with_causes)?;
        self.sqs.delete_queue().queue_url(found.queue_url.unwrap_or_default()).send().await.map_err(with_causes)?;
        Ok(())
    }

    /// Shuts embedded services down after they have responded to their requests.
    pub async fn end(self) {
        if let Some(local) = self.local {
            local.shutdown().await;
        }
    }
}

/// Returns the text of an SDK error with its causes.
pub(crate) fn with_causes(error: impl std::error::Error) -> String {
    aws_sdk_dynamodb::error::DisplayErrorContext(error).to_string()
}
