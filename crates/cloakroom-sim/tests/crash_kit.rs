//! The crash kit finds handlers that depend on the outside, stores that break the protocol, and
//! nothing else.

#[path = "crash_kit/deferred.rs"]
mod deferred;
#[path = "crash_kit/elsewhere.rs"]
mod elsewhere;
#[path = "crash_kit/flawed.rs"]
mod flawed;
#[path = "crash_kit/library.rs"]
mod library;
#[path = "crash_kit/refused.rs"]
mod refused;

use std::{
    collections::BTreeSet,
    future::Future,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
};

use cloakroom::{Condition, Endpoint, EndpointSettings, Handled, Tx, ports::Placement};
use cloakroom_sim::{
    CrashKit,
    crash_kit::{FindingKind, Report},
};
use flawed::{Flaw, flawed};
use library::{Book, Buy, Discard, Lend, Note, Refuse, Return, builder};

#[track_caller]
fn passes(report: &Report) {
    assert!(report.passed(), "{report}");
    println!("{report}");
}

/// Asserts that there is one finding, of this kind, and that the report contains these words.
#[track_caller]
fn fails(report: &Report, kind: FindingKind, words: &[&str]) {
    println!("{report}");
    assert!(!report.passed());
    assert_eq!(report.findings().len(), 1, "{report}");
    fails_first(report, kind, words);
}

#[track_caller]
fn fails_first(report: &Report, kind: FindingKind, words: &[&str]) {
    assert_eq!(report.findings()[0].kind, kind, "{report}");
    for word in words.iter().chain(&["What to do: "]) {
        assert!(report.to_string().contains(word), "`{word}` is not in:\n{report}");
    }
}

#[test]
fn handler_that_uses_every_feature_passes_the_kit() {
    let report = CrashKit::new(|_| builder())
        .given(Buy::of("Emma"))
        .given(Buy::of("Emma"))
        .given(Lend::of("Ada"))
        .message(Lend::of("Bob"))
        .run();
    passes(&report);
    assert_eq!(report.crash_points(), 6 * 49, "one of 50 is not disturbed: {report}");
    assert!(report.lost_answers() > 6 * 50, "the response of every call is lost in every way: {report}");
    assert_eq!(report.interleavings(), 6 * 200, "{report}");
    assert!(report.is_truncated(), "{report}");
    assert!(report.to_string().contains("left out (`runs_max` is 200)"), "{report}");
}

#[test]
fn deletions_items_and_concurrent_messages_pass_the_kit() {
    let report = CrashKit::new(|_| builder())
        .given(Buy::of("Emma"))
        .given(Lend::of("Ada"))
        .message(Return::of("Ada"))
        .message(Discard::of(""))
        .message(Buy::of("Emma"))
        .runs_max(30)
        .run();
    passes(&report);
    assert_eq!(report.to_string().matches("equal to one after the other").count(), 3, "{report}");
    assert!(report.folds() >= 6 * 3 * 10, "{report}");
}

#[test]
fn small_bound_covers_every_interleaving_of_a_message_with_few_calls() {
    let report = CrashKit::new(|_| builder()).refused(Refuse::of("")).runs_max(2_000).run();
    passes(&report);
    assert!(!report.is_truncated(), "{report}");
}

#[test]
fn kit_without_messages_does_not_pass() {
    let report = CrashKit::new(|_| builder()).given(Buy::of("Emma")).run();
    assert!(!report.passed());
    assert!(report.to_string().contains("nothing was tried"), "{report}");
}

