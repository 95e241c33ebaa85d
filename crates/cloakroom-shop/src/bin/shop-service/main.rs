//! The shop as a worker for ECS: one process, with a worker for each of its services.
//!
//! It is configured by its environment. A value that is wrong ends it at once with exit code 2, and with a text that
//! names the variable.
//!
//! | variable | what it says | default |
//! |---|---|---|
//! | `CLOAKROOM_TABLE` | the table | must be set |
//! | `CLOAKROOM_BUCKET` | the bucket for payloads | must be set |
//! | `CLOAKROOM_PAYLOAD_TABLE` | the table for small payloads | none: all are in the bucket |
//! | `CLOAKROOM_SMALL_PAYLOAD_BYTES` | up to how many bytes a payload is small | as many as are cheaper there |
//! | `CLOAKROOM_PAYLOAD_TTL_DAYS` | after how many days small payloads expire | 50 |
//! | `CLOAKROOM_QUEUE_PREFIX` | what the names of all queues begin with | nothing |
//! | `CLOAKROOM_LOG` | what is logged, such as `warn,cloakroom::counts=info` | `info` |
//! | `SHOP_SERVICES` | the services that this process runs | `orders,stock,billing` |
//! | `SHOP_IN_FLIGHT` | messages in hand at a time, by service, such as `orders=64,stock=16` | 64 each |
//! | `SHOP_VISIBILITY_SECONDS` | how long the messages of a process that was killed wait for another one | 30 |
//! | `SHOP_DRAIN_SECONDS` | how long messages in hand may take to be finished after SIGTERM | 20 |
//! | `SHOP_IDLE_SECONDS` | after how long without progress of a worker `/live` is refused; more than 330 | 600 |
//! | `SHOP_HEALTH_ADDRESS` | where `/live` and `/ready` are served | `0.0.0.0:8080` |
//!
//! Region and credentials come from the SDK's own variables, and from the role of the task.
//!
//! # Its end
//!
//! At SIGTERM or SIGINT it takes no more messages, finishes those in hand, gives back what is not finished by
//! `SHOP_DRAIN_SECONDS`, and ends with exit code 0. Giving back takes 3 more seconds at most: the stop timeout of ECS
//! (30 seconds unless it is set) must be longer than both. Whatever kills it before that loses nothing either; its
//! messages wait for their visibility timeout. When a worker ends with an error, the others are drained in the same way
//! and the exit code is 1, so that ECS starts it anew.
//!
//! # Its health
//!
//! `GET /live` answers 200, and 503 while one of its workers has made no progress for `SHOP_IDLE_SECONDS`: its
//! queue has answered no receive, and no message has come to its end. An idle worker makes progress every 20
//! seconds, and one that waits out an outage at least every 330. If `SHOP_IDLE_SECONDS` is not longer, a healthy
//! process is restarted again and again, which does not end an outage; below 360 a warning is logged at the start.
//! Restarting a process loses nothing. `GET /ready` answers 200 while its workers work, and 503 before its queues
//! are open and when it drains.
//!
//! Health checks of ECS are commands in the container, which has no shell: `shop-service live` and `shop-service ready`
//! ask the process that serves on `SHOP_HEALTH_ADDRESS`, and end with exit code 0 or 1.

mod health;
mod settings;
mod shift;

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
    let result = runtime.block_on(shift::run(settings));
    // Not dropped, which would wait for a look-up of a name that hangs.
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
