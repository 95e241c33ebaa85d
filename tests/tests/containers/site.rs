//! The backend of the tests, and the tables, buckets and queues that they create in it.

use std::sync::Arc;

use aws_config::SdkConfig;
use aws_sdk_sqs::types::QueueAttributeName;
use cloakroom::{
    format::schema::attribute,
    ports::{Random as _, SystemRandom},
};
use cloakroom_aws::{Aws, AwsSettings, Provisioning, ProvisioningSettings, QueueSettings};
use tokio::sync::{Mutex, watch};

use crate::backend::{Backend, Running, variable};

const COUNTS: [QueueAttributeName; 3] = [
    QueueAttributeName::ApproximateNumberOfMessages,
    QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
    QueueAttributeName::ApproximateNumberOfMessagesDelayed,
];

/// Owns the site that all tests share, from the first test to the last.
#[derive(Debug)]
pub(crate) struct SiteOwner {
    backend: Backend,
    site: Mutex<Option<Started>>,
    interrupted: watch::Sender<bool>,
}

/// The site, or the error of its start. The error is kept, so that only one test tries to start it.
type Started = Result<(Arc<Site>, Running), String>;

/// A running backend and clients for it.
#[derive(Debug)]
pub(crate) struct Site {
    config: SdkConfig,
    /// The prefix of all names in this run. It is unique to this run.
    run: String,
    dynamodb: aws_sdk_dynamodb::Client,
    s3: aws_sdk_s3::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
}

impl SiteOwner {
    pub(crate) fn new(backend: Backend) -> Self {
        Self { backend, site: Mutex::default(), interrupted: watch::Sender::new(false) }
    }

    pub(crate) const fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Runs a test on the site. The first test starts it.
    pub(crate) async fn run<F: Future<Output = ()>>(&self, test: impl FnOnce(Arc<Site>) -> F) -> Result<(), String> {
        let mut interrupted = self.interrupted.subscribe();
        // The start must not be interrupted, because the container could not be removed then.
        let site = self.site().await?;
        tokio::select! {
            biased;
            _ = interrupted.wait_for(|interrupted| *interrupted) => Err("interrupted".to_owned()),
            () = test(site) => Ok(()),
        }
    }

    /// Ends all running tests.
    pub(crate) fn interrupt(&self) {
        self.interrupted.send_replace(true);
    }

    async fn site(&self) -> Result<Arc<Site>, String> {
        let mut site = self.site.lock().await;
        let started = match site.take() {
            Some(started) => started,
            None => self.backend.start().await.map(|(config, running)| (Arc::new(Site::new(config)), running)),
        };
        let shared = started.as_ref().map(|(site, _)| Arc::clone(site)).map_err(Clone::clone);
        *site = Some(started);
        shared
    }

    /// Removes the resources of the tests and stops the backend. Must be called after the last
    /// test.
    pub(crate) async fn remove(&self) -> Result<(), String> {
        let Some(Ok((site, running))) = self.site.lock().await.take() else { return Ok(()) };
        let removed = site.remove_everything().await;
        running.stop().await?;
        removed
    }
}

impl Site {
    fn new(config: SdkConfig) -> Self {
        let prefix = variable("CLOAKROOM_PREFIX").unwrap_or_else(|| "cloakroom-test".to_owned());
        // S3 itself accepts path-style requests, too.
        let s3 = aws_sdk_s3::config::Builder::from(&config).force_path_style(true).build();
        Self {
            run: format!("{prefix}-{:08x}", SystemRandom.bits() as u32),
            dynamodb: aws_sdk_dynamodb::Client::new(&config),
            s3: aws_sdk_s3::Client::from_conf(s3),
            sqs: aws_sdk_sqs::Client::new(&config),
            config,
        }
    }

    /// Returns settings with names that no other test of this run uses. Nothing of it is
    /// provisioned.
    pub(crate) fn aws(&self, name: &str) -> Aws {
        Aws::configured(&self.config, self.settings(name)).expect("valid settings")
    }

    /// Like [`Self::aws`], with a provisioned table, bucket and table for small payloads.
    pub(crate) async fn provisioned_with_payload_table(&self, name: &str) -> Aws {
        let settings = self.settings(name);
        let settings = AwsSettings { payload_table: Some(format!("{}-slips", settings.table)), ..settings };
        let aws = Aws::configured(&self.config, settings).expect("valid settings");
        provisioning(&aws, &[]).apply().await.expect("provisioning succeeds");
        aws
    }

    fn settings(&self, name: &str) -> AwsSettings {
        let name = format!("{}-{name}", self.run);
        let queues = QueueSettings { prefix: format!("{name}-"), ..QueueSettings::default() };
        AwsSettings { queues, ..AwsSettings::new(&name, &name) }
    }

