//! A client that is just big enough: one connection per request, JSON for DynamoDB and SQS,
//! signed requests for S3.

#![allow(dead_code, reason = "each test file uses its part")]

mod signature;

use std::io;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The name of an error in JSON, without its namespace.
    pub(crate) fn error(&self) -> String {
        let kind = self.json()["__type"].as_str().unwrap_or_default().to_owned();
        kind.rsplit('#').next().unwrap_or_default().to_owned()
    }
}

/// Sends a request and reads the answer. A connection that is closed without one is an error.
pub(crate) async fn send(
    url: &str,
    method: &str,
    target: &str,
    headers: &[(&str, String)],
    body: &[u8],
) -> io::Result<Answer> {
    let host = url.trim_start_matches("http://");
    let mut stream = TcpStream::connect(host).await?;
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    stream.write_all(head.as_bytes()).await?;
    stream.write_all(body).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;

    let end = answer.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8_lossy(&answer[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Answer { status: status.ok_or(io::ErrorKind::InvalidData)?, head, body: answer[end + 4..].to_vec() })
}

async fn call(url: &str, target: String, request: &Value) -> io::Result<Answer> {
    let headers = [("x-amz-target", target), ("content-type", "application/x-amz-json-1.0".to_owned())];
    send(url, "POST", "/", &headers, request.to_string().as_bytes()).await
}

/// A request to DynamoDB.
pub(crate) async fn dynamodb(url: &str, operation: &str, request: Value) -> io::Result<Answer> {
    call(url, format!("DynamoDB_20120810.{operation}"), &request).await
}

/// A request to SQS.
pub(crate) async fn sqs(url: &str, operation: &str, request: Value) -> io::Result<Answer> {
    call(url, format!("AmazonSQS.{operation}"), &request).await
}

/// A signed request to S3.
pub(crate) async fn s3(url: &str, method: &str, path: &str, body: &[u8]) -> io::Result<Answer> {
    s3_with(url, method, path, &[], body).await
}

/// A signed request to S3 with more headers.
pub(crate) async fn s3_with(
    url: &str,
    method: &str,
    path: &str,
    headers: &[(&str, String)],
    body: &[u8],
) -> io::Result<Answer> {
    let host = url.trim_start_matches("http://");
    let mut all = signature::sign(host, method, path, body);
    all.extend(headers.iter().cloned());
    send(url, method, path, &all, body).await
}

/// Creates a table whose key is the string `pk`.
pub(crate) async fn create_table(url: &str, name: &str) {
    let request = json!({
        "TableName": name,
        "BillingMode": "PAY_PER_REQUEST",
        "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }],
        "AttributeDefinitions": [{ "AttributeName": "pk", "AttributeType": "S" }],
    });
    let answer = dynamodb(url, "CreateTable", request).await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// Creates a queue and gives its URL.
pub(crate) async fn create_queue(url: &str, name: &str, attributes: Value) -> String {
    let request = json!({ "QueueName": name, "Attributes": attributes });
    let answer = sqs(url, "CreateQueue", request).await.expect("an answer");
    answer.json()["QueueUrl"].as_str().expect("a URL").to_owned()
}

/// Receives up to ten messages.
pub(crate) async fn receive(url: &str, queue: &str) -> Vec<Value> {
    let request = json!({ "QueueUrl": queue, "MaxNumberOfMessages": 10 });
    let answer = sqs(url, "ReceiveMessage", request).await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["Messages"].as_array().cloned().unwrap_or_default()
}
