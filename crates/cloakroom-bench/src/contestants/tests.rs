use std::sync::atomic::{AtomicU64, Ordering};

use ::cloakroom::{observe::Event, ports::Queue};
use futures::future::join_all;

use crate::{
    Faults,
    contestants::{
        consumer::{Process, consume},
        entities::Entities,
        *,
    },
    pricing::Pricing,
    progress::Progress,
    report::{Audit, Measured, Report},
    run::run,
    target::Target,
    workload::Extent,
};

const MESSAGES: u64 = 60;

fn few() -> LoadSettings {
    LoadSettings { extent: Extent::Messages(MESSAGES), entities: 100, skew: 1.0, ..LoadSettings::default() }
}

async fn report(load: &LoadSettings, contestants: &[Arc<dyn Contestant>], faults: Faults) -> Report {
    let target = Target::embedded(faults).await.unwrap();
    let report = run(load, contestants, &target, &Pricing::none(), |_| {}, std::future::pending()).await.unwrap();
    target.end().await;
    report
}

/// Measures each contestant on services of its own, all in parallel, because they mostly wait.
async fn each(load: &LoadSettings, faults: Faults) -> Vec<Report> {
    let contestants = all();
    join_all(contestants.iter().map(|contestant| report(load, std::slice::from_ref(contestant), faults.clone()))).await
}

async fn alone(load: &LoadSettings, contestant: impl Contestant + 'static, faults: Faults) -> Measured {
    report(load, &[Arc::new(contestant)], faults).await.measured.remove(0)
}

