use super::*;
use crate::scripted::{BUSY, OPEN, REFUSED, Reply, Script, judged, reply, run, s3, s3_refusal};

fn payloads(replies: Vec<Reply>) -> (S3Payloads, Script) {
    let script = Script::new(replies);
    (S3Payloads::new(s3(&script), "coats"), script)
}

fn claim() -> Claim {
    Claim::from_random(7, "coats")
}

#[test]
fn failed_check_in_to_the_bucket_is_not_retried_by_the_sdk() {
    for (failure, expected) in [
        (s3_refusal(500, "InternalError"), OPEN),
        (Reply::Broken, OPEN),
        (s3_refusal(503, "SlowDown"), BUSY),
        (s3_refusal(400, "RequestTimeout"), OPEN),
        (s3_refusal(404, "NoSuchBucket"), REFUSED),
    ] {
        let (payloads, script) = payloads(vec![failure]);
        let error = run(payloads.check_in(&claim(), Bytes::from_static(b"{}"))).unwrap_err();
        assert_eq!((judged(&error), script.seen().len()), (expected, 1), "{error}");
    }
}

#[test]
fn payload_object_is_json_under_its_claim() {
    let (payloads, script) = payloads(vec![reply(200, "")]);
    run(payloads.check_in(&claim(), Bytes::from_static(b"{\"a\":1}"))).unwrap();
    let seen = &script.seen()[0];
    assert!(seen.path.contains("/coats/00000000000000000000000000000007.coats?"), "{}", seen.path);
    assert_eq!((&*seen.method, seen.header("content-type")), ("PUT", Some("application/json")));
    assert_eq!(seen.body, "{\"a\":1}");
}

#[test]
fn only_a_missing_key_is_a_missing_payload() {
    let (payloads, _) = payloads(vec![s3_refusal(404, "NoSuchKey"), reply(200, "the payload")]);
    assert_eq!(run(payloads.read(&claim())).unwrap(), None);
    assert_eq!(run(payloads.read(&claim())).unwrap(), Some(Bytes::from_static(b"the payload")));
}

#[test]
fn large_payload_keeps_the_connect_timeout_of_a_client_without_timeouts() {
    let (payloads, script) = payloads(vec![reply(200, ""), reply(200, "")]);
    for bytes in [1, 4 * 1024 * 1024] {
        run(payloads.check_in(&claim(), Bytes::from(vec![b'x'; bytes]))).unwrap();
    }
    let connect_timeouts = script.connect_timeouts();
    assert!(connect_timeouts.len() >= 2 && connect_timeouts.iter().all(Option::is_some), "{connect_timeouts:?}");
}

fn must_be_caused_by_one_message(error: PortError, expected: &str) {
    assert_eq!(judged(&error), REFUSED, "{error}");
    let text = error.to_string();
    assert!(
        text.contains(expected) && text.contains("`payload_bytes_max`") && text.contains("bucket `coats`"),
        "{text}"
    );
    let claim = claim();
    let logged = error.loggable();
    assert!(
        logged.contains(expected) && logged.contains(&claim.digest()) && !logged.contains(claim.as_str()),
        "{logged}"
    );
    assert_eq!(cloakroom::Error::from(error).kind(), cloakroom::ErrorKind::RetryMessage);
}

#[test]
fn payload_with_a_content_length_above_the_limit_is_not_read() {
    let (payloads, _) = payloads(vec![Reply::OfLength(1 << 40, "short".to_owned())]);
    let error = run(payloads.read(&claim())).unwrap_err();
    must_be_caused_by_one_message(error, "has 1099511627776 bytes or more, and at most 67108864");
}

#[test]
fn payload_larger_than_its_content_length_is_read_only_to_the_limit() {
    let (payloads, _) = payloads(vec![reply(200, "x".repeat(11)), reply(200, "x".repeat(10))]);
    let payloads = payloads.with_bytes_max(10);
    must_be_caused_by_one_message(run(payloads.read(&claim())).unwrap_err(), "has 11 bytes or more, and at most 10");
    assert_eq!(run(payloads.read(&claim())).unwrap().map(|payload| payload.len()), Some(10));
}

