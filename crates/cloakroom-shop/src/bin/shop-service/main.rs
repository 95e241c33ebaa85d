//! The shop as a worker for ECS: one process, with a worker for each of its services.
//!
//! Environment variables configure it. An invalid value ends it at once with exit code 2 and an error that names the
//! variable.
//!
//! | variable | meaning | default |
//! |---|---|---|
//! | `CLOAKROOM_TABLE` | the table | must be set |
//! | `CLOAKROOM_BUCKET` | the bucket for payloads | must be set |
//! | `CLOAKROOM_PAYLOAD_TABLE` | the table for small payloads | none: all payloads are in the bucket |
//! | `CLOAKROOM_SMALL_PAYLOAD_BYTES` | the largest small payload, in bytes | the size up to which the table is cheaper |
//! | `CLOAKROOM_PAYLOAD_TTL_DAYS` | days until small payloads expire | 50 |
//! | `CLOAKROOM_QUEUE_PREFIX` | the prefix of all queue names | none |
//! | `CLOAKROOM_LOG` | the log filter, such as `warn,cloakroom::counts=info` | `info` |
//! | `SHOP_SERVICES` | the services that this process runs | `orders,stock,billing` |
//! | `SHOP_IN_FLIGHT` | messages in flight at a time, by service, such as `orders=64,stock=16` | 64 each |
//! | `SHOP_VISIBILITY_SECONDS` | visibility timeout: how long messages of a killed process wait for another process | 30 |
//! | `SHOP_DRAIN_SECONDS` | time limit for messages in flight after SIGTERM | 20 |
//! | `SHOP_IDLE_SECONDS` | time without progress of a worker after which `/live` returns 503; more than 330 | 600 |
//! | `SHOP_HEALTH_ADDRESS` | address of `/live` and `/ready` | `0.0.0.0:8080` |
//!
//! Region and credentials come from the SDK's own variables and from the task role.
//!
//! # Shutdown
//!
//! At SIGTERM or SIGINT the process receives no more messages and finishes those in flight. After
//! `SHOP_DRAIN_SECONDS` it gives back the rest, and ends with exit code 0. Giving back takes at most 3 seconds more:
//! the stop timeout of ECS (30 seconds by default) must be longer than both. A process that is killed earlier loses
//! nothing: its messages wait for their visibility timeout. If a worker ends with an error, the process drains the
//! other workers in the same way and ends with exit code 1, so that ECS restarts it.
//!
//! # Health
//!
//! `GET /live` returns 200. It returns 503 while a worker has made no progress for `SHOP_IDLE_SECONDS`: no receive
//! was answered, and the processing of no message ended. An idle worker makes progress every 20 seconds, and a worker
//! in an outage at least every 330. With a shorter `SHOP_IDLE_SECONDS`, a healthy process is restarted again and
//! again, which does not end an outage. Below 360 the process logs a warning at the start. A restart loses nothing.
//! `GET /ready` returns 200 while the workers work, and 503 before the queues are open and during the shutdown.
//!
//! Health checks of ECS are commands in the container, which has no shell. `shop-service live` and `shop-service ready`
//! send the check to `SHOP_HEALTH_ADDRESS`, and end with exit code 0 or 1.

mod health;
mod run;
mod settings;

use std::{env, process::ExitCode};

use cloakroom_shop::Environment;

use self::settings::Settings;

fn main() -> ExitCode {
    let environment = Environment::new(|name| env::var_os(name).map(|value| value.to_string_lossy().into_owned()));
    let settings = match Settings::read(&environment) {
        Ok(settings) => settings,
        Err(error) => return fail(&error.to_string(), 2),
    };
    match env::args().nth(1).as_deref() {
        None => run(settings),
        Some(path @ ("live" | "ready")) => match health::ask(settings.health, path) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&format!("asking {} failed: {error}", settings.health), 1),
        },
        Some(other) => fail(&format!("there is no command `{other}`: it must be `live`, `ready`, or none"), 2),
    }
}

fn run(settings: Settings) -> ExitCode {
    tracing_subscriber::fmt().json().flatten_event(true).with_env_filter(settings.log_filter.clone()).init();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&format!("threads cannot be started: {error}"), 1),
    };
    let result = runtime.block_on(run::run(settings));
    // Dropping the runtime would wait for a DNS lookup that hangs.
    runtime.shutdown_background();
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "ended");
            ExitCode::from(1)
        }
    }
}

fn fail(text: &str, code: u8) -> ExitCode {
    eprintln!("shop-service: {text}");
    ExitCode::from(code)
}
