use aws_sdk_sqs::config::{BehaviorVersion, Credentials, Region};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
};

use super::*;

#[tokio::test]
async fn idle_connection_is_closed_after_its_time() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let config = aws_sdk_sqs::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new("AKIDTEST", "SECRETTEST", None, None, "test"))
        .http_client(client(Duration::from_millis(100)))
        .endpoint_url(format!("http://{}", listener.local_addr().unwrap()));
    let client = aws_sdk_sqs::Client::from_conf(config.build());
    let answered = tokio::spawn(async move { client.list_queues().send().await.map(|_| client) });

    let (mut stream, _) = listener.accept().await.unwrap();
    let mut request = Vec::new();
    while !request.ends_with(b"{}") {
        assert!(stream.read_buf(&mut request).await.unwrap() > 0, "the request is cut off");
    }
    stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-type: application/x-amz-json-1.0\r\ncontent-length: 2\r\n\r\n{}")
        .await
        .unwrap();
    let _client = answered.await.unwrap().unwrap();
    // The server keeps the connection open. The client closes it.
    let closed = tokio::time::timeout(Duration::from_secs(30), stream.read_buf(&mut request)).await;
    assert_eq!(closed.expect("it is closed").unwrap(), 0);
}
