use std::collections::HashSet;

use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region, retry::RetryConfig, timeout::TimeoutConfig};
use futures::future::join_all;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

use super::*;

fn config(times: Times, listener: &TcpListener) -> aws_sdk_sqs::config::Builder {
    aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("AKIDTEST", "SECRETTEST", None, None, "test"))
        .http_client(client(times))
        .endpoint_url(format!("http://{}", listener.local_addr().unwrap()))
}

/// Reads a request. Returns `false` if the connection ended.
async fn request(stream: &mut TcpStream) -> bool {
    let mut request = Vec::new();
    while !request.ends_with(b"{}") {
        if stream.read_buf(&mut request).await.unwrap_or_default() == 0 {
            return false;
        }
    }
    true
}

async fn answer(stream: &mut TcpStream) {
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 2\r\n\r\n{}")
        .await
        .unwrap();
}

#[tokio::test]
async fn idle_connection_is_closed_after_its_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let client = aws_sdk_sqs::Client::from_conf(
        config(Times { idle_max: Duration::from_millis(100), ..TIMES }, &listener).build(),
    );
    let answered = tokio::spawn(async move { client.list_queues().send().await.map(|_| client) });

    let (mut stream, _) = listener.accept().await.unwrap();
    assert!(request(&mut stream).await, "the request is incomplete");
    answer(&mut stream).await;
    let _client = answered.await.unwrap().unwrap();
    // The server keeps the connection open. The client closes it.
    let closed = tokio::time::timeout(Duration::from_secs(30), stream.read_u8()).await;
    assert_eq!(closed.expect("it is closed").unwrap_err().kind(), std::io::ErrorKind::UnexpectedEof);
}

/// The number of connections that stop answering at the same time.
const SILENT: usize = 6;

#[tokio::test]
async fn unanswered_request_replaces_all_connections_of_the_pool() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (silent_after, pool_age_min) = (Duration::from_millis(500), Duration::ZERO);
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(silent_after * 2).build();
    let config = config(Times { silent_after, pool_age_min, ..TIMES }, &listener)
        .timeout_config(timeouts)
        .retry_config(RetryConfig::disabled());
    let client = aws_sdk_sqs::Client::from_conf(config.build());
    let (silence, is_silent) = watch::channel(false);
    let (ask, mut asked) = watch::channel(HashSet::new());
    // The first connections answer together, so that each is used once. After `silence` they never
    // answer.
    let server = async {
        for number in 0.. {
            let (mut stream, _) = listener.accept().await.unwrap();
            let (ask, mut asked, is_silent) = (ask.clone(), ask.subscribe(), is_silent.clone());
            tokio::spawn(async move {
                while request(&mut stream).await {
                    ask.send_if_modified(|asked: &mut HashSet<usize>| asked.insert(number));
                    asked.wait_for(|asked| asked.len() >= SILENT).await.unwrap();
                    if number < SILENT && *is_silent.borrow() {
                        std::future::pending::<()>().await;
                    }
                    answer(&mut stream).await;
                }
            });
        }
    };
    let requests = async {
        let answers = join_all((0..SILENT).map(|_| client.list_queues().send())).await;
        assert!(answers.iter().all(Result::is_ok));
        assert_eq!(asked.borrow_and_update().len(), SILENT);
        silence.send_replace(true);
        client.list_queues().send().await.expect_err("no answer");
        client.list_queues().send().await.expect("an answer on a new connection");
    };
    tokio::select! {
        () = server => unreachable!("it serves without end"),
        () = requests => {}
    }
}
