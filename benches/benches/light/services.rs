//! The embedded AWS, in a process of its own, so that its CPU time is not counted.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use cloakroom_aws::{Aws, AwsSettings, BucketAddress, Provisioning, ProvisioningSettings};
use cloakroom_local::{LocalAws, Usage};
use serde::{Deserialize, Serialize};
use tokio::io::AsyncBufReadExt as _;

use crate::{Failure, workload};

/// The argument with which this program starts itself as the process of the services.
pub(crate) const SERVE: &str = "serve-the-embedded-aws";

const KEY_ID: &str = "AKIDLIGHT";
const SECRET: &str = "SECRETLIGHT";

#[derive(Serialize, Deserialize)]
struct Addresses {
    dynamodb: String,
    s3: String,
    sqs: String,
}

/// Serves until standard input ends. For each line of it, prints the usage so far.
pub(crate) async fn serve() -> Result<(), Failure> {
    let local = LocalAws::builder().credentials(KEY_ID, SECRET).start().await?;
    let addresses = Addresses { dynamodb: local.dynamodb_url(), s3: local.s3_url(), sqs: local.sqs_url() };
    println!("{}", serde_json::to_string(&addresses)?);
    let mut lines = tokio::io::BufReader::new(tokio::io::stdin()).lines();
    while lines.next_line().await?.is_some() {
        println!("{}", serde_json::to_string(&local.usage())?);
    }
    local.shutdown().await;
    Ok(())
}

/// The services, and the clients of the contestant [`Raw`](crate::Raw). The library uses the same
/// clients, except that its S3 client resolves addresses as the library configures it.
pub(crate) struct Services {
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) aws: Aws,
    /// The URL of the incoming queue.
    pub(crate) works: String,
    /// The URL of the outgoing queue.
    pub(crate) dones: String,
    process: Process,
}

macro_rules! client {
    ($sdk:ident, $url:expr, $http:expr $(, $option:ident)?) => {{
        let config = $sdk::Config::builder()
            .behavior_version($sdk::config::BehaviorVersion::v2026_01_12())
            .region($sdk::config::Region::new("us-east-1"))
            .credentials_provider($sdk::config::Credentials::new(KEY_ID, SECRET, None, None, "light"))
            .http_client($http.clone())
            .endpoint_url($url)
            $(.$option(true))?;
        $sdk::Client::from_conf(config.build())
    }};
}

impl Services {
    /// Starts the services, with a table, a bucket and queues.
    pub(crate) async fn start(shared: bool) -> Result<Self, Failure> {
        let mut process = Process::start()?;
        let Addresses { dynamodb, s3, sqs } = serde_json::from_str(&process.line()?)?;
        let http = aws_smithy_http_client::Builder::new().build_http();
        let dynamodb = client!(aws_sdk_dynamodb, dynamodb, http);
        let s3 = client!(aws_sdk_s3, s3, http, force_path_style);
        let sqs = client!(aws_sdk_sqs, sqs, http);
        let mut settings = AwsSettings::new(workload::TABLE, workload::BUCKET);
        if !shared {
            settings.items_per_request_max = 1;
        }
        let own_s3 = s3.config().to_builder().endpoint_resolver(BucketAddress::default()).build();
        let own_s3 = aws_sdk_s3::Client::from_conf(own_s3);
        let aws = Aws::new(dynamodb.clone(), own_s3, sqs.clone(), settings)?;
        let queues = vec![workload::WORKS.to_owned(), workload::DONES.to_owned()];
        Provisioning::new(&aws, ProvisioningSettings { queues, ..Default::default() })?.apply().await?;
        let (works, dones) = (url(&sqs, workload::WORKS).await?, url(&sqs, workload::DONES).await?);
        Ok(Self { dynamodb, s3, sqs, aws, works, dones, process })
    }

    /// Returns the usage so far.
    pub(crate) fn usage(&mut self) -> Result<Usage, Failure> {
        self.process.request_usage()?;
        Ok(serde_json::from_str(&self.process.line()?)?)
    }
}

async fn url(sqs: &aws_sdk_sqs::Client, queue: &str) -> Result<String, Failure> {
    let url = sqs.get_queue_url().queue_name(queue).send().await?.queue_url;
    url.ok_or_else(|| format!("queue `{queue}` has no URL").into())
}

/// The process of the services. It ends when its standard input ends, so also if this process is
/// killed.
struct Process {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start() -> Result<Self, Failure> {
        let program = std::env::current_exe()?;
        let mut child = Command::new(program).arg(SERVE).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("the services have no output")?;
        let input = child.stdin.take();
        Ok(Self { child, input, output: BufReader::new(output) })
    }

    fn request_usage(&mut self) -> Result<(), Failure> {
        let input = self.input.as_mut().ok_or("the services have no input")?;
        Ok(input.write_all(b"usage\n")?)
    }

    fn line(&mut self) -> Result<String, Failure> {
        let mut line = String::new();
        match self.output.read_line(&mut line)? {
            0 => Err("the services have ended".into()),
            _ => Ok(line),
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.input.take());
        // Its exit status does not matter.
        let _ = self.child.wait();
    }
}