#[test]
fn payload_above_the_limit_is_not_checked_in() {
    let (payloads, script) = payloads(Vec::new());
    let error = run(payloads.with_bytes_max(10).check_in(&claim(), Bytes::from_static(b"12345678901"))).unwrap_err();
    must_be_caused_by_one_message(error, "has 11 bytes or more, and at most 10");
    assert_eq!(script.seen().len(), 0);
}

#[test]
fn claim_in_an_s3_error_is_not_logged() {
    let key = claim();
    let text = format!(
        "<Error><Code>AccessDenied</Code><Message>User: arn:aws:sts::1:assumed-role/orders is not authorized to perform: \
         s3:GetObject on resource: \"arn:aws:s3:::coats/{key}\" because no policy allows it</Message></Error>"
    );
    let (payloads, _) = payloads(vec![reply(403, text)]);
    let error = run(payloads.read(&key)).unwrap_err();
    assert!(error.to_string().contains(key.as_str()), "the caller may know: {error}");
    let logged = error.loggable();
    assert!(!logged.contains(&key.as_str()[..32]), "{logged}");
    for part in
        ["GetObject on bucket `coats` failed: AccessDenied", "assumed-role/orders", "[claim].coats", "s3:ListBucket"]
    {
        assert!(logged.contains(part), "`{logged}` does not say `{part}`");
    }
}

#[test]
fn missing_bucket_is_an_error_and_not_a_missing_payload() {
    for failure in [s3_refusal(404, "NoSuchBucket"), reply(404, "")] {
        let (payloads, _) = payloads(vec![failure.clone(), failure]);
        for error in
            [run(payloads.read(&claim())).unwrap_err(), run(payloads.has_entry("stock", &"m".into())).unwrap_err()]
        {
            assert_eq!(judged(&error), REFUSED);
            assert!(error.to_string().contains("bucket `coats` does not exist here"), "{error}");
        }
    }
}

#[test]
fn denied_read_is_an_error_that_names_both_permissions() {
    let (payloads, _) = payloads(vec![s3_refusal(403, "AccessDenied")]);
    let error = run(payloads.read(&claim())).unwrap_err();
    assert_eq!(judged(&error), REFUSED);
    assert!(error.to_string().contains("s3:ListBucket"), "{error}");
}

#[test]
fn dedupe_entries_are_put_if_absent() {
    let conflict = s3_refusal(409, "ConditionalRequestConflict");
    let (payloads, script) = payloads(vec![
        reply(200, ""),
        s3_refusal(412, "PreconditionFailed"),
        conflict.clone(),
        conflict.clone(),
        conflict,
    ]);
    let put = || run(payloads.put_entry("stock", &"m".into()));
    assert!(put().is_ok(), "new");
    assert!(put().is_ok(), "there already");
    let error = put().unwrap_err();
    assert!(error.may_be_repeated(), "{error}");
    assert_eq!(script.seen()[0].header("if-none-match"), Some("*"));
}

#[test]
fn dedupe_entries_are_read_by_get() {
    let (payloads, script) = payloads(vec![reply(200, ""), s3_refusal(404, "NoSuchKey")]);
    let has = || run(payloads.has_entry("stock", &"m".into())).unwrap();
    assert!(has());
    assert!(!has());
    assert!(script.seen().iter().all(|seen| seen.method == "GET"), "an answer to HEAD has no code");
}

#[test]
fn delete_of_a_missing_payload_succeeds() {
    let (payloads, _) = payloads(vec![reply(204, ""), s3_refusal(404, "NoSuchKey"), s3_refusal(404, "NoSuchBucket")]);
    assert!(run(payloads.delete(&claim())).is_ok());
    assert!(run(payloads.delete(&claim())).is_ok());
    assert!(run(payloads.delete(&claim())).is_err());
}
