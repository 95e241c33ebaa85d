//! The HTTP client of configured clients.

use std::time::Duration;

use aws_smithy_http_client::{
    Builder, Connector,
    proxy::ProxyConfig,
    tls::{Provider, rustls_provider::CryptoMode},
};
use aws_smithy_runtime_api::client::http::SharedHttpClient;

/// How long a connection may be idle before it is closed here. Services close theirs after some time, too; a request that meets
/// that has an unknown outcome. hyper would keep connections for 90 seconds.
pub(crate) const IDLE_MAX: Duration = Duration::from_secs(20);

/// A client like the SDK's default one, which closes connections that are idle for longer than this.
pub(crate) fn client(idle_max: Duration) -> SharedHttpClient {
    Builder::new().build_with_connector_fn(move |settings, components| {
        let connector = Connector::builder().tls_provider(Provider::Rustls(CryptoMode::AwsLc));
        let mut connector = connector.pool_idle_timeout(idle_max);
        connector.set_connector_settings(settings.cloned());
        connector.set_sleep_impl(components.and_then(|components| components.sleep_impl()));
        connector.set_proxy_config(Some(ProxyConfig::from_env()));
        connector.build()
    })
}

#[cfg(test)]
mod tests;
