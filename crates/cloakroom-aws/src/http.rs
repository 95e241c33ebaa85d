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

/// How long a connection may be idle before it is closed here. Services close theirs after some time, too; a request that meets
/// that has an unknown outcome. hyper would keep connections for 90 seconds.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(20);
/// A request that is given up after this time or more had no answer: less than [the SDK is given](crate::timeouts). One that is
/// given up sooner was not wanted any more, as the long polls of a worker that is dropped.
const SILENT_AFTER: Duration = Duration::from_secs(3);

/// A client like the SDK's default one, which closes connections that are idle for longer than this, and uses none of its
/// connections again once a request had no answer.
pub(crate) fn client(idle_max: Duration) -> SharedHttpClient {
    SharedHttpClient::new(Renewed { idle_max, pools: Arc::new(Mutex::new((0, pool(idle_max)))) })
}

fn pool(idle_max: Duration) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let connector = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        let mut connector = connector.pool_idle_timeout(idle_max);
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        connector.build()
    })
}

/// Has one pool of connections, until a request has no answer: then it begins a new one.
///
/// What silences a connection, such as a gateway that forgot it, or a host that is gone, has silenced others in the pool,
/// too. The SDK leaves the one connection, and its next try may meet another one that is silent: with ten of them a message
/// would wait for ten timeouts.
#[derive(Clone, Debug)]
struct Renewed {
    idle_max: Duration,
    /// The number of the pool, and the pool.
    pools: Arc<Mutex<(u64, SharedHttpClient)>>,
}

impl Renewed {
    fn pool(&self) -> (u64, SharedHttpClient) {
        self.pools.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Begins a new pool, unless somebody has done so since this one was used.
    fn leave(&self, number: u64) {
        let mut pools = self.pools.lock().unwrap_or_else(PoisonError::into_inner);
        if pools.0 == number {
            *pools = (number + 1, pool(self.idle_max));
        }
    }
}

impl HttpClient for Renewed {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        let (number, pool) = self.pool();
        let connector = pool.http_connector(settings, components);
        SharedHttpConnector::new(Watched { connector, number, client: self.clone() })
    }

    fn connector_metadata(&self) -> Option<ConnectorMetadata> {
        self.pool().1.connector_metadata()
    }
}

/// Tells its client of requests that have no answer.
#[derive(Debug)]
struct Watched {
    connector: SharedHttpConnector,
    number: u64,
    client: Renewed,
}

impl HttpConnector for Watched {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let wait = Wait { number: self.number, client: self.client.clone(), began: Instant::now(), is_over: false };
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
    number: u64,
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
        if !self.is_over && self.began.elapsed() >= SILENT_AFTER {
            self.client.leave(self.number);
        }
    }
}

#[cfg(test)]
mod tests;
