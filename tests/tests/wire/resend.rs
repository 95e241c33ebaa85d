//! Whether the HTTP client of the SDK repeats requests without being asked.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use bytes::Bytes;
use cloakroom::{format::Claim, ports::PayloadStore as _};
use cloakroom_aws::S3Payloads;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
};

use crate::embedded::s3;

/// A server that answers all requests except one. Instead of answering that one it closes the
/// connection.
struct Silent {
    requests: AtomicUsize,
    /// The number of the request that it does not answer, from 0.
    silent: usize,
}

impl Silent {
    async fn start(silent: usize) -> (Arc<Self>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = Arc::new(Self { requests: AtomicUsize::new(0), silent });
        let serving = Arc::clone(&server);
        tokio::spawn(async move {
            while let Ok((connection, _)) = listener.accept().await {
                tokio::spawn(Arc::clone(&serving).serve(connection));
            }
        });
        (server, url)
    }

    async fn serve(self: Arc<Self>, mut connection: TcpStream) {
        let mut unread = Vec::new();
        while read_request(&mut connection, &mut unread).await {
            if self.requests.fetch_add(1, Ordering::SeqCst) == self.silent {
                return;
            }
            connection.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    }

    fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }
}

/// Reads one whole request. Returns `false` if the client has closed the connection.
async fn read_request(connection: &mut TcpStream, unread: &mut Vec<u8>) -> bool {
    loop {
        if let Some(end) = end_of_request(unread) {
            unread.drain(..end);
            return true;
        }
        if connection.read_buf(unread).await.unwrap_or(0) == 0 {
            return false;
        }
    }
}

fn end_of_request(bytes: &[u8]) -> Option<usize> {
    let head_end = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&bytes[..head_end]).to_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).map_or("0", str::trim);
    Some(head_end + length.parse::<usize>().unwrap()).filter(|end| *end <= bytes.len())
}

#[tokio::test]
async fn check_in_on_a_broken_connection_is_not_repeated() {
    // The first request uses a new connection, and later ones reuse it. HTTP clients often repeat a
    // request when a reused connection breaks.
    for silent in [0, 1, 2] {
        let (server, url) = Silent::start(silent).await;
        let payloads = S3Payloads::new(s3(&url), "coats");
        for number in 0..silent {
            payloads.check_in(&Claim::from_random(number as u128, "coats"), Bytes::from_static(b"{}")).await.unwrap();
        }
        let error = payloads.check_in(&Claim::from_random(9, "coats"), Bytes::from_static(b"{}")).await.unwrap_err();
        assert!(error.may_have_happened() && error.may_be_repeated(), "{error}");
        assert_eq!(server.requests(), silent + 1, "one request for each call");
    }
}

#[tokio::test]
async fn sdk_retries_an_idempotent_write_after_a_broken_connection() {
    // Shows that the test above can fail: for an idempotent call the SDK hides the same break by a
    // retry.
    let (server, url) = Silent::start(0).await;
    S3Payloads::new(s3(&url), "coats").delete(&Claim::from_random(1, "coats")).await.unwrap();
    assert_eq!(server.requests(), 2);
}

#[tokio::test]
async fn refused_connection_is_an_error_without_effect() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    let payloads = S3Payloads::new(s3(&url), "coats");
    let error = payloads.check_in(&Claim::from_random(1, "coats"), Bytes::new()).await.unwrap_err();
    assert!(!error.may_have_happened() && error.may_be_repeated(), "{error}");
}
