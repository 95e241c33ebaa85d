//! The loop that runs one worker of the demonstration.

use std::time::Duration;

use cloakroom::{Endpoint, ErrorKind, Worker, WorkerSettings};
use cloakroom_shop::Service;

use crate::site::Failure;

/// Runs a worker, and restarts it after each error, until an error needs a change of the
/// configuration.
pub(super) async fn run_worker(endpoint: Endpoint, service: Service, settings: WorkerSettings) -> Failure {
    loop {
        let worker = Worker::new(endpoint.clone(), service.name()).settings(settings.clone());
        if let Err(error) = worker.run(std::future::pending()).await {
            tracing::warn!(%error, service = service.name(), "worker ended");
            if error.kind() == ErrorKind::FixConfiguration {
                return error.into();
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}
