use serde_json::json;

use crate::scripted::{BUSY, OPEN, REFUSED, Reply, Script, judged, refusal, reply, run, sqs};

use super::*;

fn address() -> Reply {
    reply(200, r#"{"QueueUrl":"http://localhost/1/orders"}"#)
}

/// The response to a batch whose entries all succeed.
fn done(numbers: std::ops::Range<usize>) -> Reply {
    let entry = |number: usize| json!({ "Id": number.to_string(), "MessageId": "m", "MD5OfMessageBody": "0" });
    reply(200, json!({ "Successful": numbers.map(entry).collect::<Vec<_>>(), "Failed": [] }))
}

fn queue(name: &str, replies: Vec<Reply>) -> (SqsQueue, Script) {
    let script = Script::new([address()].into_iter().chain(replies));
    (run(SqsQueue::open(sqs(&script), name, &QueueSettings::default())).unwrap(), script)
}

fn messages(count: usize) -> Vec<QueueMessage> {
    let message = |number| QueueMessage {
        body: format!("{number}"),
        group: Some("g".to_owned()),
        deduplication: Some(format!("d{number}")),
        ..QueueMessage::default()
    };
    (0..count).map(message).collect()
}

#[test]
fn queue_url_is_requested_once_with_the_full_name() {
    let script = Script::new([refusal(500, "InternalError"), address()]);
    let settings = QueueSettings { prefix: "test-".to_owned(), ..QueueSettings::default() };
    let queues = SqsQueues::new(sqs(&script), settings).unwrap();
    for _ in 0..2 {
        assert_eq!(run(queues.open("orders")).unwrap().name(), "orders");
    }
    assert_eq!(script.seen().len(), 2, "one request that failed, its retry, and no more");
    assert_eq!(script.seen()[1].json(), json!({ "QueueName": "test-orders" }));
}

#[test]
fn missing_queue_is_an_error_that_is_not_cached() {
    let script = Script::new([refusal(400, "QueueDoesNotExist"), address()]);
    let queues = SqsQueues::new(sqs(&script), QueueSettings::default()).unwrap();
    let error = run(queues.open("orders")).unwrap_err();
    assert_eq!(judged(&error), REFUSED);
    assert!(error.to_string().contains("queue `orders` does not exist here"), "{error}");
    assert!(run(queues.open("orders")).is_ok());
}

#[test]
fn many_messages_are_sent_in_batches_of_ten() {
    let (queue, script) = queue("orders", vec![done(0..10), done(10..20), done(20..25)]);
    assert!(run(queue.send(messages(25))).iter().all(Result::is_ok));
    let sizes: Vec<usize> =
        script.seen()[1..].iter().map(|seen| seen.json()["Entries"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [10, 10, 5]);
}

#[test]
fn empty_queue_calls_send_no_request() {
    let (queue, script) = queue("orders", vec![]);
    assert!(run(queue.send(vec![])).is_empty() && run(queue.delete(vec![])).is_empty());
    assert!(run(queue.extend(vec![], Duration::ZERO)).is_empty());
    assert_eq!(run(queue.receive(0, Duration::ZERO, Duration::ZERO)).unwrap(), []);
    assert_eq!(script.seen().len(), 1);
}

#[test]
fn failed_batch_of_messages_is_not_retried_by_the_sdk() {
    for (failure, expected) in
        [(refusal(500, "InternalError"), OPEN), (Reply::Broken, OPEN), (refusal(400, "ThrottlingException"), BUSY)]
    {
        let (queue, script) = queue("orders", vec![failure]);
        let answers = run(queue.send(messages(2)));
        let judged: Vec<_> = answers.iter().map(|answer| judged(answer.as_ref().unwrap_err())).collect();
        assert_eq!((judged, script.seen().len()), (vec![expected; 2], 2));
    }
}

#[test]
fn too_large_message_does_not_fail_the_others() {
    let (queue, script) = queue("orders", vec![done(1..2)]);
    let queue = queue.with_limits(Limits { message_bytes_max: 1000, ..Limits::default() });
    let mut two = messages(2);
    two[0].body = "x".repeat(1001);
    let answers = run(queue.send(two));
    let error = answers[0].as_ref().unwrap_err();
    assert_eq!(judged(error), REFUSED);
    assert!(
        error.to_string().contains("1001 bytes; at most 1000 are possible (`limits.message_bytes_max`)"),
        "{error}"
    );
    assert!(answers[1].is_ok());
    assert_eq!(script.seen().len(), 2);
}

/// The bodies of the entries of each request, except the request for the URL.
fn sent(script: &Script) -> Vec<Vec<String>> {
    let bodies = |request: &crate::scripted::Seen| {
        let json = request.json();
        let entries = json["Entries"].as_array().unwrap().iter();
        entries.map(|entry| entry["MessageBody"].as_str().unwrap().to_owned()).collect()
    };
    script.seen()[1..].iter().map(bodies).collect()
}

#[test]
fn fifo_batch_has_no_two_messages_of_a_group() {
    let told = json!({
        "Successful": [{ "Id": "0", "MessageId": "m", "MD5OfMessageBody": "0" }],
        "Failed": [{ "Id": "1", "Code": "InternalError", "SenderFault": false }],
    });
    let (queue, script) = queue("orders.fifo", vec![reply(200, told), done(0..1), done(0..1)]);
    let grouped = |(number, message): (usize, QueueMessage)| {
        let group = if number % 2 == 0 { "even" } else { "odd" };
        QueueMessage { group: Some(group.to_owned()), ..message }
    };
    let answers = run(queue.send(messages(6).into_iter().enumerate().map(grouped).collect()));
    assert_eq!(sent(&script), [vec!["0", "1"], vec!["2"], vec!["4"]]);
    let judged: Vec<_> = answers.iter().map(|answer| answer.as_ref().err().map(judged)).collect();
    assert_eq!(judged, [None, Some(OPEN), None, Some(BUSY), None, Some(BUSY)], "not sent, so without effect");
}

#[test]
fn message_that_fails_its_batch_does_not_fail_the_others() {
    for name in ["orders", "orders.fifo"] {
        let replies = vec![
            refusal(400, "BatchRequestTooLong"),
            done(0..1),
            refusal(400, "InvalidMessageContents"),
            reply(
                200,
                json!({ "Successful": [{ "Id": "2", "MessageId": "m", "MD5OfMessageBody": "0" }], "Failed": [] }),
            ),
        ];
        let (queue, script) = queue(name, replies);
        let apart = |message: QueueMessage| QueueMessage { group: Some(message.body.clone()), ..message };
        let answers = run(queue.send(messages(3).into_iter().map(apart).collect()));
        let judged: Vec<_> = answers.iter().map(|answer| answer.as_ref().err().map(judged)).collect();
        assert_eq!(judged, [None, Some(REFUSED), None]);
        assert_eq!(sent(&script), [vec!["0", "1", "2"], vec!["0"], vec!["1"], vec!["2"]]);
    }
}

#[test]
fn refused_large_message_has_advice_about_the_queue_size() {
    let entry = |code: &str| {
        let failed = json!({ "Id": "0", "Code": code, "Message": "why", "SenderFault": true });
        reply(200, json!({ "Successful": [], "Failed": [failed] }))
    };
    let advice = "2000 bytes; if its queue accepts less, raise the queue's `MaximumMessageSize`, or set `limits.message_bytes_max`";
    for (answer, size, advised) in [
        (entry("InvalidParameterValue"), 2000, true),
        (refusal(400, "BatchRequestTooLong"), 2000, true),
        (entry("InvalidParameterValue"), 1024, false),
        (entry("RequestThrottled"), 2000, false),
        (refusal(400, "QueueDoesNotExist"), 2000, false),
    ] {
        let (queue, _) = queue("orders", vec![answer.clone()]);
        let message = QueueMessage { body: "x".repeat(size), ..QueueMessage::default() };
        let error = run(queue.send(vec![message])).remove(0).unwrap_err().to_string();
        assert!(error.contains("queue `orders`") && error.contains(advice) == advised, "{answer:?}: {error}");
    }
}

#[test]
fn fifo_receive_after_an_unanswered_one_repeats_its_attempt_id() {
    let nothing = || reply(200, json!({}));
    let (queue, script) = queue("orders.fifo", vec![Reply::Broken, nothing(), nothing()]);
    let receive = || run(queue.receive(10, Duration::from_secs(20), Duration::from_secs(30)));
    assert!(receive().is_err() && receive().is_ok() && receive().is_ok());
    let ids: Vec<String> = script.seen()[1..]
        .iter()
        .map(|seen| seen.json()["ReceiveRequestAttemptId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((ids.len(), &ids[0]), (3, &ids[1]), "the second receive has the id of the first");
    assert_ne!(ids[1], ids[2], "the third receive has a new id");
}

#[test]
fn receive_requests_all_attributes_of_a_delivery() {
    let (queue, script) = queue("orders", vec![reply(200, "{}")]);
    let seconds = Duration::from_millis;
    assert_eq!(run(queue.receive(99, seconds(1_500), seconds(29_001))).unwrap(), []);
    let url = "http://localhost/1/orders";
    assert_eq!(
        script.seen()[1].json(),
        json!({
            "QueueUrl": url, "MaxNumberOfMessages": 10, "WaitTimeSeconds": 2, "VisibilityTimeout": 30,
            "MessageSystemAttributeNames": ["ApproximateReceiveCount", "MessageGroupId"],
            "MessageAttributeNames": ["All"],
        })
    );
}

#[test]
fn one_invalid_receipt_does_not_fail_the_others() {
    let told = json!({
        "Successful": [{ "Id": "0" }],
        "Failed": [{ "Id": "1", "Code": "ReceiptHandleIsInvalid", "SenderFault": true }],
    });
    let (queue, _) = queue("orders", vec![reply(200, &told), reply(200, &told)]);
    let receipts = || vec!["a".to_owned(), "b".to_owned()];
    for answers in [run(queue.delete(receipts())), run(queue.extend(receipts(), Duration::from_secs(1)))] {
        assert!(answers[0].is_ok());
        assert_eq!(judged(answers[1].as_ref().unwrap_err()), REFUSED);
    }
}

#[test]
fn long_poll_raises_only_timeouts_that_are_too_short() {
    let second = Duration::from_secs;
    let timeouts = TimeoutConfig::builder()
        .read_timeout(second(5))
        .operation_attempt_timeout(second(25))
        .operation_timeout(second(60))
        .connect_timeout(second(1))
        .build();
    let raised = long_poll_timeouts(Some(&timeouts), 20);
    assert_eq!(raised.read_timeout(), Some(second(25)), "raised by the wait");
    assert_eq!(raised.operation_attempt_timeout(), Some(second(30)), "raised to ten seconds more than the wait");
    assert_eq!((raised.operation_timeout(), raised.connect_timeout()), (None, None));
    assert!(!crate::sqs::queue::long_poll_timeouts(None, 20).has_timeouts());
}

#[test]
fn failed_long_poll_is_not_retried_by_the_sdk() {
    for (failure, expected) in [(refusal(500, "InternalError"), OPEN), (refusal(400, "ThrottlingException"), BUSY)] {
        let (queue, script) = queue("orders", vec![failure]);
        let error = run(queue.receive(10, Duration::from_secs(20), Duration::from_secs(30))).unwrap_err();
        assert_eq!((judged(&error), script.seen().len()), (expected, 2), "{error}");
    }
}

#[test]
fn durations_are_rounded_up_to_seconds_within_the_sqs_maximum() {
    for (ms, expected) in [(0, 0), (1, 1), (1_000, 1), (1_001, 2), (19_999, 20), (60_000, 20)] {
        assert_eq!(whole_seconds(Duration::from_millis(ms), WAIT_S_MAX), expected, "{ms}");
    }
    assert_eq!(whole_seconds(Duration::MAX, VISIBILITY_S_MAX), 43_200);
}
