//! Where things take place: clients for embedded AWS, the names of what is made there, and failures.

use std::{error::Error, fmt};

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use cloakroom_aws::{Aws, AwsSettings};

/// Why a command could not be carried out. Its text is for the person at the terminal.
#[derive(Debug)]
pub(crate) struct Failure(String);

impl Failure {
    pub(crate) fn new(text: impl fmt::Display) -> Self {
        Self(text.to_string())
    }

    /// Wraps an error of the SDK, all of it.
    pub(crate) fn aws<E: Error>(what: &str) -> impl Fn(E) -> Self {
        move |error| {
            let mut text = format!("{what} failed: {error}");
            let mut cause = error.source();
            while let Some(error) = cause {
                text.push_str(&format!(": {error}"));
                cause = error.source();
            }
            Self(text)
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl From<cloakroom::Error> for Failure {
    fn from(error: cloakroom::Error) -> Self {
        Self::new(error)
    }
}

/// The SDK's clients.
#[derive(Clone, Debug)]
pub(crate) struct Clients {
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
}

impl Clients {
    /// Clients for an embedded AWS, from the standard variables that it names.
    pub(crate) fn new(variable: impl Fn(&str) -> Option<String>) -> Result<Self, Failure> {
        let get = |name: &str| variable(name).ok_or_else(|| Failure::new(format!("the variable `{name}` is not set")));
        let (id, secret) = (get("AWS_ACCESS_KEY_ID")?, get("AWS_SECRET_ACCESS_KEY")?);
        let credentials = Credentials::new(id, secret, None, None, "cloakroom");
        let region = Region::new(get("AWS_REGION")?);
        let http = aws_smithy_http_client::Builder::new().build_http();
        macro_rules! config {
            ($sdk:ident, $url:literal) => {
                $sdk::Config::builder()
                    .behavior_version(BehaviorVersion::v2026_01_12())
                    .region(region.clone())
                    .credentials_provider(credentials.clone())
                    .http_client(http.clone())
                    .endpoint_url(get($url)?)
            };
        }
        Ok(Self {
            dynamodb: aws_sdk_dynamodb::Client::from_conf(
                config!(aws_sdk_dynamodb, "AWS_ENDPOINT_URL_DYNAMODB").build(),
            ),
            s3: aws_sdk_s3::Client::from_conf(
                config!(aws_sdk_s3, "AWS_ENDPOINT_URL_S3").force_path_style(true).build(),
            ),
            sqs: aws_sdk_sqs::Client::from_conf(config!(aws_sdk_sqs, "AWS_ENDPOINT_URL_SQS").build()),
        })
    }
}

/// What is made on an embedded AWS.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    pub(crate) table: String,
    pub(crate) bucket: String,
}

impl Default for Site {
    fn default() -> Self {
        Self { table: "shop".to_owned(), bucket: "shop-payloads".to_owned() }
    }
}

impl Site {
    /// The adapters for this site.
    pub(crate) fn aws(&self, clients: &Clients) -> Result<Aws, Failure> {
        let settings = AwsSettings::new(self.table.as_str(), self.bucket.as_str());
        let Clients { dynamodb, s3, sqs } = clients.clone();
        Aws::new(dynamodb, s3, sqs, settings).map_err(Failure::new)
    }
}
