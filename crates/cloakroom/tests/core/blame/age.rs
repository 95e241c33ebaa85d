//! Messages that are older than the guaranteed lifetime of their payloads.

use std::time::Duration;

use bytes::Bytes;
use cloakroom::{
    Delivery, EndpointSettings, ErrorKind, Message as _, Outcome,
    engine::Recovered,
    format::{Claim, Envelope},
    ports::{Clock as _, PayloadStore as _, Queue as _, QueueMessage},
    recovery::{DeadLetters, Fate, Recovery, Treatment},
};

use super::bench::{Act, Bench, Job, builder, set};

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap()
}

#[test]
fn record_that_is_older_than_its_payloads_is_not_sent() {
    let bench = Bench::new();
    let endpoint = builder().build(bench.ports()).unwrap();
    set(&bench.faults.route_refuses, true);
    let delivery = bench.delivery("a", Act::Send, 1);
    let process = || bench.run_with_clock(endpoint.process(&delivery));
    process().expect_err("the message is committed but not dispatched");
    set(&bench.faults.route_refuses, false);
    bench.memory.run(bench.memory.clock.sleep(29 * DAY));

    let parcels = || bench.memory.queues.get("parcels").len();
    let recovery = Recovery::new("jobs", bench.ports()).unwrap();
    let error = bench.memory.run(recovery.finish(&delivery)).expect_err("the payloads may have expired");
    assert!(error.to_string().contains("committed more than 28 days ago (`payload_ttl_ms`)"), "{error}");
    for _ in 1..8 {
        assert_eq!(process().expect_err("the payloads may have expired").kind(), ErrorKind::RetryMessage);
    }
    assert_eq!(process().unwrap(), Outcome::Parked);
    assert!(bench.reasons()[0].contains("may have expired"), "{:?}", bench.reasons());
    assert_eq!(parcels(), 0);

    let settings = EndpointSettings { payload_ttl_ms: millis(40 * DAY), ..EndpointSettings::default() };
    let with_longer_ttl = builder().settings(settings).build(bench.ports()).unwrap();
    let finished = bench.memory.run(with_longer_ttl.finish(&delivery)).unwrap();
    assert_eq!((finished, parcels()), (Recovered::Finished(Outcome::Resumed), 1));
}

/// A message with a claim, sent this long ago.
fn claimed(bench: &Bench, claim: &Claim, age: Duration) -> Envelope {
    let mut envelope = Envelope::new("m".into(), "test", Job::TYPE, "a".into());
    envelope.dataref = Some(claim.clone());
    let sent_ms = bench.memory.clock.now().as_millis() - millis(age);
    envelope.time = Some(cloakroom::Timestamp::from_millis(sent_ms).to_string());
    envelope
}

#[test]
fn message_older_than_the_payload_lifetime_is_not_put_back() {
    for (age, payload_ttl, is_put_back) in [(27, 28, true), (29, 28, false), (29, 30, true)] {
        let bench = Bench::new();
        bench.memory.run(bench.memory.clock.sleep(60 * DAY));
        let claim = Claim::from_random(1, "memory");
        bench.memory.run(bench.memory.payloads.check_in(&claim, Bytes::from_static(b"{}"))).unwrap();
        let body = claimed(&bench, &claim, age * DAY).encode();
        let message = QueueMessage { body, ..QueueMessage::default() };
        bench.memory.run(bench.memory.queues.get("jobs-dead").send(vec![message])).remove(0).unwrap();
        let dead_letters = DeadLetters::new("jobs-dead", "jobs", bench.ports()).payload_ttl(payload_ttl * DAY);
        let mut fates = Vec::new();
        bench
            .memory
            .run(dead_letters.treat(Treatment::Redrive, |dead_letter| fates.push(dead_letter.fate.clone())))
            .unwrap();
        match &fates[..] {
            [Fate::PutBack] => assert!(is_put_back, "{age} days"),
            [Fate::Failed(reason)] => assert!(!is_put_back && reason.contains("its payload may expire"), "{reason}"),
            _ => panic!("{fates:?}"),
        }
        assert_eq!(bench.memory.queues.get("jobs").len(), usize::from(is_put_back));
    }
}

#[test]
fn missing_payload_of_an_old_message_raises_the_loss_alarm_although_it_was_sent_again() {
    for (age, alarms) in [(27, 0), (29, 1)] {
        let bench = Bench::new();
        bench.memory.run(bench.memory.clock.sleep(60 * DAY));
        let mut envelope = claimed(&bench, &Claim::from_random(1, "memory"), age * DAY);
        envelope.redispatch = true;
        let endpoint = builder().observer(bench.counters.clone()).build(bench.ports()).unwrap();
        let delivery = Delivery { body: envelope.encode(), receive_count: 3, ..Delivery::default() };
        assert_eq!(bench.run_with_clock(endpoint.process(&delivery)).unwrap(), Outcome::Duplicate);
        assert_eq!(bench.counters.counts().payload_missing, alarms, "{age} days");
    }
}
