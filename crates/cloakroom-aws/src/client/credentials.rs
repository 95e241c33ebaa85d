//! Credentials of [configured](crate::Aws::configured) clients, also if they take long to load.

use std::time::Duration;

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use tokio::{sync::Mutex, task::JoinHandle, time::Instant};

/// The time from the start of a load during which callers wait for it and its result is used. A
/// worker without credentials retries its requests far more often.
const LOAD_MAX: Duration = Duration::from_secs(120);

type Loaded = Result<Credentials, CredentialsError>;

/// A provider that loads credentials in a task of its own, so that a load continues when the
/// request that started it was dropped.
///
/// The SDK loads credentials within the timeout of a request's first try, and drops the load with
/// the try. A provider that takes longer (`credential_process`, a chain of roles, a sidecar that
/// starts) would start again with each try, and would never finish.
#[derive(Debug)]
struct Continuing {
    load_max: Duration,
    provider: SharedCredentialsProvider,
    /// The load whose result no caller has received yet.
    load: Mutex<Option<Load>>,
}

#[derive(Debug)]
struct Load {
    began: Instant,
    task: JoinHandle<Loaded>,
}

impl Drop for Load {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Returns the provider, with loads that continue.
pub(crate) fn continuing(provider: SharedCredentialsProvider) -> SharedCredentialsProvider {
    continuing_for(LOAD_MAX, provider)
}

fn continuing_for(load_max: Duration, provider: SharedCredentialsProvider) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Continuing { load_max, provider, load: Mutex::default() })
}

impl Continuing {
    /// Waits for the current load, or starts one.
    ///
    /// One caller waits for it. A concurrent caller loads for itself, as it would without this
    /// provider. Clients have a cache by default, which asks once for all requests.
    async fn loaded(&self) -> Loaded {
        let Ok(mut load) = self.load.try_lock() else { return self.provider.provide_credentials().await };
        // SUBTLE: (1) one runtime starts a load, (2) that runtime stops polling, (3) a caller on
        // another runtime waits for the load. The task of the load runs only on the first runtime,
        // so it could not keep a timeout itself, and the caller would wait forever. So the caller
        // keeps the timeout (`credentials_load_on_an_idle_runtime_times_out`).
        load.take_if(|load| load.began.elapsed() > self.load_max);
        let Load { began, task } = load.get_or_insert_with(|| self.begin());
        let loaded = tokio::time::timeout_at(*began + self.load_max, task).await;
        *load = None;
        let loaded = loaded.map_err(|_| CredentialsError::provider_timed_out(self.load_max))?;
        loaded.map_err(CredentialsError::provider_error)?
    }

    fn begin(&self) -> Load {
        let provider = self.provider.clone();
        let task = tokio::spawn(async move { provider.provide_credentials().await });
        Load { began: Instant::now(), task }
    }
}

impl ProvideCredentials for Continuing {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.loaded())
    }
}

#[cfg(test)]
mod tests;
