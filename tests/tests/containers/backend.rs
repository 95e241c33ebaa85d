//! The backend of DynamoDB, S3 and SQS, chosen by environment variables.

use std::collections::BTreeMap;

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_credential_types::Credentials;
use aws_types::service_config::{LoadServiceConfig, ServiceConfigKey};
use cloakroom_local::LocalAws;
use testcontainers::{
    ContainerAsync, GenericImage, ImageExt as _,
    bollard::models::{HostConfig, PortBinding},
    core::{IntoContainerPort as _, WaitFor},
    runners::AsyncRunner as _,
};

/// The versions of the images, as shell variables. `compose.yaml` and scripts read the same file.
const VERSIONS: &str = include_str!("../../../localstack/.env");

/// The port that both images listen on.
const PORT: u16 = 4566;

/// A backend that was chosen and is not started yet.
#[derive(Clone, Debug)]
pub(crate) enum Backend {
    /// A container for S3 and SQS, and DynamoDB as well if it has one.
    Container { name: &'static str, image: String, has_dynamodb: bool },
    /// The account that the SDK's environment variables and profiles select.
    Account,
}

/// The resources that must exist while the backend is used.
#[derive(Debug)]
pub(crate) struct Running {
    container: Option<ContainerAsync<GenericImage>>,
    local: Option<LocalAws>,
}

impl Backend {
    /// Returns the backend that `CLOAKROOM_BACKEND` and `CLOAKROOM_IMAGE` select.
    pub(crate) fn chosen() -> Result<Self, String> {
        let name = variable("CLOAKROOM_BACKEND").unwrap_or_else(|| "localstack".to_owned());
        let (name, image, has_dynamodb) = match &*name {
            "localstack" => ("localstack", image("localstack/localstack", "LOCALSTACK_VERSION"), true),
            "localstack-without-dynamodb" => {
                ("localstack-without-dynamodb", image("localstack/localstack", "LOCALSTACK_VERSION"), false)
            }
            "ministack" => ("ministack", image("ministackorg/ministack", "MINISTACK_VERSION"), true),
            "account" => return Ok(Self::Account),
            other => {
                return Err(format!(
                    "CLOAKROOM_BACKEND is `{other}`; it must be `localstack`, `localstack-without-dynamodb`, `ministack` \
                     or `account` (see localstack/README.md)"
                ));
            }
        };
        Ok(Self::Container { name, image, has_dynamodb })
    }

    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Container { name, .. } => name,
            Self::Account => "account",
        }
    }

    /// Starts the backend. Returns the configuration for its clients.
    pub(crate) async fn start(&self) -> Result<(SdkConfig, Running), String> {
        let loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(cloakroom_aws::http_client());
        let Self::Container { image, has_dynamodb, .. } = self else {
            return Ok((loader.load().await, Running { container: None, local: None }));
        };
        let services = if *has_dynamodb { "dynamodb,s3,sqs" } else { "s3,sqs" };
        let container = start_container(image, services)
            .await
            .map_err(|error| format!("image `{image}` could not be started: {error} (see localstack/README.md)"))?;
        let local =
            if *has_dynamodb { None } else { Some(LocalAws::start().await.map_err(|error| error.to_string())?) };
        let port = container.get_host_port_ipv4(PORT.tcp()).await.map_err(|error| error.to_string())?;
        let url = format!("http://127.0.0.1:{port}");
        let dynamodb = local.as_ref().map_or_else(|| url.clone(), LocalAws::dynamodb_url);
        let endpoints = Endpoints([("DynamoDB", dynamodb), ("S3", url.clone()), ("SQS", url)].into());
        let credentials = Credentials::new("AKIDTEST", "SECRETTEST", None, None, "test");
        let config = loader.region(Region::from_static("us-east-1")).credentials_provider(credentials).load().await;
        let config = config.into_builder().service_config(endpoints).build();
        Ok((config, Running { container: Some(container), local }))
    }
}

impl Running {
    /// Removes the container. Otherwise it continues to run after the process has ended.
    pub(crate) async fn stop(self) -> Result<(), String> {
        drop(self.local);
        let Some(container) = self.container else { return Ok(()) };
        container.rm().await.map_err(|error| format!("the container could not be removed: {error}"))
    }
}

async fn start_container(
    image: &str,
    services: &str,
) -> Result<ContainerAsync<GenericImage>, testcontainers::TestcontainersError> {
    let (name, tag) = image.rsplit_once(':').unwrap_or((image, "latest"));
    GenericImage::new(name, tag)
        .with_exposed_port(PORT.tcp())
        // LocalStack prints `Ready.`, and ministack prints a longer line.
        .with_wait_for(WaitFor::message_on_either_std("Ready"))
        .with_env_var("SERVICES", services)
        .with_env_var("EAGER_SERVICE_LOADING", "1")
        .with_env_var("SQS_ENDPOINT_STRATEGY", "path")
        .with_env_var("DISABLE_EVENTS", "1")
        .with_host_config_modifier(publish_on_loopback)
        .start()
        .await
}

/// Publishes the container's port on loopback, on a port that the system chooses. By default every
/// host of the network could reach it.
fn publish_on_loopback(host: &mut HostConfig) {
    let binding = PortBinding { host_ip: Some("127.0.0.1".to_owned()), host_port: Some("0".to_owned()) };
    host.publish_all_ports = Some(false);
    host.port_bindings = Some([(PORT.tcp().to_string(), Some(vec![binding]))].into());
}

/// The endpoint URL of each service, as `AWS_ENDPOINT_URL_DYNAMODB` and the like would set it.
#[derive(Debug)]
struct Endpoints(BTreeMap<&'static str, String>);

impl LoadServiceConfig for Endpoints {
    fn load_config(&self, key: ServiceConfigKey<'_>) -> Option<String> {
        self.0.get(key.service_id()).filter(|_| key.env() == "AWS_ENDPOINT_URL").cloned()
    }
}

/// Returns the image that `CLOAKROOM_IMAGE` names, or the published one if it is not set.
fn image(name: &str, version: &str) -> String {
    let published = || {
        let version = VERSIONS.lines().find_map(|line| line.strip_prefix(version)?.strip_prefix('='));
        format!("{name}:{}", version.expect("localstack/.env has the version"))
    };
    variable("CLOAKROOM_IMAGE").unwrap_or_else(published)
}

#[expect(clippy::disallowed_methods, reason = "this is a program, and environment variables choose its backend")]
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
