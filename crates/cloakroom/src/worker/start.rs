//! The start of a worker: it checks its requirements and logs its settings.

use std::sync::Arc;

use crate::{
    error::{Error, ErrorKind},
    ports::queue::Queue,
    worker::Worker,
};

impl Worker {
    /// Opens the worker's queue, after the worker can read everything that it needs. Retries
    /// temporary failures, so a worker may be started before its services can be reached.
    ///
    /// # Errors
    /// The failure that must be fixed before the worker can process messages.
    pub(super) async fn start(&self) -> Result<Arc<dyn Queue>, Error> {
        let endpoint = self.endpoint.context();
        let mut failures = 0;
        let queue = loop {
            match self.open().await {
                Err(error) if error.kind() == ErrorKind::AwaitService => {
                    failures += 1;
                    let pause = self.settings.poll_pause(failures, endpoint.ports.random.bits());
                    let (endpoint_name, error) = (self.endpoint.name(), error.loggable());
                    tracing::warn!(
                        endpoint = endpoint_name,
                        queue = self.queue,
                        error,
                        failures,
                        ?pause,
                        "worker waits"
                    );
                    endpoint.ports.clock.sleep(pause).await;
                }
                result => break result?,
            }
        };
        let settings = &self.settings;
        tracing::info!(
            endpoint = self.endpoint.name(),
            queue = self.queue,
            in_flight_max = settings.in_flight_max,
            visibility_ms = settings.visibility_ms,
            attempt_ms_max = settings.attempt_ms_max,
            drain_ms = settings.drain_ms,
            "worker started"
        );
        Ok(queue)
    }

    async fn open(&self) -> Result<Arc<dyn Queue>, Error> {
        let queue = self.endpoint.context().queue(&self.queue).await?;
        self.endpoint.check(Some(&self.queue)).await?;
        Ok(queue)
    }
}
