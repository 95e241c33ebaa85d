//! The HTTP client of configured clients.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::{
    connector_metadata::ConnectorMetadata,
    http::{
        HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
    },
    orchestrator::HttpRequest,
    result::ConnectorError,
    runtime_components::RuntimeComponents,
};
use tokio::time::Instant;

/// When connections are closed, and left.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// How long a connection may be idle before it is closed here. Services close theirs after some time, too; a request that
    /// meets that has an unknown outcome. hyper would keep connections for 90 seconds.
    idle_max: Duration,
    /// A request that is given up after this time or more had no answer: less than [the SDK is given](crate::client::timeouts). One that
    /// is given up sooner was not wanted any more, as the long polls of a worker that is dropped.
    silent_after: Duration,
    /// A pool is left when it is this old, not before. Where one address of several does not answer, every few seconds a request
    /// has no answer on a connection that is new; the others are good, and kept.
    pool_age_min: Duration,
}

pub(crate) const TIMES: Times = Times {
    idle_max: Duration::from_secs(20),
    silent_after: Duration::from_secs(3),
    pool_age_min: Duration::from_secs(10),
};

/// A client like the SDK's default one, which closes connections that are idle for long, and uses none of its connections again
/// once a request had no answer.
pub(crate) fn client(times: Times) -> SharedHttpClient {
    SharedHttpClient::new(Renewed { times, pool: Arc::new(Mutex::new(Pool::new(times))) })
}

fn connections(idle_max: Duration) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let connector = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        let mut connector = connector.pool_idle_timeout(idle_max);
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        connector.build()
    })
}

/// Connections that are used as long as requests have answers.
#[derive(Clone, Debug)]
struct Pool {
    began: Instant,
    client: SharedHttpClient,
}

impl Pool {
    fn new(times: Times) -> Self {
        Self { began: Instant::now(), client: connections(times.idle_max) }
    }
}

/// Has one pool of connections, until a request has no answer: then it begins a new one.
///
/// What silences a connection, such as a gateway that forgot it, or a host that is gone, has silenced others in the pool,
/// too. The SDK leaves the one connection, and its next try may meet another one that is silent: with ten of them a message
/// would wait for ten timeouts.
#[derive(Clone, Debug)]
struct Renewed {
    times: Times,
    pool: Arc<Mutex<Pool>>,
}

impl Renewed {
    fn pool(&self) -> Pool {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins a new pool after a request that began at that time, unless there is a new one.
    fn leave(&self, asked: Instant) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if asked >= pool.began && pool.began.elapsed() >= self.times.pool_age_min {
            *pool = Pool::new(self.times);
        }
    }
}

impl HttpClient for Renewed {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let connector = self.pool().client.http_connector(settings, components);
        SharedHttpConnector::new(Watched { connector, client: self.clone() })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.pool().client.connector_metadata()
    }
}

/// Tells its client of requests that have no answer.
#[derive(Debug)]
struct Watched {
    connector: SharedHttpConnector,
    client: Renewed,
}

impl HttpConnector for Watched {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let wait = Wait { client: self.client.clone(), began: Instant::now(), is_over: false };
        let answer = self.connector.call(request);
        HttpConnectorFuture::new(async move {
            let answer = answer.await;
            wait.end(answer.as_ref().is_err_and(ConnectorError::is_timeout));
            answer
        })
    }
}

/// The time from a request to the beginning of its answer. A timeout of the SDK ends it by dropping it.
struct Wait {
    client: Renewed,
    began: Instant,
    is_over: bool,
}

impl Wait {
    fn end(mut self, is_timeout: bool) {
        self.is_over = !is_timeout;
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        if !self.is_over && self.began.elapsed() >= self.client.times.silent_after {
            self.client.leave(self.began);
        }
    }
}

#[cfg(test)]
mod tests;
