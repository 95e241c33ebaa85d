//! Accepting and serving connections until the server stops.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::{JoinHandle, JoinSet};

use crate::http::abandoned::{AbandonedRequests, CompletedRequest};
use crate::http::endpoint::{Api, Endpoint};
use crate::http::silence::{Connection, Connections, Stream};

/// A bound port on loopback.
pub(crate) struct Listener {
    socket: TcpListener,
    address: SocketAddr,
}

/// Listens on a port of loopback; 0 lets the operating system choose. No other network can connect.
pub(crate) async fn listen(port: u16) -> io::Result<Listener> {
    let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let address = socket.local_addr()?;
    Ok(Listener { socket, address })
}

/// A running server. Dropping it aborts it.
pub(crate) struct Server {
    address: SocketAddr,
    accepting: JoinHandle<()>,
    shared: SharedParts,
}

/// The parts that the connections of a server share.
#[derive(Clone)]
struct SharedParts {
    connections: Arc<Connections>,
    abandoned: Arc<AbandonedRequests>,
    stop: watch::Receiver<bool>,
}

impl Server {
    /// Serves `endpoint` until `stop` changes.
    pub(crate) fn start<A: Api>(listener: Listener, endpoint: Endpoint<A>, stop: watch::Receiver<bool>) -> Self {
        let abandoned = Arc::new(AbandonedRequests::new(Handle::current()));
        let shared = SharedParts { connections: Arc::default(), abandoned, stop };
        let accepting = tokio::spawn(accept(listener.socket, Arc::new(endpoint), shared.clone()));
        Self { address: listener.address, accepting, shared }
    }

    /// Returns the connections of the server.
    pub(crate) fn connections(&self) -> &Connections {
        &self.shared.connections
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Waits until all requests that were running when the server was stopped have a response.
    pub(crate) async fn ended(mut self) {
        // An error means that the task was cancelled or panicked. In both cases it has ended.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // The connections end with this task. Abandoned requests end with the last of them. They
        // are not completed, because a long poll would keep the folder locked
        // (`folder_can_be_reused_immediately_although_a_long_poll_is_running`).
        self.accepting.abort();
    }
}

/// Accepts connections. They are tasks of a set that this task owns, so they end when it ends.
async fn accept<A: Api>(listener: TcpListener, endpoint: Arc<Endpoint<A>>, mut shared: SharedParts) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let connection = shared.connections.accepted();
                    if connection.is_silent() {
                        endpoint.count_silenced();
                    }
                    connections.spawn(serve_connection(stream, connection, Arc::clone(&endpoint), shared.clone()));
                }
                Err(error) => {
                    // The most likely cause is a lack of file descriptors. Closing connections
                    // frees some.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            _ = shared.stop.changed() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    shared.abandoned.completed().await;
}

async fn serve_connection<A: Api>(
    stream: TcpStream,
    connection: Arc<Connection>,
    endpoint: Arc<Endpoint<A>>,
    shared: SharedParts,
) {
    // With Nagle's algorithm, small responses would wait for the acknowledgement of earlier ones.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let SharedParts { abandoned, mut stop, .. } = shared;
    let service = service_fn(|request| {
        let (endpoint, connection) = (Arc::clone(&endpoint), Arc::clone(&connection));
        let on = Arc::clone(&connection);
        let answer = async move { endpoint.respond(request, &on).await };
        let answer = CompletedRequest::new(answer, A::COMPLETES_ABANDONED.then(|| Arc::clone(&abandoned)));
        async move {
            let answer = answer.await;
            connection.hold_if_silent().await;
            answer
        }
    });
    let stream = Stream { stream, connection: Arc::clone(&connection) };
    let http = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service);
    tokio::pin!(http);
    let outcome = tokio::select! {
        outcome = http.as_mut() => outcome,
        _ = stop.changed() => {
            http.as_mut().graceful_shutdown();
            tokio::select! {
                outcome = http.as_mut() => outcome,
                // The client may never close a silent connection.
                () = connection.silenced() => Ok(()),
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "connection ended");
    }
}
