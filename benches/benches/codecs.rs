//! The cost of decoding and encoding an envelope and a record, and of the step function from a
//! delivery to its acknowledgement.
//!
//! `cargo bench -p cloakroom-benches --bench codecs`

use std::hint::black_box;

use cloakroom::{
    format::{Envelope, Record},
    protocol::{CheckIn, Claims, Progress, Saw, Version, WhenMissing, next},
};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};

/// An envelope as a handler sends it.
const ENVELOPE: &str = r#"{"specversion":"1.0","cloakroomformat":1,"id":"5e0f5f3c-8a0c-5c4e-9f0e-2f1c6a4a8a11","source":"orders","type":"stock.reserve","time":"2026-11-14T22:13:20.123Z","datacontenttype":"application/json","partitionkey":"sku#4711","dataref":"0123456789abcdef0123456789abcdef.shop-payloads","sequence":"00000000000000000042","correlationid":"conversation-1","causationid":"0d8c0a62-3f4f-5b5e-8d3b-7f1f2f0d9a10","replyto":"orders","traceparent":"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}"#;

/// Returns a record with this many outgoing messages.
fn record(messages: usize) -> Record {
    let outgoing = format!(r#"{{"queue":"stock","envelope":{ENVELOPE},"group":"order#1"}}"#);
    let messages = vec![outgoing; messages].join(",");
    let settles = r#""settles_payload":"00000000000000000000000000000003.shop-payloads","committed_ms":1700000000123"#;
    Record::decode(&format!(r#"{{"format":1,"messages":[{messages}],{settles}}}"#)).expect("a record")
}

fn envelopes(criterion: &mut Criterion) {
    let claimed = Envelope::decode(ENVELOPE).expect("an envelope");
    let mut extended = claimed.clone();
    extended.extensions.insert("tracestate".to_owned(), "vendor=1".into());
    extended.extensions.insert("tenant".to_owned(), "acme".into());
    let mut inline = claimed.clone();
    inline.dataref = None;
    inline.data = Some(serde_json::json!({ "sku": "4711", "quantity": 2, "order": "o-1", "note": "x".repeat(1_000) }));
    for (name, envelope) in [("claimed", claimed), ("extended", extended), ("inline 1 KB", inline)] {
        let text = envelope.encode();
        criterion.bench_function(&format!("envelope/encode/{name}"), |b| b.iter(|| black_box(&envelope).encode()));
        criterion.bench_function(&format!("envelope/decode/{name}"), |b| b.iter(|| Envelope::decode(black_box(&text))));
    }
}

fn records(criterion: &mut Criterion) {
    for messages in [0, 1, 10] {
        let record = record(messages);
        let text = record.encode();
        criterion
            .bench_function(&format!("record/encode/{messages} messages"), |b| b.iter(|| black_box(&record).encode()));
        criterion.bench_function(&format!("record/decode/{messages} messages"), |b| {
            b.iter(|| Record::decode(black_box(&text)))
        });
        let unclaimed = || (record.clone(), vec!["00000000000000000000000000000007.shop-payloads".into(); messages]);
        criterion.bench_function(&format!("record/with_claims/{messages} messages"), |b| {
            b.iter_batched(unclaimed, |(record, claims)| record.with_claims(claims), BatchSize::SmallInput);
        });
    }
}

/// The steps of a message without faults.
fn steps(criterion: &mut Criterion) {
    let saw = [
        Saw::Delivery,
        Saw::State(Version::new(7)),
        Saw::NoRecord,
        Saw::NotSettled,
        Saw::Accepted,
        Saw::CheckedIn,
        Saw::Committed(Claims::Stored),
        Saw::Dispatched,
        Saw::Settled,
        Saw::Cleared,
    ];
    criterion.bench_function("protocol/one message", |b| {
        b.iter(|| {
            let progress = Progress::new(black_box(CheckIn::BeforeCommit), WhenMissing::Acknowledge);
            saw.into_iter().fold(progress, |progress, saw| black_box(next(progress, saw)).0)
        });
    });
}

criterion_group!(benches, envelopes, records, steps);
criterion_main!(benches);
