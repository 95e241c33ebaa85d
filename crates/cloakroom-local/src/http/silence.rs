//! Silent connections: they stay open, but no request on them gets a response.
//!
//! A client observes the same if the host is gone, if a firewall drops the state of a connection,
//! or if the network fails.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::Instant;

/// The connections of one server.
#[derive(Debug, Default)]
pub(crate) struct Connections(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    open: Vec<Weak<Connection>>,
    /// New connections are also silent until this instant.
    silent_until: Option<Instant>,
}

impl Connections {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Registers an accepted connection. It is silent from the start if the whole service is
    /// silent.
    pub(super) fn accepted(&self) -> Arc<Connection> {
        let connection = Arc::new(Connection::default());
        let mut state = self.state();
        if state.silent_until.is_some_and(|until| Instant::now() < until) {
            connection.silence();
        } else {
            // This search for closed connections has amortized constant cost: it runs only when the
            // list is about to grow.
            if state.open.len() == state.open.capacity() {
                state.open.retain(|open| open.strong_count() > 0);
            }
            state.open.push(Arc::downgrade(&connection));
        }
        connection
    }

    /// Silences the open connections permanently. Returns the number of connections that were not
    /// yet silent.
    pub(crate) fn silence_open(&self) -> u64 {
        let open = std::mem::take(&mut self.state().open);
        let silenced = open.iter().filter_map(Weak::upgrade).filter(|connection| connection.silence());
        silenced.count() as u64
    }

    /// Silences the open connections, and those that are opened within `duration`, permanently.
    /// Returns the number of open connections that were not yet silent.
    pub(crate) fn silence_all(&self, duration: Duration) -> u64 {
        // This comes first, because a connection that is accepted between the two steps must also
        // become silent.
        self.state().silent_until = Some(Instant::now() + duration);
        self.silence_open()
    }
}

/// One connection, and whether it is silent.
#[derive(Debug, Default)]
pub(crate) struct Connection(watch::Sender<bool>);

impl Connection {
    /// Silences the connection permanently. Returns whether it was not silent before.
    pub(crate) fn silence(&self) -> bool {
        !self.0.send_replace(true)
    }

    pub(crate) fn is_silent(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the connection is silent.
    pub(super) async fn silenced(&self) {
        // An error would mean that the sender is dropped, but this value owns it.
        let _ = self.0.subscribe().wait_for(|is_silent| *is_silent).await;
    }

    /// Returns immediately, or never on a silent connection.
    pub(super) async fn hold_if_silent(&self) {
        if self.is_silent() {
            std::future::pending().await
        }
    }
}

/// The byte stream of a connection. When the connection is silent, the bytes of both directions are
/// discarded. It ends when the client closes it.
pub(super) struct Stream {
    pub(super) stream: TcpStream,
    pub(super) connection: Arc<Connection>,
}

impl AsyncRead for Stream {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        loop {
            ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
            let is_at_end = buffer.filled().len() == before;
            if is_at_end || !self.connection.is_silent() {
                return Poll::Ready(Ok(()));
            }
            buffer.set_filled(before);
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.connection.is_silent() {
            true => Poll::Ready(Ok(bytes.len())),
            false => Pin::new(&mut self.stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.connection.is_silent() {
            true => Poll::Ready(Ok(slices.iter().map(|slice| slice.len()).sum())),
            false => Pin::new(&mut self.stream).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    /// A silent connection stays open until its client closes it.
    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut discarded = [0; 1024];
        while self.connection.is_silent() {
            let mut buffer = ReadBuf::new(&mut discarded);
            ready!(Pin::new(&mut self.stream).poll_read(cx, &mut buffer))?;
            if buffer.filled().is_empty() {
                break;
            }
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
