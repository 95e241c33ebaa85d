//! The data in a folder after restarts.

mod support;

use std::path::Path;
use std::process::Stdio;

use cloakroom_local::LocalAws;
use serde_json::json;
use support::{create_queue, create_table, dynamodb, receive, s3, sqs};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

/// The URLs of the services of one process.
struct Urls {
    dynamodb: String,
    s3: String,
    sqs: String,
}

impl Urls {
    fn of(aws: &LocalAws) -> Self {
        Self { dynamodb: aws.dynamodb_url(), s3: aws.s3_url(), sqs: aws.sqs_url() }
    }
}

async fn start(folder: &Path) -> LocalAws {
    LocalAws::builder().folder(folder).start().await.expect("started")
}

/// Writes one numbered item, object and message.
async fn write(urls: &Urls, number: usize) {
    let item = json!({ "TableName": "orders", "Item": { "pk": { "S": number.to_string() } } });
    let response = dynamodb(&urls.dynamodb, "PutItem", item).await.expect("a response");
    assert_eq!(response.status, 200);
    let path = format!("/bucket/key{number}");
    let response = s3(&urls.s3, "PUT", &path, format!("body {number}").as_bytes()).await.expect("a response");
    assert_eq!(response.status, 200);
    let queue = format!("{}/000000000000/orders", urls.sqs);
    let message = json!({ "QueueUrl": queue, "MessageBody": number.to_string() });
    let response = sqs(&urls.sqs, "SendMessage", message).await.expect("a response");
    assert_eq!(response.status, 200);
}

async fn prepare(urls: &Urls) {
    create_table(&urls.dynamodb, "orders").await;
    s3(&urls.s3, "PUT", "/bucket", b"").await.expect("a response");
    create_queue(&urls.sqs, "orders", json!({ "VisibilityTimeout": "600" })).await;
}

/// Checks that each service has exactly the data of the numbers `0..count`.
async fn check(urls: &Urls, count: usize) {
    let scan = json!({ "TableName": "orders", "Select": "COUNT" });
    let response = dynamodb(&urls.dynamodb, "Scan", scan).await.expect("a response");
    assert_eq!(response.json()["Count"], count);
    for number in 0..count {
        let response = s3(&urls.s3, "GET", &format!("/bucket/key{number}"), b"").await.expect("a response");
        assert_eq!(response.text(), format!("body {number}"));
    }
    let queue = format!("{}/000000000000/orders", urls.sqs);
    let mut bodies = Vec::new();
    loop {
        let messages = receive(&urls.sqs, &queue).await;
        if messages.is_empty() {
            break;
        }
        let numbers = messages.iter().map(|m| m["Body"].as_str().and_then(|body| body.parse::<usize>().ok()));
        bodies.extend(numbers.map(|number| number.expect("a number")));
    }
    bodies.sort_unstable();
    assert_eq!(bodies, (0..count).collect::<Vec<_>>());
}

#[tokio::test]
async fn all_data_survives_a_shutdown() {
    let folder = tempfile::tempdir().expect("a folder");
    let aws = start(folder.path()).await;
    prepare(&Urls::of(&aws)).await;
    write(&Urls::of(&aws), 0).await;
    aws.shutdown().await;
    check(&Urls::of(&start(folder.path()).await), 1).await;
}

#[tokio::test]
async fn all_data_survives_a_drop() {
    let folder = tempfile::tempdir().expect("a folder");
    let aws = start(folder.path()).await;
    prepare(&Urls::of(&aws)).await;
    for number in 0..25 {
        write(&Urls::of(&aws), number).await;
    }
    drop(aws);
    check(&Urls::of(&start(folder.path()).await), 25).await;
}

#[tokio::test]
async fn received_message_stays_hidden_and_can_be_deleted_after_a_restart() {
    let folder = tempfile::tempdir().expect("a folder");
    let aws = start(folder.path()).await;
    prepare(&Urls::of(&aws)).await;
    write(&Urls::of(&aws), 0).await;
    let queue = format!("{}/000000000000/orders", aws.sqs_url());
    let received = receive(&aws.sqs_url(), &queue).await;
    drop(aws);

    let aws = start(folder.path()).await;
    let queue = format!("{}/000000000000/orders", aws.sqs_url());
    assert!(receive(&aws.sqs_url(), &queue).await.is_empty());
    let delete = json!({ "QueueUrl": queue, "ReceiptHandle": received[0]["ReceiptHandle"] });
    assert_eq!(sqs(&aws.sqs_url(), "DeleteMessage", delete).await.expect("a response").status, 200);
    assert_eq!(aws.usage().sqs.messages_deleted, 1);
}

#[tokio::test]
async fn folder_is_served_by_one_instance_at_a_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let first = start(folder.path()).await;
    let mut second = std::pin::pin!(start(folder.path()));
    tokio::select! {
        biased;
        _ = &mut second => panic!("the folder is in use"),
        () = std::future::ready(()) => {}
    }
    drop(first);
    second.await;
}

#[tokio::test]
async fn start_error_names_the_unreadable_file() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("sqs.sqlite"), "not a database, and long enough to detect that")
        .expect("written");
    let started = LocalAws::builder().folder(folder.path()).start().await;
    let error = started.expect_err("broken").to_string();
    assert!(error.contains("sqs.sqlite") && error.contains("move the whole folder away"), "{error}");
}

/// The folder of a child process that is to be killed. Set only in the child.
const SERVED_FOLDER: &str = "CLOAKROOM_LOCAL_TEST_SERVED_FOLDER";

/// Runs the test with this name in a child process that serves this folder. The child ends when it
/// is dropped. If this process ends without dropping it, the child ends when its standard input is
/// closed.
async fn start_process(test: &str, folder: &Path) -> (Child, Urls) {
    let mut child = Command::new(std::env::current_exe().expect("the path of this executable"))
        .args(["--exact", "--nocapture", test])
        .env(SERVED_FOLDER, folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("a child process");
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut urls = Vec::new();
    while urls.len() < 3 {
        let line = lines.next_line().await.expect("text").expect("three addresses");
        urls.extend(line.split_once("url=").map(|(_, url)| url.to_owned()));
    }
    let [dynamodb, s3, sqs] = urls.try_into().expect("three addresses");
    (child, Urls { dynamodb, s3, sqs })
}

async fn serve_until_stdin_ends(folder: &Path) {
    let aws = start(folder).await;
    println!("\nurl={}\nurl={}\nurl={}", aws.dynamodb_url(), aws.s3_url(), aws.sqs_url());
    tokio::io::copy(&mut tokio::io::stdin(), &mut tokio::io::sink()).await.expect("read");
}

#[tokio::test]
async fn acknowledged_writes_survive_kill_9() {
    if let Some(folder) = std::env::var_os(SERVED_FOLDER) {
        return serve_until_stdin_ends(Path::new(&folder)).await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let mut count = 0;
    for round in 0..3 {
        let (mut child, urls) = start_process("acknowledged_writes_survive_kill_9", folder.path()).await;
        if round == 0 {
            prepare(&urls).await;
        }
        for _ in 0..10 {
            write(&urls, count).await;
            count += 1;
        }
        child.kill().await.expect("killed");
    }
    check(&Urls::of(&start(folder.path()).await), count).await;
}