/// Returns a kit with a handler of `Note`s that is not as it should be.
fn kit<F, R>(handler: impl Fn() -> F + 'static) -> CrashKit
where
    F: for<'a> Fn(&'a mut Book, Note, &'a mut Tx) -> R + Send + Sync + 'static,
    R: Future<Output = Handled> + Send + 'static,
{
    CrashKit::new(move |_| Endpoint::builder::<Book>("books").on(handler()).route::<Buy>("shop"))
        .message(Note::of("a note"))
}

#[test]
fn kit_finds_an_id_that_the_handler_makes_itself() {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    let kit = kit(|| {
        |_: &mut Book, _: Note, tx: &mut Tx| {
            tx.send(Buy { text: format!("purchase {}", NEXT.fetch_add(1, Ordering::Relaxed)) });
            std::future::ready(Ok(()))
        }
    });
    fails(&kit.run(), FindingKind::DependsOnOutside, &["message `book.buy`", "payload.text", "tx.new_id()"]);
}

/// A foreign service that remembers its calls.
#[derive(Default)]
struct Bank {
    balance: Mutex<Option<u64>>,
}

impl Bank {
    fn pay(&self, amount: u64) -> bool {
        let mut balance = self.balance.lock().expect("no thread panics with the lock");
        let left = balance.unwrap_or(100).checked_sub(amount);
        *balance = left.or(*balance);
        left.is_some()
    }
}

#[test]
fn kit_finds_a_call_of_another_service_whose_response_matters() {
    let bank = Arc::new(Bank::default());
    let kit = kit(move || {
        let bank = Arc::clone(&bank);
        move |book: &mut Book, _: Note, _: &mut Tx| {
            book.since = if bank.pay(80) { "paid".to_owned() } else { "refused".to_owned() };
            std::future::ready(Ok(()))
        }
    });
    fails(&kit.run(), FindingKind::DependsOnOutside, &["state#books", "since", "\"paid\"", "\"refused\""]);
}

#[test]
fn kit_finds_memory_of_a_single_process() {
    let kit = kit(|| {
        let calls = AtomicU64::new(0);
        move |book: &mut Book, _: Note, _: &mut Tx| {
            book.copies += u32::try_from(calls.fetch_add(1, Ordering::Relaxed)).unwrap();
            std::future::ready(Ok(()))
        }
    });
    fails(&kit.run(), FindingKind::DependsOnOutside, &["copies", "expected 0", "is       1"]);
}

#[test]
fn kit_finds_a_counter_that_outlives_processes() {
    let calls = Arc::new(Mutex::new(0));
    let kit = kit(move || {
        let calls = Arc::clone(&calls);
        move |book: &mut Book, _: Note, _: &mut Tx| {
            let mut calls = calls.lock().unwrap();
            *calls += 1;
            book.copies = *calls;
            std::future::ready(Ok(()))
        }
    });
    fails(&kit.run(), FindingKind::DependsOnOutside, &["copies"]);
}

#[test]
fn kit_finds_a_handler_that_waits_for_a_runtime_without_hanging() {
    let kit = kit(|| {
        |_: &mut Book, _: Note, _: &mut Tx| async {
            std::future::pending::<()>().await;
            Ok(())
        }
    });
    fails(&kit.run(), FindingKind::Waits, &["`note`", "virtual time"]);
}

#[test]
fn kit_finds_a_handler_that_sleeps_in_a_loop_without_hanging() {
    let report = CrashKit::new(|ports| {
        let clock = Arc::clone(&ports.clock);
        let handler = move |_: &mut Book, _: Note, _: &mut Tx| {
            let clock = Arc::clone(&clock);
            async move {
                loop {
                    clock.sleep(std::time::Duration::from_secs(1)).await;
                }
            }
        };
        Endpoint::builder::<Book>("books").on(handler)
    })
    .message(Note::of("a note"))
    .run();
    fails(&report, FindingKind::Waits, &["`note`"]);
}

#[test]
fn kit_finds_a_handler_that_panics() {
    let kit = kit(|| {
        |_: &mut Book, _: Note, _: &mut Tx| -> std::future::Ready<Handled> { panic!("there is no reactor running") }
    });
    fails(&kit.run(), FindingKind::Panicked, &["there is no reactor running", "runtime"]);
}

#[test]
fn kit_finds_a_message_with_an_unexpected_outcome() {
    fails(
        &CrashKit::new(|_| builder()).message(Refuse::of("")).run(),
        FindingKind::Unexpected,
        &["this library refuses it"],
    );
    fails(&CrashKit::new(|_| builder()).refused(Buy::of("")).run(), FindingKind::Unexpected, &["was accepted"]);
    let report = CrashKit::new(|_| builder()).given(Lend::of("")).message(Buy::of("")).run();
    fails(&report, FindingKind::Unexpected, &["earlier message `book.lend`", "no copy is left"]);
    let report = CrashKit::new(|_| builder()).message(library::Lent::of("")).run();
    fails(&report, FindingKind::Unexpected, &["has no handler for"]);
}

#[test]
fn kit_finds_an_endpoint_that_cannot_be_built() {
    let report = CrashKit::new(|_| Endpoint::builder::<Book>("books")).message(Note::of("a note")).run();
    fails(&report, FindingKind::NotBuilt, &["has no handler"]);
    // Settings that the kit replaces must be valid, too.
    let wrong = EndpointSettings { passes_max: 0, ..EndpointSettings::default() };
    let words = ["`passes_max` is 0; it must be from 1 to 1000"];
    let settings = wrong.clone();
    let report = CrashKit::new(move |_| builder().settings(settings.clone())).message(Buy::of("")).run();
    fails(&report, FindingKind::NotBuilt, &words);
    let wrong = EndpointSettings { linger_ms: 9_999, ..EndpointSettings::default() };
    let report = CrashKit::new(|_| builder()).settings(wrong).message(Buy::of("")).message(Buy::of("")).run();
    fails(&report, FindingKind::NotBuilt, &["`linger_ms` is 9999"]);
}

#[test]
fn kit_finds_stores_that_break_the_protocol() {
    // Each flaw shows with the simplest disturbance that can show it.
    for (flaw, kind, words) in [
        (Flaw::NoVersion, FindingKind::Differs, ["it will happen later", "cloakroom_version"]),
        (Flaw::StaleRecord, FindingKind::NeverFinished, ["STOPS", "16 commits in a row did not apply"]),
        (Flaw::NoClear, FindingKind::Differs, ["outbox record", "left behind"]),
        (Flaw::ClaimsReplaced, FindingKind::Differs, ["B stores the claims", "times it would be processed"]),
        (Flaw::OthersOverwritten, FindingKind::NoOrder, ["B receives `book.buy`", "sequence"]),
    ] {
        let report = CrashKit::new(|_| builder())
            .over(move |memory| flawed(flaw, memory))
            .given(Buy::of("Emma"))
            .message(Discard::of(""))
            .message(Buy::of("Emma"))
            .runs_max(60)
            .run();
        println!("{flaw:?}");
        fails_first(&report, kind, &words);
        assert_eq!(kind == FindingKind::NoOrder, report.to_string().contains("`book.discard` and `book.buy` for"));
        assert!(!report.to_string().contains("equal to one after the other"), "{report}");
    }
}

#[test]
fn kit_finds_flaws_of_embedded_records_and_of_folds() {
    let kit = |flaw| {
        let kit = CrashKit::new(|_| builder()).over(move |memory| flawed(flaw, memory)).runs_max(20);
        kit.given(Buy::of("Emma")).message(Discard::of("")).message(Buy::of("Emma"))
    };
    let words = ["records embedded in it", "STOPS", "cloakroom_version"];
    fails_first(&kit(Flaw::NothingEmbedded).run(), FindingKind::Differs, &words);
    passes(&kit(Flaw::NothingEmbedded).placement(Placement::Separate).run());
    let words = ["`book.discard` and `book.buy` for", "cloakroom_version"];
    fails_first(&kit(Flaw::TornFold).run(), FindingKind::NoOrder, &words);
    passes(&kit(Flaw::TornFold).settings(EndpointSettings { fold_max: 1, ..EndpointSettings::default() }).run());
}

#[test]
fn fold_whose_messages_write_one_item_passes_the_kit() {
    let handler = |book: &mut Book, note: Note, tx: &mut Tx| {
        book.since.clone_from(&note.text);
        tx.put("last", &note, Condition::Any);
        std::future::ready(Handled::Ok(()))
    };
    let kit = CrashKit::new(move |_| Endpoint::builder::<Book>("books").on(handler)).runs_max(40);
    passes(&kit.message(Note::of("one")).message(Note::of("other")).run());
}

#[test]
fn kit_finds_memory_shared_by_the_messages_of_a_fold() {
    let kit = kit(|| {
        let seen = Mutex::new(BTreeSet::new());
        move |book: &mut Book, _: Note, tx: &mut Tx| {
            let mut seen = seen.lock().unwrap();
            seen.insert(tx.message_id().clone());
            book.copies += u32::try_from(seen.len()).unwrap();
            std::future::ready(Ok(()))
        }
    });
    fails(&kit.message(Note::of("another")).runs_max(20).run(), FindingKind::NoOrder, &["copies", "`note` and `note`"]);
}

#[test]
fn two_runs_of_the_kit_give_the_same_report() {
    for flaw in [None, Some(Flaw::NoVersion), Some(Flaw::ClaimsReplaced)] {
        let run = || {
            let kit = CrashKit::new(|_| builder()).over(move |memory| match flaw {
                Some(flaw) => flawed(flaw, memory),
                None => memory.ports(),
            });
            kit.given(Buy::of("Emma")).given(Buy::of("Ada")).message(Discard::of("")).runs_max(20).run().to_string()
        };
        assert_eq!(run(), run());
    }
}
