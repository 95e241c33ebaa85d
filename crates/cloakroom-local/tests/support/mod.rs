//! A minimal client: one connection per request, JSON for DynamoDB and SQS, signed requests for S3.

#![allow(dead_code, reason = "each test file uses only some of these functions")]

mod signature;

use std::io;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// A response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the name of an error in JSON, without its namespace.
    pub(crate) fn error(&self) -> String {
        let kind = self.json()["__type"].as_str().unwrap_or_default().to_owned();
        kind.rsplit('#').next().unwrap_or_default().to_owned()
    }
}

/// Sends a request and returns its response. Fails if the connection is closed without a response.
pub(crate) async fn send(
    url: &str,
    method: &str,
    target: &str,
    headers: &[(&str, String)],
    body: &[u8],
) -> io::Result<Response> {
    let mut stream = TcpStream::connect(url.trim_start_matches("http://")).await?;
    let headers = [&[("connection", "close".to_owned())][..], headers].concat();
    stream.write_all(&request(url, method, target, &headers, body)).await?;
    let mut response = Vec::new();
    stream.read_to_end(&mut response).await?;

    let end = response.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.ok_or(io::ErrorKind::UnexpectedEof)?;
    let head = String::from_utf8_lossy(&response[..end]).to_ascii_lowercase();
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    Ok(Response { status: status.ok_or(io::ErrorKind::InvalidData)?, head, body: response[end + 4..].to_vec() })
}

/// Returns the bytes of a request.
fn request(url: &str, method: &str, target: &str, headers: &[(&str, String)], body: &[u8]) -> Vec<u8> {
    let host = url.trim_start_matches("http://");
    let mut head = format!("{method} {target} HTTP/1.1\r\nhost: {host}\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head.push_str(&format!("content-length: {}\r\n\r\n", body.len()));
    [head.as_bytes(), body].concat()
}

fn headers_of_call(target: String) -> [(&'static str, String); 2] {
    [("x-amz-target", target), ("content-type", "application/x-amz-json-1.0".to_owned())]
}

async fn call(url: &str, target: String, request: &Value) -> io::Result<Response> {
    send(url, "POST", "/", &headers_of_call(target), request.to_string().as_bytes()).await
}

/// A connection that stays open between requests.
pub(crate) struct OpenConnection {
    url: String,
    stream: TcpStream,
}

impl OpenConnection {
    pub(crate) async fn to(url: &str) -> Self {
        let stream = TcpStream::connect(url.trim_start_matches("http://")).await.expect("connected");
        Self { url: url.to_owned(), stream }
    }

    /// Sends a request to DynamoDB or SQS, for example `DynamoDB_20120810.PutItem`.
    pub(crate) async fn call(&mut self, target: &str, body: &Value) {
        let headers = headers_of_call(target.to_owned());
        let bytes = request(&self.url, "POST", "/", &headers, body.to_string().as_bytes());
        self.stream.write_all(&bytes).await.expect("sent");
    }

    /// Sends a signed request to S3.
    pub(crate) async fn s3(&mut self, method: &str, path: &str, body: &[u8]) {
        let headers = signature::sign(self.url.trim_start_matches("http://"), method, path, body);
        self.stream.write_all(&request(&self.url, method, path, &headers, body)).await.expect("sent");
    }

    /// Waits for a response and returns its status.
    pub(crate) async fn status(&mut self) -> u16 {
        let mut bytes = vec![0; 64 * 1024];
        let length = self.stream.read(&mut bytes).await.expect("a response");
        let status = bytes[..length].split(|byte| *byte == b' ').nth(1).map(String::from_utf8_lossy);
        status.and_then(|status| status.parse().ok()).expect("a status")
    }

    /// Whether the client has received neither a response nor the end of the connection.
    pub(crate) fn is_silent(&self) -> bool {
        let nothing = self.stream.try_read(&mut [0; 1]);
        nothing.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }
}

/// Sends a request to DynamoDB.
pub(crate) async fn dynamodb(url: &str, operation: &str, request: Value) -> io::Result<Response> {
    call(url, format!("DynamoDB_20120810.{operation}"), &request).await
}

/// Sends a request to SQS.
pub(crate) async fn sqs(url: &str, operation: &str, request: Value) -> io::Result<Response> {
    call(url, format!("AmazonSQS.{operation}"), &request).await
}

/// Sends a signed request to S3.
pub(crate) async fn s3(url: &str, method: &str, path: &str, body: &[u8]) -> io::Result<Response> {
    s3_with(url, method, path, &[], body).await
}

/// Sends a signed request to S3 with additional headers.
pub(crate) async fn s3_with(
    url: &str,
    method: &str,
    path: &str,
    headers: &[(&str, String)],
    body: &[u8],
) -> io::Result<Response> {
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
    let response = dynamodb(url, "CreateTable", request).await.expect("a response");
    assert_eq!(response.status, 200, "{}", response.text());
}

/// Creates a queue and returns its URL.
pub(crate) async fn create_queue(url: &str, name: &str, attributes: Value) -> String {
    let request = json!({ "QueueName": name, "Attributes": attributes });
    let response = sqs(url, "CreateQueue", request).await.expect("a response");
    response.json()["QueueUrl"].as_str().expect("a URL").to_owned()
}

/// Receives up to ten messages.
pub(crate) async fn receive(url: &str, queue: &str) -> Vec<Value> {
    let request = json!({ "QueueUrl": queue, "MaxNumberOfMessages": 10 });
    let response = sqs(url, "ReceiveMessage", request).await.expect("a response");
    assert_eq!(response.status, 200, "{}", response.text());
    response.json()["Messages"].as_array().cloned().unwrap_or_default()
}
