//! Lambda, as far as functions with an SQS trigger need it: the Runtime API that a function's process asks for work, and
//! the event source that makes invocations out of the messages of a queue.

mod event_source;
mod invocations;
mod report;
mod runtime_api;
mod settings;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::watch;

pub use invocations::FunctionStats;
pub use settings::FunctionSettings;

use crate::LocalAws;
use crate::faults::{Dice, Faults};
use crate::http::{Endpoint, Server, listen};
use crate::journal::Journal;
use crate::start_error::StartError;
use event_source::EventSource;
use invocations::Invocations;
use runtime_api::RuntimeApi;

/// A Lambda function that a queue triggers, until this is dropped. Made by [`LocalAws::function`].
///
/// It serves the Runtime API; the function's processes are the caller's. Each process that asks for the next invocation
/// gets one as soon as the queue has messages, so that as many invocations run at a time as there are processes.
/// As in AWS,
///
/// - an invocation that succeeds has its messages deleted, all but those that its answer reports as failed;
/// - an answer that names no message or an unknown one, or that cannot be read, has nothing deleted;
/// - after an error, and when the deadline has passed without an answer, nothing is deleted either;
/// - what is not deleted is received again when the queue's visibility timeout has passed;
/// - of a group of a FIFO queue nothing is given to a second invocation while a first one has messages of it;
/// - the polls and deletions of the trigger are billed, and count in [`Usage`](crate::Usage).
///
/// Unlike in AWS, processes are not frozen between invocations, and not killed when they are late: that is for their
/// owner to do ([`FunctionStats::timed_out`] tells when). An answer that is late is refused. A process that
/// ends without an answer is noticed at the deadline. A batch may have more than 6 MB.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use cloakroom_local::{FunctionSettings, LocalAws};
///
/// let aws = LocalAws::start().await?;
/// // … make the queue `orders`, and send something …
/// let function = aws.function("orders", FunctionSettings { timeout_s: 30, ..FunctionSettings::default() }).await?;
/// let mut process =
///     std::process::Command::new("target/debug/bootstrap").envs(aws.environment()).envs(function.environment()).spawn()?;
/// function.until(|stats| stats.messages_deleted >= 100).await;
/// function.stop().await;
/// process.kill()?;
/// # Ok(())
/// # }
/// ```
pub struct Function {
    name: String,
    server: Server,
    invocations: Arc<Invocations>,
    stopping: watch::Sender<bool>,
}

impl std::fmt::Debug for Function {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Function")
            .field("name", &self.name)
            .field("runtime_api", &self.runtime_api())
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}

impl LocalAws {
    /// Has this queue trigger a Lambda function, on a port of its own.
    ///
    /// # Errors
    ///
    /// If AWS would refuse the trigger: a setting out of its range, a queue that is not there or whose visibility timeout
    /// is shorter than the function's; or if no port can be had.
    pub async fn function(&self, queue: &str, settings: FunctionSettings) -> Result<Function, StartError> {
        let refused = |cause| StartError::Function { function: settings.name.clone(), cause };
        settings.validate(queue).map_err(refused)?;
        let source = EventSource::open(self.sqs.clone(), queue, &settings).await.map_err(refused)?;
        let listener =
            listen(0).await.map_err(|cause| StartError::Port { service: "Lambda's Runtime API", port: 0, cause })?;
        let (stopping, until_stopping) = watch::channel(false);
        let invocations = Arc::new(Invocations::new(settings.timeout_s));
        let name = settings.name.clone();
        let api = RuntimeApi {
            source,
            settings,
            invocations: Arc::clone(&invocations),
            stops: [until_stopping, self.stop.subscribe()],
        };
        // Faults are those of the services that a function uses; its Runtime API is inside the machine that it runs on.
        let (dice, journal) = (Arc::new(Dice::new(Faults::default())), Arc::new(Journal::in_memory()));
        let endpoint = Endpoint { api, dice, meter: Arc::clone(&self.meter), journal };
        let server = Server::start(listener, endpoint, self.stop.subscribe());
        Ok(Function { name, server, invocations, stopping })
    }
}

impl Function {
    /// Where the Runtime API is, as `AWS_LAMBDA_RUNTIME_API` has it: host and port.
    #[must_use]
    pub fn runtime_api(&self) -> String {
        self.server.url().trim_start_matches("http://").to_owned()
    }

    /// The environment variables that Lambda gives to a function's process. Where the other services are is told
    /// by [`LocalAws::environment`].
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_LAMBDA_RUNTIME_API", self.runtime_api()),
            ("AWS_LAMBDA_FUNCTION_NAME", self.name.clone()),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST".to_owned()),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128".to_owned()),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand".to_owned()),
            ("AWS_LAMBDA_LOG_GROUP_NAME", format!("/aws/lambda/{}", self.name)),
            ("AWS_LAMBDA_LOG_STREAM_NAME", "local".to_owned()),
        ]
    }

    /// What happened so far.
    #[must_use]
    pub fn stats(&self) -> FunctionStats {
        self.invocations.stats()
    }

    /// Waits until what happened is as wanted, and tells what that is.
    pub async fn until(&self, is_wanted: impl FnMut(&FunctionStats) -> bool) -> FunctionStats {
        self.invocations.until(is_wanted).await
    }

    /// Begins no further invocation, and waits until those under way have ended, at the latest by their deadlines. Who
    /// asks for the next invocation meanwhile gets no answer. Afterwards the Runtime API is gone.
    ///
    /// Dropping breaks off what is under way: its messages are received again.
    pub async fn stop(self) {
        self.stopping.send_replace(true);
        self.until(|stats| stats.under_way == 0).await;
    }
}
