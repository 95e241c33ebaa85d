//! A Lambda function whose messages decide how their handler ends. In addition to the environment
//! variables of Lambda and AWS it reads `DEAD_LETTERS`, the dead-letter queue, and `MARKS`, a
//! folder with a file for each job that has run once.
#![expect(clippy::disallowed_methods, reason = "binaries read the environment")]

#[path = "../../tests/embedded/clients.rs"]
mod clients;

use std::{
    env::{self, VarError},
    error::Error,
    path::Path,
    time::Duration,
};

use cloakroom::{Endpoint, Handled, HandlerError, Message, Partition, Tx};
use cloakroom_aws::{
    Aws, AwsSettings,
    lambda::{Function, FunctionSettings},
};

#[derive(serde::Serialize, serde::Deserialize)]
struct Job {
    name: String,
    partition: String,
    fate: Fate,
}

#[derive(serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fate {
    Succeed,
    FailOnce,
    HangOnce,
    CrashOnce,
    Reject,
}

impl Message for Job {
    const TYPE: &'static str = "job";
    fn partition(&self) -> Partition {
        Partition::new(self.partition.as_str())
    }
}

/// The names of finished jobs, in order.
#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Done {
    jobs: Vec<String>,
}

async fn job(done: &mut Done, job: Job, _: &mut Tx) -> Handled {
    match job.fate {
        Fate::Reject => return Err(HandlerError::reject("poison")),
        Fate::FailOnce if is_first(&job.name)? => return Err(HandlerError::retry("not yet")),
        Fate::HangOnce if is_first(&job.name)? => tokio::time::sleep(Duration::from_secs(600)).await,
        Fate::CrashOnce if is_first(&job.name)? => std::process::abort(),
        Fate::Succeed | Fate::FailOnce | Fate::HangOnce | Fate::CrashOnce => {}
    }
    done.jobs.push(job.name);
    Ok(())
}

/// Whether this is the first run of this job in any process.
fn is_first(name: &str) -> Result<bool, HandlerError> {
    Ok(std::fs::File::create_new(Path::new(&env::var("MARKS")?).join(name)).is_ok())
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error + Send + Sync>> {
    let errors = tracing_subscriber::filter::LevelFilter::ERROR;
    tracing_subscriber::fmt().with_max_level(errors).with_writer(std::io::stderr).init();
    let url = |service| -> Result<String, VarError> { env::var(format!("AWS_ENDPOINT_URL_{service}")) };
    let (dynamodb, s3) = (clients::dynamodb(&url("DYNAMODB")?), clients::s3(&url("S3")?));
    let aws = Aws::new(dynamodb, s3, clients::sqs(&url("SQS")?), AwsSettings::new("things", "coats"))?;
    let endpoint = Endpoint::builder("jobs").on(job).dead_letters(env::var("DEAD_LETTERS")?).build(aws.ports())?;
    let settings = FunctionSettings { margin_ms: 1_000, ..FunctionSettings::default() };
    Function::new(endpoint).settings(settings).run().await
}