    /// Like [`Self::aws`], with a provisioned table, bucket and these queues.
    pub(crate) async fn provisioned(&self, name: &str, queues: &[&str]) -> Aws {
        let aws = self.aws(name);
        provisioning(&aws, queues).apply().await.expect("provisioning succeeds");
        aws
    }

    /// Returns how many items the table has.
    pub(crate) async fn items(&self, aws: &Aws) -> usize {
        self.sort_keys(aws).await.len()
    }

    /// Returns how many outbox records the table has.
    pub(crate) async fn records(&self, aws: &Aws) -> usize {
        self.sort_keys(aws).await.iter().filter(|key| key.starts_with("outbox#")).count()
    }

    async fn sort_keys(&self, aws: &Aws) -> Vec<String> {
        let scan = self.dynamodb.scan().table_name(&aws.settings().table).consistent_read(true);
        let items = scan.into_paginator().items().send().collect::<Result<Vec<_>, _>>().await.unwrap();
        items.iter().map(|item| item[attribute::SORT].as_s().unwrap().clone()).collect()
    }

    /// Returns how many messages these queues have: visible, in flight or delayed. SQS reports
    /// approximate numbers, with a delay.
    pub(crate) async fn messages(&self, aws: &Aws, queues: &[&str]) -> usize {
        let mut messages = 0;
        for queue in queues {
            let name = aws.settings().queues.full_name(queue);
            let url = self.sqs.get_queue_url().queue_name(name).send().await.unwrap().queue_url.unwrap();
            let get = self.sqs.get_queue_attributes().queue_url(url).attribute_names(QueueAttributeName::All);
            let attributes = get.send().await.unwrap().attributes.unwrap_or_default();
            let count = |name: &QueueAttributeName| attributes.get(name).map_or(0, |n| n.parse::<usize>().unwrap());
            messages += COUNTS.iter().map(count).sum::<usize>();
        }
        messages
    }

    /// Removes everything whose name has the prefix of this run.
    async fn remove_everything(&self) -> Result<(), String> {
        let (tables, buckets, queues) = tokio::join!(self.remove_tables(), self.remove_buckets(), self.remove_queues());
        let failed: Vec<String> = [tables, buckets, queues].into_iter().filter_map(Result::err).collect();
        if failed.is_empty() {
            return Ok(());
        }
        Err(format!(
            "failed to remove resources whose names begin with `{}`: {}; remove them by hand",
            self.run,
            failed.join("; ")
        ))
    }

    async fn remove_tables(&self) -> Result<(), String> {
        let mut names = self.dynamodb.list_tables().into_paginator().items().send();
        let mut ours = Vec::new();
        while let Some(name) = names.next().await {
            ours.extend(
                Some(name.map_err(|error| describe("tables", error))?).filter(|name| name.starts_with(&self.run)),
            );
        }
        for name in ours {
            let delete = self.dynamodb.delete_table().table_name(&name).send().await;
            delete.map_err(|error| describe(&name, error))?;
        }
        Ok(())
    }

    async fn remove_buckets(&self) -> Result<(), String> {
        let all = self.s3.list_buckets().send().await.map_err(|error| describe("buckets", error))?;
        let names = all.buckets().iter().filter_map(|bucket| bucket.name());
        for bucket in names.filter(|name| name.starts_with(&self.run)) {
            let mut pages = self.s3.list_objects_v2().bucket(bucket).into_paginator().send();
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| describe(bucket, error))?;
                for key in page.contents().iter().filter_map(|object| object.key()) {
                    let delete = self.s3.delete_object().bucket(bucket).key(key).send().await;
                    delete.map_err(|error| describe(bucket, error))?;
                }
            }
            let delete = self.s3.delete_bucket().bucket(bucket).send().await;
            delete.map_err(|error| describe(bucket, error))?;
        }
        Ok(())
    }

    async fn remove_queues(&self) -> Result<(), String> {
        let list = self.sqs.list_queues().queue_name_prefix(&self.run).max_results(1_000).send().await;
        for url in list.map_err(|error| describe("queues", error))?.queue_urls() {
            self.sqs.delete_queue().queue_url(url).send().await.map_err(|error| describe(url, error))?;
        }
        Ok(())
    }
}

/// Returns the provisioning of table, bucket and these queues.
pub(crate) fn provisioning(aws: &Aws, queues: &[&str]) -> Provisioning {
    let queues = queues.iter().map(|queue| (*queue).to_owned()).collect();
    Provisioning::new(aws, ProvisioningSettings { queues, ..ProvisioningSettings::default() }).unwrap()
}

fn describe(resource: &str, error: impl std::error::Error) -> String {
    let mut text = format!("{resource}: {error}");
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
