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
fn a_payload_is_sent_once() {
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
fn a_payload_is_json_under_its_claim() {
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
fn a_missing_bucket_is_an_error() {
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
fn a_refused_read_is_an_error_that_tells_of_the_second_permission() {
    let (payloads, _) = payloads(vec![s3_refusal(403, "AccessDenied")]);
    let error = run(payloads.read(&claim())).unwrap_err();
    assert_eq!(judged(&error), REFUSED);
    assert!(error.to_string().contains("s3:ListBucket"), "{error}");
}

#[test]
fn entries_are_put_if_absent() {
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
fn entries_are_looked_up_by_get() {
    let (payloads, script) = payloads(vec![reply(200, ""), s3_refusal(404, "NoSuchKey")]);
    let has = || run(payloads.has_entry("stock", &"m".into())).unwrap();
    assert!(has());
    assert!(!has());
    assert!(script.seen().iter().all(|seen| seen.method == "GET"), "an answer to HEAD has no code");
}

#[test]
fn deletes_of_nothing_succeed() {
    let (payloads, _) = payloads(vec![reply(204, ""), s3_refusal(404, "NoSuchKey"), s3_refusal(404, "NoSuchBucket")]);
    assert!(run(payloads.delete(&claim())).is_ok());
    assert!(run(payloads.delete(&claim())).is_ok());
    assert!(run(payloads.delete(&claim())).is_err());
}
