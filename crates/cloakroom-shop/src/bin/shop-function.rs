//! The shop as Lambda functions: the same binary for each service. The service's queue triggers it.
//!
//! Environment variables configure it. An invalid value ends it at once with exit code 2 and an error that names the
//! variable.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `SHOP_SERVICE` | the service of this function: `orders`, `stock` or `billing` | must be set |
//! | `CLOAKROOM_TABLE` | the table | must be set |
//! | `CLOAKROOM_BUCKET` | the bucket for payloads | must be set |
//! | `CLOAKROOM_PAYLOAD_TABLE` | the table for small payloads | none: all payloads are in the bucket |
//! | `CLOAKROOM_SMALL_PAYLOAD_BYTES` | the largest small payload, in bytes | the size up to which the table is cheaper |
//! | `CLOAKROOM_PAYLOAD_TTL_DAYS` | days until small payloads expire | 50 |
//! | `CLOAKROOM_QUEUE_PREFIX` | the prefix of all queue names | none |
//! | `CLOAKROOM_LOG` | the log filter, such as `warn,cloakroom::counts=info` | `info` |
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
    let loader = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12());
    let config = loader.http_client(cloakroom_aws::http_client()).load().await;
    let queue_prefix = settings.queues.prefix.clone();
    let ports = Aws::configured(&config, settings)?.ports();
    let counts = CountsLog::new(service);
    let endpoint = service.endpoint(ports, EndpointSettings::default(), counts.observer())?;
    let function = Function::new(endpoint).queue_prefix(queue_prefix);
    let counts = Mutex::new(counts);
    // Without the counts, `function.run()` would be enough.
    let handle = async |LambdaEvent { payload, context, .. }: LambdaEvent<SqsEvent>| {
        let response = function.handle(payload, Timestamp::from_millis(context.deadline)).await;
        counts.lock().unwrap_or_else(PoisonError::into_inner).log();
        Ok::<_, Error>(response)
    };
    lambda_runtime::run(service_fn(handle)).await
}
