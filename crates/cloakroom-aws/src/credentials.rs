//! Credentials of configured clients, however long they take to load.

use std::time::Duration;

use aws_credential_types::{
    Credentials,
    provider::{ProvideCredentials, SharedCredentialsProvider, error::CredentialsError, future},
};
use tokio::{sync::Mutex, task::JoinHandle, time::Instant};

/// How long loads may take.
#[derive(Clone, Copy, Debug)]
struct Times {
    /// After this time a load is given up, and another one begins.
    load_max: Duration,
    /// For this time a result that nobody waited for is used. A request whose time was up is repeated well before.
    unclaimed_max: Duration,
}

const TIMES: Times = Times { load_max: Duration::from_secs(60), unclaimed_max: Duration::from_secs(10) };

type Loaded = Result<Credentials, CredentialsError>;

/// Loads credentials in a task of its own, so that a load goes on when the request that began it has given up.
///
/// The SDK loads credentials within the timeout of a request's first try, and drops the load with the try. A provider that takes longer
/// (`credential_process`, a chain of roles, a sidecar that starts) would begin again with each try, and never come to an end.
#[derive(Debug)]
struct Patient {
    times: Times,
    provider: SharedCredentialsProvider,
    /// The load that nobody has had the result of, and when that came.
    load: Mutex<Option<JoinHandle<(Loaded, Instant)>>>,
}

/// The provider, with loads that go on.
pub(crate) fn patient(provider: SharedCredentialsProvider) -> SharedCredentialsProvider {
    patient_for(TIMES, provider)
}

fn patient_for(times: Times, provider: SharedCredentialsProvider) -> SharedCredentialsProvider {
    SharedCredentialsProvider::new(Patient { times, provider, load: Mutex::default() })
}

impl Patient {
    /// Waits for the load that is under way, or begins one. Callers take turns; the SDK's cache asks on behalf of all who wait.
    async fn loaded(&self) -> Loaded {
        let mut load = self.load.lock().await;
        if let Some(ended) = load.take_if(|load| load.is_finished())
            && let Ok((loaded, at)) = ended.await
            && at.elapsed() <= self.times.unclaimed_max
        {
            return loaded;
        }
        let loaded = load.get_or_insert_with(|| self.begin()).await;
        *load = None;
        let (loaded, _) = loaded.map_err(CredentialsError::provider_error)?;
        loaded
    }

    fn begin(&self) -> JoinHandle<(Loaded, Instant)> {
        let (provider, bound) = (self.provider.clone(), self.times.load_max);
        tokio::spawn(async move {
            let loaded = tokio::time::timeout(bound, provider.provide_credentials()).await;
            (loaded.unwrap_or_else(|_| Err(CredentialsError::provider_timed_out(bound))), Instant::now())
        })
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
