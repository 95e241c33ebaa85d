//! An embedded AWS, provisioned, and the adapters over it.

use aws_sdk_dynamodb::config::{BehaviorVersion, Credentials, Region};
use cloakroom_aws::{Aws, AwsSettings, Provisioning, ProvisioningSettings};
use cloakroom_local::LocalAws;

pub(crate) struct Embedded {
    pub(crate) local: LocalAws,
    pub(crate) aws: Aws,
}

impl Embedded {
    /// Starts one with these queues.
    pub(crate) async fn start(queues: &[&str]) -> Self {
        let local = LocalAws::start().await.expect("the embedded AWS starts");
        let aws = adapters(&local);
        let queues = queues.iter().map(|queue| (*queue).to_owned()).collect();
        let settings = ProvisioningSettings { queues, ..ProvisioningSettings::default() };
        let provisioning = Provisioning::new(&aws, settings).expect("settings that AWS takes");
        provisioning.apply().await.expect("everything is made");
        Self { local, aws }
    }
}

fn adapters(local: &LocalAws) -> Aws {
    let http = aws_smithy_http_client::Builder::new().build_http();
    let credentials = Credentials::new("AKIDTEST", "SECRETTEST", None, None, "test");
    macro_rules! client {
        ($sdk:ident, $url:expr $(, $more:ident($value:expr))?) => {
            $sdk::Client::from_conf(
                $sdk::Config::builder()
                    .behavior_version(BehaviorVersion::v2026_01_12())
                    .region(Region::new("us-east-1"))
                    .credentials_provider(credentials.clone())
                    .http_client(http.clone())
                    .endpoint_url($url)
                    $(.$more($value))?
                    .build(),
            )
        };
    }
    Aws::new(
        client!(aws_sdk_dynamodb, local.dynamodb_url()),
        client!(aws_sdk_s3, local.s3_url(), force_path_style(true)),
        client!(aws_sdk_sqs, local.sqs_url()),
        AwsSettings::new("table", "payloads"),
    )
    .expect("settings that AWS takes")
}
