//! `GET /live` and `GET /ready` for health checks, and a client for checks from inside the container.

use std::{
    convert::Infallible,
    io::{self, BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream},
    sync::Arc,
    time::Duration,
};

use cloakroom::observe::LastProgress;
use cloakroom_shop::Service;

use http_body_util::Full;
use hyper::{Method, Request, Response, StatusCode, body::Bytes, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{net::TcpListener, sync::watch};

/// The stage of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// The queues are being opened.
    Opening,
    /// The workers receive messages.
    Working,
    /// The workers finish messages in flight, and receive no more.
    Draining,
}

/// The data behind the health checks.
#[derive(Clone, Debug)]
pub(crate) struct Health {
    pub(crate) stage: watch::Receiver<Stage>,
    /// The progress of each worker.
    pub(crate) workers: Vec<(Service, Arc<LastProgress>)>,
    /// How long a worker may be without progress.
    pub(crate) idle_max: Duration,
}

impl Health {
    /// Returns a text that names a worker without progress. `None` if all workers make progress or none should work.
    fn standstill(&self) -> Option<String> {
        if *self.stage.borrow() != Stage::Working {
            return None;
        }
        let (service, progress) = self.workers.iter().find(|(_, progress)| progress.idle() > self.idle_max)?;
        Some(format!("not live: the worker of `{service}` has made no progress for {} s\n", progress.idle().as_secs()))
    }
}

/// The time limit for a request and its response.
const PATIENCE: Duration = Duration::from_secs(3);

/// Serves health checks until it is dropped.
pub(crate) async fn serve(listener: TcpListener, health: Health) {
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                // The likely cause is a lack of file descriptors, which passes when other connections close.
                tracing::warn!(%error, "health: cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let health = health.clone();
        let service = service_fn(move |request| {
            let answer = answer(&request, &health);
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

fn answer<B>(request: &Request<B>, health: &Health) -> Response<Full<Bytes>> {
    let unavailable = |text: String| (StatusCode::SERVICE_UNAVAILABLE, text);
    let ok = |text: &str| (StatusCode::OK, text.to_owned());
    let stage = *health.stage.borrow();
    let (status, text) = match (request.method(), request.uri().path(), stage) {
        (&Method::GET | &Method::HEAD, "/live", _) => health.standstill().map_or_else(|| ok("live\n"), unavailable),
        (&Method::GET | &Method::HEAD, "/ready", Stage::Working) => ok("ready\n"),
        (&Method::GET | &Method::HEAD, "/ready", Stage::Opening) => {
            unavailable("not ready: queues are being opened\n".to_owned())
        }
        (&Method::GET | &Method::HEAD, "/ready", Stage::Draining) => unavailable("not ready: draining\n".to_owned()),
        _ => (StatusCode::NOT_FOUND, "there are only GET /live and GET /ready\n".to_owned()),
    };
    let mut response = Response::new(Full::from(text));
    *response.status_mut() = status;
    response
}

/// Sends a health check to the process that serves on this address.
///
/// # Errors
/// The process does not respond, or its status is not 200.
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
    Err(io::Error::other(format!("GET /{path} returned `{}`", status.trim_end())))
}

#[cfg(test)]
mod tests {
    use cloakroom::{memory::Memory, observe::Observer as _, ports::Clock as _};

    use super::*;

    #[test]
    fn live_is_refused_while_a_worker_that_should_work_makes_no_progress() {
        let memory = Memory::new();
        let progress = || Arc::new(LastProgress::new(memory.clock.clone()));
        let (stage, staged) = watch::channel(Stage::Working);
        let workers = vec![(Service::Orders, progress()), (Service::Stock, progress())];
        let health = Health { stage: staged, workers, idle_max: Duration::from_secs(600) };
        let live = || {
            let request = Request::get("/live").body(()).expect("a request");
            (answer(&request, &health).status().as_u16(), health.standstill().unwrap_or_default())
        };
        memory.run(memory.clock.sleep(Duration::from_secs(600)));
        assert_eq!(live(), (200, String::new()));
        health.workers[0].1.progressed("orders");
        memory.run(memory.clock.sleep(Duration::from_secs(1)));
        assert_eq!(live(), (503, "not live: the worker of `stock` has made no progress for 601 s\n".to_owned()));
        for other in [Stage::Opening, Stage::Draining] {
            stage.send_replace(other);
            assert_eq!(live(), (200, String::new()), "{other:?}");
        }
        stage.send_replace(Stage::Working);
        health.workers[1].1.progressed("stock");
        assert_eq!(live(), (200, String::new()));
    }
}
