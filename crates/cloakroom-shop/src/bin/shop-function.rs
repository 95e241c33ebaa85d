//! The shop as Lambda functions: the same code for each of its services, triggered by the service's queue.
//!
//! It is configured by its environment. A value that is wrong ends it at once with exit code 2, and with a text that
//! names the variable.
//!
//! | variable | what it says | default |
//! |---|---|---|
//! | `SHOP_SERVICE` | the service that this function is: `orders`, `stock` or `billing` | must be set |
//! | `CLOAKROOM_TABLE` | the table | must be set |
//! | `CLOAKROOM_BUCKET` | the bucket for payloads | must be set |
//! | `CLOAKROOM_PAYLOAD_TABLE` | the table for small payloads | none: all are in the bucket |
//! | `CLOAKROOM_SMALL_PAYLOAD_BYTES` | up to how many bytes a payload is small | as many as are cheaper there |
//! | `CLOAKROOM_PAYLOAD_TTL_DAYS` | after how many days small payloads expire | 50 |
//! | `CLOAKROOM_QUEUE_PREFIX` | what the names of all queues begin with | nothing |
//! | `CLOAKROOM_LOG` | what is logged, such as `warn,cloakroom::counts=info` | `info` |
//!
//! Region and credentials come from Lambda. The trigger must have `ReportBatchItemFailures` on.

use std::{
    env,
    process::ExitCode,
    sync::{Mutex, PoisonError},
};

use cloakroom::{EndpointSettings, Timestamp};
use cloakroom_aws::{
    Aws, AwsSettings,
    lambda::{Function, SqsEvent},
};
use cloakroom_shop::{BadVariable, CountsLog, Environment, Service};
use lambda_runtime::{Error, LambdaEvent, service_fn};
use tracing_subscriber::EnvFilter;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let environment = Environment::new(|name| env::var_os(name).map(|value| value.to_string_lossy().into_owned()));
    let (service, settings, log_filter) = match read(&environment) {
        Ok(read) => read,
        Err(error) => {
            eprintln!("shop-function: {error}");
            return ExitCode::from(2);
        }
    };
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(log_filter).init();
    match run(service, settings).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "ended");
            ExitCode::from(1)
        }
    }
}

fn read(environment: &Environment) -> Result<(Service, AwsSettings, EnvFilter), BadVariable> {
    let service = environment.required("SHOP_SERVICE", "`orders`, `stock` or `billing`", |name| name.parse().ok())?;
    Ok((service, environment.aws_settings()?, environment.log_filter()?))
}

async fn run(service: Service, settings: AwsSettings) -> Result<(), Error> {
    let config = aws_config::load_defaults(aws_config::BehaviorVersion::v2026_01_12()).await;
    let queue_prefix = settings.queues.prefix.clone();
    let ports = Aws::configured(&config, settings)?.ports();
    let counts = CountsLog::new(service);
    let endpoint = service.endpoint(ports, EndpointSettings::default(), counts.observer())?;
    let function = Function::new(endpoint).queue_prefix(queue_prefix);
    let counts = Mutex::new(counts);
    // `function.run()` would do, but for the counts.
    let handle = async |LambdaEvent { payload, context, .. }: LambdaEvent<SqsEvent>| {
        let response = function.handle(payload, Timestamp::from_millis(context.deadline)).await;
        counts.lock().unwrap_or_else(PoisonError::into_inner).tell();
        Ok::<_, Error>(response)
    };
    lambda_runtime::run(service_fn(handle)).await
}