#[tokio::test(flavor = "multi_thread")]
async fn books_of_every_contestant_balance_without_faults() {
    for report in each(&few(), Faults::default()).await {
        assert!(!report.interrupted && report.remarks.is_empty(), "{:?}", report.remarks);
        let [measured] = &report.measured[..] else { panic!("one was measured") };
        let name = &measured.contestant;
        assert!(measured.audit.balances(), "{name}: {:?}", measured.audit);
        assert_eq!(measured.messages, MESSAGES, "{name}");
        assert_eq!(measured.ended_by_second.iter().sum::<u64>(), MESSAGES, "{name}");
        assert_eq!(measured.counts["processed"], MESSAGES, "{name}");
        assert!(measured.latency.max_us > 0 && measured.seconds > 0.0, "{name}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn duplicate_delivery_counts_twice_only_without_deduplication() {
    let faults = Faults { duplicate_deliveries: 0.3, ..Faults::default() };
    for report in each(&few(), faults).await {
        let [measured] = &report.measured[..] else { panic!("one was measured") };
        let is_forgetful = measured.contestant == AtLeastOnce.name();
        let Audit { lost, unsent, doubled, sent_twice } = measured.audit;
        assert_eq!((lost, unsent), (0, 0), "{}", measured.contestant);
        assert_eq!(doubled > 0, is_forgetful, "{}: {:?}", measured.contestant, measured.audit);
        assert_eq!(sent_twice > 0, is_forgetful, "{}: {:?}", measured.contestant, measured.audit);
    }
}

/// The requests and units of each baseline for a message. The comparison depends on them, so they
/// must not change unnoticed.
#[tokio::test(flavor = "multi_thread")]
async fn baselines_use_the_expected_requests_and_units() {
    use ::cloakroom::observe::Service::DynamoDb;
    let even = LoadSettings { skew: 0.0, payload_bytes: 500, ..few() };
    let report = report(&even, &baselines(), Faults::default()).await;
    let [once, table, record] = &report.measured[..] else { panic!("three of them") };
    let units = |measured: &Measured| {
        let used = measured.consumption.total(DynamoDb);
        (used.requests / MESSAGES, used.write_units / MESSAGES as f64, used.read_units / MESSAGES as f64)
    };
    assert_eq!(units(once), (2, 1.0, 1.0));
    assert_eq!(units(table), (4, 3.0, 1.0));
    // State and record at twice the price in a transaction, and the mark.
    assert_eq!(units(record), (4, 5.0, 2.0));
}

/// A contestant that processes every tenth order `times` times instead of once.
#[derive(Debug)]
struct FaultyContestant {
    times: u64,
    seen: AtomicU64,
}

struct FaultyProcess<'a>(Entities<'a>, &'a FaultyContestant);

#[async_trait]
impl Process for FaultyProcess<'_> {
    async fn process(&self, order: &Order, out: &dyn Queue) -> Result<Event, PortError> {
        let is_tenth = self.1.seen.fetch_add(1, Ordering::Relaxed) % 10 == 9;
        for _ in 0..if is_tenth { self.1.times } else { 1 } {
            self.0.apply(order).await?;
            consumer::send(out, consumer::reservation(order)).await?;
        }
        Ok(Event::Processed)
    }
}

#[async_trait]
impl Contestant for FaultyContestant {
    fn name(&self) -> &'static str {
        "faulty"
    }

    fn promise(&self) -> &'static str {
        "none"
    }

    fn payload_bytes_max(&self) -> usize {
        INLINE_BYTES_MAX
    }

    async fn message(&self, _: &Site, order: Order) -> Result<QueueMessage, PortError> {
        Ok(consumer::message(&order))
    }

    async fn work(&self, site: &Site, load: &LoadSettings, stop: Stop) -> Result<(), RunError> {
        consume(&FaultyProcess(Entities::new(site), self), site, load, stop).await
    }

    fn sent(&self, delivery: &Delivery) -> Option<Sent> {
        AtLeastOnce.sent(delivery)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn audit_finds_a_contestant_that_loses_or_doubles_messages() {
    let load = LoadSettings { extent: Extent::Messages(100), ..few() };
    let faulty = |times| FaultyContestant { times, seen: AtomicU64::new(0) };
    let loses = alone(&load, faulty(0), Faults::default()).await;
    assert_eq!(loses.audit, Audit { lost: 10, unsent: 10, ..Audit::default() });
    let doubles = alone(&load, faulty(2), Faults::default()).await;
    assert_eq!(doubles.audit, Audit { doubled: 10, sent_twice: 10, ..Audit::default() });
}

#[tokio::test(flavor = "multi_thread")]
async fn open_loop_reports_the_rate_that_was_really_offered() {
    let load = LoadSettings { rate_per_s: Some(100_000.0), extent: Extent::Messages(200), ..few() };
    let report = report(&load, &[Arc::new(AtLeastOnce)], Faults::default()).await;
    let [measured] = &report.measured[..] else { panic!("one was measured") };
    // The requests for 200 messages alone take longer than 2 ms.
    assert!(measured.offered_per_s.unwrap() < 98_000.0);
    assert!(report.remarks.iter().any(|remark| remark.contains("and not 100000")), "{:?}", report.remarks);
    assert!(measured.audit.balances());
}

#[tokio::test(flavor = "multi_thread")]
async fn interrupted_run_reports_the_measurements_so_far() {
    let target = Target::embedded(Faults::default()).await.unwrap();
    let load = LoadSettings { rate_per_s: Some(200.0), extent: Extent::Seconds(600.0), ..few() };
    let (stopper, stop) = tokio::sync::oneshot::channel::<()>();
    let mut stopper = Some(stopper);
    let progress = |progress: &Progress| {
        if progress.ended > 20 {
            drop(stopper.take());
        }
    };
    let stop = async { drop(stop.await) };
    let report = run(&load, &all(), &target, &Pricing::none(), progress, stop).await.unwrap();
    let [measured] = &report.measured[..] else { panic!("not only the first contestant was measured") };
    assert!(report.interrupted && measured.messages > 20, "{report:?}");
    assert!(measured.messages < load.messages().unwrap());
    assert!(measured.audit.balances(), "{:?}", measured.audit);
    // All resources were deleted.
    assert!(report.remarks.is_empty(), "{:?}", report.remarks);
    target.end().await;
}

#[tokio::test]
async fn run_rejects_invalid_input_before_it_creates_resources() {
    let target = Target::embedded(Faults::default()).await.unwrap();
    let refusal = async |load: LoadSettings, contestants: &[Arc<dyn Contestant>]| match run(
        &load,
        contestants,
        &target,
        &Pricing::none(),
        |_| {},
        std::future::pending(),
    )
    .await
    {
        Err(RunError::BadInput(text)) => text,
        other => panic!("{other:?}"),
    };
    let large = LoadSettings { payload_bytes: 500_000, extent: Extent::Messages(10), ..few() };
    assert!(refusal(large, &all()).await.contains("`retained-record` cannot take payloads of 500000 bytes"));
    assert!(refusal(few(), &[]).await.contains("no contestant is selected"));
    let heavy = LoadSettings { payload_bytes: 1_000_000, extent: Extent::Messages(10_000), ..few() };
    assert!(refusal(heavy, &[Arc::new(AtLeastOnce)]).await.contains("keeps payloads in memory"));
    assert!(refusal(LoadSettings { workers: 0, ..few() }, &all()).await.contains("`workers`"));
    assert!(named("powertools").unwrap_err().to_string().contains("at-least-once, idempotency-table"));
    assert!(target.local().unwrap().usage().dynamodb.requests.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn cloakroom_processes_payloads_of_10_mb() {
    let load = LoadSettings { payload_bytes: 10_000_000, extent: Extent::Messages(3), in_flight_max: 2, ..few() };
    let measured = alone(&load, Cloakroom::SEPARATE, Faults::default()).await;
    assert!(measured.audit.balances() && measured.messages == 3, "{measured:?}");
}
