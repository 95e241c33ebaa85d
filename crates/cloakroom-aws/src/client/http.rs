//! The HTTP client of [configured](crate::Aws::configured) clients.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

#[cfg(feature = "tls")]
use aws_smithy_http_client::tls::{Provider, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector, proxy::ProxyConfig};
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

/// The times after which connections are closed or no longer used.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    /// How long a connection may be idle before this client closes it. Services close idle
    /// connections too, and a request on a connection that is being closed has an unknown outcome.
    /// The default of hyper is 90 seconds.
    idle_max: Duration,
    /// A request that is dropped after this time or more got no answer. It is shorter than
    /// [the timeouts of the SDK](crate::client::timeouts). A request that is dropped sooner was
    /// cancelled by its caller, such as the long poll of a worker that is dropped.
    silent_after: Duration,
    /// The minimum age at which a pool is replaced. If one of several addresses does not answer, a
    /// request on a new connection gets no answer every few seconds. The other connections work and
    /// are kept.
    pool_age_min: Duration,
}

pub(crate) const TIMES: Times = Times {
    idle_max: Duration::from_secs(20),
    silent_after: Duration::from_secs(3),
    pool_age_min: Duration::from_secs(10),
};

/// Returns a client like the SDK's default one, with two differences: it closes connections that
/// are idle for long, and it replaces all connections after a request that got no answer.
pub(crate) fn client(times: Times) -> SharedHttpClient {
    SharedHttpClient::new(RenewingClient { times, pool: Arc::new(Mutex::new(Pool::new(times))) })
}

/// Returns the HTTP client that [`Aws::configured`](crate::Aws::configured) uses if the
/// configuration has none. Pass it to `aws_config` so that credentials are loaded over the same
/// client:
///
/// ```no_run
/// # async fn example() {
/// let loader = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12());
/// let config = loader.http_client(cloakroom_aws::http_client()).load().await;
/// # }
/// ```
pub fn http_client() -> SharedHttpClient {
    client(TIMES)
}

fn connections(idle_max: Duration) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut connector = Connector::builder().pool_idle_timeout(idle_max);
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        #[cfg(feature = "tls")]
        return connector.tls_provider(Provider::Rustls(CryptoMode::Ring)).build();
        #[cfg(not(feature = "tls"))]
        return connector.build_http();
    })
}

/// A pool of connections. It is used until a request gets no answer.
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

/// An HTTP client that replaces its pool of connections after a request that got no answer.
///
/// What breaks one connection without closing it, such as a gateway that lost its state or a failed
/// host, has usually broken others in the pool, too. The SDK stops using only that one connection,
/// and its next try may use another broken one. With ten broken connections a message would wait
/// for ten timeouts.
#[derive(Clone, Debug)]
struct RenewingClient {
    times: Times,
    pool: Arc<Mutex<Pool>>,
}

impl RenewingClient {
    fn pool(&self) -> Pool {
        self.pool.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Replaces the pool after a request that started at `asked`, unless the pool is newer than the
    /// request, or still too young.
    fn replace(&self, asked: Instant) {
        let mut pool = self.pool.lock().unwrap_or_else(PoisonError::into_inner);
        if asked >= pool.began && pool.began.elapsed() >= self.times.pool_age_min {
            *pool = Pool::new(self.times);
        }
    }
}

impl HttpClient for RenewingClient {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let connector = self.pool().client.http_connector(settings, components);
        SharedHttpConnector::new(WatchedConnector { connector, client: self.clone() })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.pool().client.connector_metadata()
    }
}

/// A connector that reports requests without an answer to its client.
#[derive(Debug)]
struct WatchedConnector {
    connector: SharedHttpConnector,
    client: RenewingClient,
}

impl HttpConnector for WatchedConnector {
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

/// The wait from a request to the start of its answer. A timeout of the SDK ends it by dropping it.
struct Wait {
    client: RenewingClient,
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
            self.client.replace(self.began);
        }
    }
}

#[cfg(test)]
mod tests;
