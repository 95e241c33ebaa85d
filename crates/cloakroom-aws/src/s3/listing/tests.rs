use super::*;
use crate::scripted::{Script, reply, run, s3};

#[test]
fn listing_returns_payloads_without_entries_page_by_page() {
    let object = |key: &str, size: u32| {
        let modified = "2026-01-02T03:04:05.000Z";
        format!("<Contents><Key>{key}</Key><LastModified>{modified}</LastModified><Size>{size}</Size></Contents>")
    };
    let (payload, entry) = (object("00ff.coats", 7), object("0123abcd/orders/m-1", 0));
    let page = format!(
        "<ListBucketResult><NextContinuationToken>more</NextContinuationToken>{payload}{entry}</ListBucketResult>"
    );
    let script = Script::new([reply(200, page), reply(200, "<ListBucketResult></ListBucketResult>")]);
    let payloads = S3Payloads::new(s3(&script), "coats");
    let first = run(payloads.list(None)).unwrap();
    let listed =
        ListedPayload { claim: "00ff.coats".into(), bytes: 7, checked_in: Timestamp::from_millis(1_767_323_045_000) };
    assert_eq!(first, PayloadPage { payloads: vec![listed], objects: 2, next: Some("more".to_owned()) });
    assert_eq!(run(payloads.list(first.next)).unwrap(), PayloadPage::default());
    assert!(script.seen()[1].path.contains("continuation-token=more"), "{:?}", script.seen());
}
