//! Lambda, limited to functions that an SQS queue triggers: the Runtime API from which a function's
//! process gets its invocations, and the event source that creates invocations from the messages of
//! a queue.

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

use crate::faults::{FaultInjector, Faults};
use crate::http::endpoint::Endpoint;
use crate::http::listener::{Server, listen};
use crate::journal::Journal;
use crate::lambda::event_source::EventSource;
use crate::lambda::invocations::Invocations;
use crate::lambda::runtime_api::RuntimeApi;
use crate::local_aws::LocalAws;
use crate::start_error::StartError;

/// A Lambda function that a queue triggers, until this value is dropped. Created by
/// [`LocalAws::function`].
///
/// It serves the Runtime API. The caller starts the function's processes. Each process that
/// requests the next invocation gets one when the queue has messages. So there are at most as many
/// concurrent invocations as processes. As in AWS,
///
/// - after a successful invocation, its messages are deleted, except those that its response
///   reports as failed;
/// - after a response that cannot be read, or that reports an empty or unknown message id, no
///   message is deleted;
/// - after an error, or if the deadline passes without a response, no message is deleted;
/// - a message that is not deleted is received again after the queue's visibility timeout;
/// - messages of a FIFO queue's message group are not passed to a second invocation while a first
///   one has messages of this group;
/// - the receives and deletions of the trigger are billed, and count in [`Usage`](crate::Usage).
///
/// Unlike in AWS, processes are not frozen between invocations, and not killed after a timeout. The
/// caller must do this when [`FunctionStats::timed_out`] increases. A response after the deadline
/// is rejected. A process that ends without a response is noticed at the deadline. A batch may be
/// larger than 6 MB.
///
/// ```no_run
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// use cloakroom_local::{FunctionSettings, LocalAws};
///
/// let aws = LocalAws::start().await?;
/// // … create the queue `orders`, and send messages …
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
    /// Starts a Lambda function that this queue triggers. Its Runtime API has a port of its own.
    ///
    /// # Errors
    ///
    /// If AWS would reject the trigger: a setting is out of range, the queue does not exist, or its
    /// visibility timeout is shorter than the function's timeout. If no port is available.
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
        // Faults apply to the services that a function uses. In AWS, the Runtime API is inside the
        // function's own machine.
        let (injector, journal) = (Arc::new(FaultInjector::new(Faults::default())), Arc::new(Journal::in_memory()));
        let endpoint = Endpoint { api, injector, meter: Arc::clone(&self.meter), journal };
        let server = Server::start(listener, endpoint, self.stop.subscribe());
        Ok(Function { name, server, invocations, stopping })
    }
}

impl Function {
    /// Returns the host and port of the Runtime API, as in `AWS_LAMBDA_RUNTIME_API`.
    #[must_use]
    pub fn runtime_api(&self) -> String {
        self.server.url().trim_start_matches("http://").to_owned()
    }

    /// Returns the environment variables that Lambda sets for a function's process.
    /// [`LocalAws::environment`] returns those of the other services.
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

    /// Returns the statistics of the function so far.
    #[must_use]
    pub fn stats(&self) -> FunctionStats {
        self.invocations.stats()
    }

    /// Waits until the statistics satisfy `is_wanted`, and returns them.
    pub async fn until(&self, is_wanted: impl FnMut(&FunctionStats) -> bool) -> FunctionStats {
        self.invocations.until(is_wanted).await
    }

    /// Starts no further invocation, and waits until the running invocations have ended, at the
    /// latest at their deadlines. A request for the next invocation gets no response. Afterwards
    /// the Runtime API is stopped.
    ///
    /// Dropping the value aborts running invocations. Their messages are received again.
    pub async fn stop(self) {
        self.stopping.send_replace(true);
        self.until(|stats| stats.under_way == 0).await;
    }
}
