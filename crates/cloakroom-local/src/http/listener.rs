//! Accepting connections until told to stop.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use super::endpoint::{Api, Endpoint};

/// A port of loopback that is ours.
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

/// Listens on loopback only: nothing here is meant for a network.
pub(crate) async fn listen(port: u16) -> io::Result<Listener> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = socket.local_addr()?;
    Ok(Listener { socket, address })
}

/// A running server. Dropping it ends it at once.
pub(crate) struct Server {
    address: SocketAddr,
    accepting: JoinHandle<()>,
}

impl Server {
    /// Serves `endpoint` until `stop` changes.
    pub(crate) fn start<A: Api>(listener: Listener, endpoint: Endpoint<A>, stop: watch::Receiver<bool>) -> Self {
        let accepting = tokio::spawn(accept(listener.socket, Arc::new(endpoint), stop));
        Self { address: listener.address, accepting }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until the requests that were running when it was told to stop are answered.
    pub(crate) async fn ended(mut self) {
        // An error means that it was cancelled or panicked: it has ended either way.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// The connections live in a set of this task, so that they end with it.
async fn accept<A: Api>(listener: TcpListener, endpoint: Arc<Endpoint<A>>, mut stop: watch::Receiver<bool>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(converse(stream, Arc::clone(&endpoint), stop.clone()));
                }
                Err(error) => {
                    // Most likely out of file descriptors: closing connections will free some.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            _ = stop.changed() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn converse<A: Api>(stream: TcpStream, endpoint: Arc<Endpoint<A>>, mut stop: watch::Receiver<bool>) {
    // Small answers must not wait for the acknowledgement of earlier ones.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let service = service_fn(|request| endpoint.answer(request));
    let connection = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        _ = stop.changed() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "connection ended");
    }
}
