use serde_json::json;

use crate::scripted::{BUSY, OPEN, REFUSED, Reply, Script, judged, refusal, reply, run, sqs};

use super::*;

fn address() -> Reply {
    reply(200, r#"{"QueueUrl":"http://localhost/1/orders"}"#)
}

/// The answer to a batch in which everything succeeds.
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
fn a_queue_is_looked_up_once_under_its_full_name() {
    let script = Script::new([refusal(500, "InternalError"), address()]);
    let settings = QueueSettings { prefix: "test-".to_owned(), ..QueueSettings::default() };
    let queues = SqsQueues::new(sqs(&script), settings).unwrap();
    for _ in 0..2 {
        assert_eq!(run(queues.open("orders")).unwrap().name(), "orders");
    }
    assert_eq!(script.seen().len(), 2, "one that failed, its repetition, and no more");
    assert_eq!(script.seen()[1].json(), json!({ "QueueName": "test-orders" }));
}

#[test]
fn a_missing_queue_is_an_error_that_is_not_remembered() {
    let script = Script::new([refusal(400, "QueueDoesNotExist"), address()]);
    let queues = SqsQueues::new(sqs(&script), QueueSettings::default()).unwrap();
    let error = run(queues.open("orders")).unwrap_err();
    assert_eq!(judged(&error), REFUSED);
    assert!(error.to_string().contains("queue `orders` does not exist here"), "{error}");
    assert!(run(queues.open("orders")).is_ok());
}

#[test]
fn any_number_is_sent_in_batches() {
    let (queue, script) = queue("orders", vec![done(0..10), done(10..20), done(20..25)]);
    assert!(run(queue.send(messages(25))).iter().all(Result::is_ok));
    let sizes: Vec<usize> =
        script.seen()[1..].iter().map(|seen| seen.json()["Entries"].as_array().unwrap().len()).collect();
    assert_eq!(sizes, [10, 10, 5]);
}

#[test]
fn nothing_asks_nothing() {
    let (queue, script) = queue("orders", vec![]);
    assert!(run(queue.send(vec![])).is_empty() && run(queue.delete(vec![])).is_empty());
    assert!(run(queue.extend(vec![], Duration::ZERO)).is_empty());
    assert_eq!(run(queue.receive(0, Duration::ZERO, Duration::ZERO)).unwrap(), []);
    assert_eq!(script.seen().len(), 1);
}

#[test]
fn a_batch_is_sent_once() {
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
fn a_message_that_is_too_large_fails_alone() {
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

/// The bodies of the entries of each request, but for the one that asks for the address.
fn sent(script: &Script) -> Vec<Vec<String>> {
    let bodies = |request: &crate::scripted::Seen| {
        let json = request.json();
        let entries = json["Entries"].as_array().unwrap().iter();
        entries.map(|entry| entry["MessageBody"].as_str().unwrap().to_owned()).collect()
    };
    script.seen()[1..].iter().map(bodies).collect()
}

#[test]
fn in_a_fifo_batch_nothing_waits_for_another() {
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
    assert_eq!(judged, [None, Some(OPEN), None, Some(BUSY), None, Some(BUSY)], "kept back, so without effect");
}

#[test]
fn one_that_makes_a_batch_fail_fails_alone() {
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
fn a_queue_that_takes_less_is_told_from_other_refusals() {
    let entry = |code: &str| {
        let failed = json!({ "Id": "0", "Code": code, "Message": "why", "SenderFault": true });
        reply(200, json!({ "Successful": [], "Failed": [failed] }))
    };
    let advice = "2000 bytes; if its queue takes less, raise the queue's `MaximumMessageSize`, or set `limits.message_bytes_max`";
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
fn receive_after_one_that_was_not_answered_has_its_attempt_id_on_a_fifo_queue() {
    let nothing = || reply(200, json!({}));
    let (queue, script) = queue("orders.fifo", vec![Reply::Broken, nothing(), nothing()]);
    let receive = || run(queue.receive(10, Duration::from_secs(20), Duration::from_secs(30)));
    assert!(receive().is_err() && receive().is_ok() && receive().is_ok());
    let ids: Vec<String> = script.seen()[1..]
        .iter()
        .map(|seen| seen.json()["ReceiveRequestAttemptId"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!((ids.len(), &ids[0]), (3, &ids[1]), "the first receive is repeated");
    assert_ne!(ids[1], ids[2], "another receive");
}

#[test]
fn a_receive_asks_for_all_that_a_delivery_tells() {
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
fn receipts_fail_one_by_one() {
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
fn only_timeouts_that_are_too_short_for_a_long_poll_are_raised() {
    let second = Duration::from_secs;
    let timeouts = TimeoutConfig::builder()
        .read_timeout(second(5))
        .operation_attempt_timeout(second(25))
        .operation_timeout(second(60))
        .connect_timeout(second(1))
        .build();
    let patient = patient(Some(&timeouts), 20);
    assert_eq!(patient.read_timeout(), Some(second(25)), "by the wait");
    assert_eq!(patient.operation_attempt_timeout(), Some(second(30)), "to ten seconds beyond the wait");
    assert_eq!((patient.operation_timeout(), patient.connect_timeout()), (None, None));
    assert!(!crate::sqs::queue::patient(None, 20).has_timeouts());
}

#[test]
fn long_poll_is_sent_once() {
    for (failure, expected) in [(refusal(500, "InternalError"), OPEN), (refusal(400, "ThrottlingException"), BUSY)] {
        let (queue, script) = queue("orders", vec![failure]);
        let error = run(queue.receive(10, Duration::from_secs(20), Duration::from_secs(30))).unwrap_err();
        assert_eq!((judged(&error), script.seen().len()), (expected, 2), "{error}");
    }
}

#[test]
fn durations_are_rounded_up_to_what_sqs_takes() {
    for (ms, expected) in [(0, 0), (1, 1), (1_000, 1), (1_001, 2), (19_999, 20), (60_000, 20)] {
        assert_eq!(whole_seconds(Duration::from_millis(ms), WAIT_S_MAX), expected, "{ms}");
    }
    assert_eq!(whole_seconds(Duration::MAX, VISIBILITY_S_MAX), 43_200);
}
