//! Accepting connections until told to stop.

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

use super::abandoned::{Abandoned, CarriedOut};
use super::endpoint::{Api, Endpoint};
use super::silence::{Connection, Connections, Stream};

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
    parts: Parts,
}

/// What the connections of a server share.
#[derive(Clone)]
struct Parts {
    connections: Arc<Connections>,
    abandoned: Arc<Abandoned>,
    stop: watch::Receiver<bool>,
}

impl Server {
    /// Serves `endpoint` until `stop` changes.
    pub(crate) fn start<A: Api>(listener: Listener, endpoint: Endpoint<A>, stop: watch::Receiver<bool>) -> Self {
        let abandoned = Arc::new(Abandoned::new(Handle::current()));
        let parts = Parts { connections: Arc::default(), abandoned, stop };
        let accepting = tokio::spawn(accept(listener.socket, Arc::new(endpoint), parts.clone()));
        Self { address: listener.address, accepting, parts }
    }

    /// The connections of its clients.
    pub(crate) fn connections(&self) -> &Connections {
        &self.parts.connections
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
        // SUBTLE: first, since the requests of the connections are abandoned when those end. Carried out, they would
        // keep the files of the service open (`a_folder_can_be_used_again_at_once_although_a_poll_is_under_way`).
        self.parts.abandoned.break_off();
        self.accepting.abort();
    }
}

/// The connections live in a set of this task, so that they end with it.
async fn accept<A: Api>(listener: TcpListener, endpoint: Arc<Endpoint<A>>, mut parts: Parts) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    let connection = parts.connections.accepted();
                    if connection.is_silent() {
                        endpoint.count_silenced();
                    }
                    connections.spawn(converse(stream, connection, Arc::clone(&endpoint), parts.clone()));
                }
                Err(error) => {
                    // Most likely out of file descriptors: closing connections will free some.
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            },
            Some(_) = connections.join_next() => {}
            _ = parts.stop.changed() => break,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
    parts.abandoned.carried_out().await;
}

async fn converse<A: Api>(stream: TcpStream, connection: Arc<Connection>, endpoint: Arc<Endpoint<A>>, parts: Parts) {
    // Small answers must not wait for the acknowledgement of earlier ones.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let Parts { abandoned, mut stop, .. } = parts;
    let service = service_fn(|request| {
        let (endpoint, connection) = (Arc::clone(&endpoint), Arc::clone(&connection));
        let on = Arc::clone(&connection);
        let answer = async move { endpoint.answer(request, &on).await };
        let answer = CarriedOut::new(answer, A::CARRIES_OUT.then(|| Arc::clone(&abandoned)));
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
                // Its client may never close it.
                () = connection.silenced() => Ok(()),
            }
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "connection ended");
    }
}
