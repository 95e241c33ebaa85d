//! Credentials of configured clients, however long they take to load.

use std::time::Duration;

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use tokio::{sync::Mutex, task::JoinHandle, time::Instant};

/// How long after its beginning a load is waited for, and its result is used. A worker without
/// credentials repeats its requests well before.
const LOAD_MAX: Duration = Duration::from_secs(120);

type Loaded = Result<Credentials, CredentialsError>;

/// Loads credentials in a task of its own, so that a load goes on when the request that began it has given up.
///
/// The SDK loads credentials within the timeout of a request's first try, and drops the load with the try. A provider that takes longer
/// (`credential_process`, a chain of roles, a sidecar that starts) would begin again with each try, and never come to an end.
#[derive(Debug)]
struct Patient {
    load_max: Duration,
    provider: SharedCredentialsProvider,
    /// The load whose result no caller has received.
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

/// The provider, with loads that go on.
pub(crate) fn patient(provider: SharedCredentialsProvider) -> SharedCredentialsProvider {
    patient_for(LOAD_MAX, provider)
}

fn patient_for(load_max: Duration, provider: SharedCredentialsProvider) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Patient { load_max, provider, load: Mutex::default() })
}

impl Patient {
    /// Waits for the load that is under way, or begins one.
    ///
    /// One caller waits for it; others that ask meanwhile load for themselves, as without this. A cache, which clients have by default,
    /// asks once for all requests.
    async fn loaded(&self) -> Loaded {
        let Ok(mut load) = self.load.try_lock() else { return self.provider.provide_credentials().await };
        // SUBTLE: the bound is kept here and not by the task: that belongs to the runtime of who began it, which may be at rest
        // (`load_on_a_runtime_that_rests_is_given_up`).
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

impl ProvideCredentials for Patient {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.loaded())
    }
}

#[cfg(test)]
mod tests;
