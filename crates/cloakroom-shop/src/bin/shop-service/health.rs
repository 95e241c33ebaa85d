//! `GET /live` and `GET /ready`, for whoever looks after the process, and how it is asked from inside its container.

use std::{
    convert::Infallible,
    io::{self, BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    time::Duration,
};

use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::watch};

/// How far a process has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Its queues are being opened.
    Opening,
    /// Its workers take messages.
    Working,
    /// Its workers finish what they hold.
    Draining,
}

/// How long an answer may take to be given.
const PATIENCE: Duration = Duration::from_secs(3);

/// Serves until it is dropped.
pub(crate) async fn serve(listener: TcpListener, stage: watch::Receiver<Stage>) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Most likely out of file descriptors: others that are closed will help.
                tracing::warn!(%error, "health: cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let stage = stage.clone();
        let service = service_fn(move |request| {
            let answer = answer(&request, *stage.borrow());
            async { Ok::<_, Infallible>(answer) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(PATIENCE).keep_alive(false);
        let connection = http.serve_connection(TokioIo::new(stream), service);
        tokio::spawn(async {
            if let Err(error) = connection.await {
                tracing::debug!(%error, "health: connection ended");
            }
        });
    }
}

fn answer<B>(request: &Request<B>, stage: Stage) -> Response<Full<Bytes>> {
    let (status, text) = match (request.method(), request.uri().path(), stage) {
        (&Method::GET | &Method::HEAD, "/live", _) => (StatusCode::OK, "live\n"),
        (&Method::GET | &Method::HEAD, "/ready", Stage::Working) => (StatusCode::OK, "ready\n"),
        (&Method::GET | &Method::HEAD, "/ready", Stage::Opening) => {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready: queues are being opened\n")
        }
        (&Method::GET | &Method::HEAD, "/ready", Stage::Draining) => {
            (StatusCode::SERVICE_UNAVAILABLE, "not ready: draining\n")
        }
        _ => (StatusCode::NOT_FOUND, "there are only GET /live and GET /ready\n"),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

/// Asks the process that serves on this address.
///
/// # Errors
/// It does not answer, or not with 200.
pub(crate) fn ask(mut address: SocketAddr, path: &str) -> io::Result<()> {
    match address {
        SocketAddr::V4(any) if any.ip().is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        SocketAddr::V6(any) if any.ip().is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        SocketAddr::V4(_) | SocketAddr::V6(_) => {}
    }
    let mut stream = TcpStream::connect_timeout(&address, PATIENCE)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    write!(stream, "GET /{path} HTTP/1.1\r\nhost: {address}\r\n\r\n")?;
    let mut status = String::new();
    BufReader::new(stream).read_line(&mut status)?;
    if status.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(io::Error::other(format!("GET /{path} was answered with `{}`", status.trim_end())))
}
