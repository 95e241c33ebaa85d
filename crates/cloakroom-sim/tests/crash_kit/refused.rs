//! Messages that must be refused by their handler, and for no other reason.

use std::{collections::BTreeMap, future::ready, time::Duration};

use cloakroom::{Condition, Endpoint, EndpointSettings, Handled, Message, Partition, Ports, State, Tx, ports::Limits};
use cloakroom_sim::{CrashKit, crash_kit::FindingKind};
use serde::{Deserialize, Serialize};

use super::{
    fails,
    library::{Book, Buy, Lend, Lent, Note, Refuse, Wait, builder},
    passes,
};

#[test]
fn refused_messages_without_effect_pass_the_kit() {
    let report = CrashKit::new(|_| builder())
        .given(Buy::of("Emma"))
        .refused(Refuse::of(""))
        .refused(Wait::of(""))
        .runs_max(30)
        .run();
    passes(&report);
}

#[test]
fn message_refused_until_another_one_was_processed_passes_the_kit() {
    let report = CrashKit::new(|_| builder()).message(Buy::of("Emma")).refused(Lend::of("Ada")).runs_max(30).run();
    passes(&report);
    assert_eq!(report.to_string().matches("equal to one after the other").count(), 1, "{report}");
}

#[test]
fn failed_item_condition_is_a_refusal_by_the_handler() {
    let endpoint = || {
        let handler = |_: &mut Book, note: Note, tx: &mut Tx| {
            tx.put(format!("slip#{}", note.text), &note, Condition::Absent);
            ready(Ok(()))
        };
        Endpoint::builder::<Book>("books").on(handler)
    };
    // The message is given up after this many passes.
    let settings = EndpointSettings { attempts_max: 2, passes_max: 2, ..EndpointSettings::default() };
    let kit = CrashKit::new(move |_| endpoint()).settings(settings);
    passes(&kit.given(Note::of("a")).refused(Note::of("a")).runs_max(20).run());
}

/// Asserts that the message is parked for another reason than a refusal of its handler.
#[track_caller]
fn is_parked_otherwise(kit: CrashKit, reason: &str) {
    fails(&kit.run(), FindingKind::Unexpected, &["was not its handler that refused it", reason]);
}

#[test]
fn message_without_a_handler_is_no_refusal_by_the_handler() {
    is_parked_otherwise(CrashKit::new(|_| builder()).refused(Lent::of("")), "has no handler for `book.lent`");
}

/// Declares messages that are not valid.
macro_rules! message {
    ($type:ident, $name:literal, $partition:expr, $field:ty) => {
        #[derive(Serialize, Deserialize)]
        struct $type {
            text: $field,
        }

        impl Message for $type {
            const TYPE: &'static str = $name;
            fn partition(&self) -> Partition {
                Partition::new($partition)
            }
        }
    };
}

message!(OldRefuse, "book.refuse", "book#1", u32);
message!(Unplaced, "nowhere", "", String);
message!(FarAway, "far", "x".repeat(3_000), String);
message!(Long, "long", "x".repeat(2_000), String);
message!(Unwritten, "book.refuse", "book#1", BTreeMap<(u8, u8), u8>);

#[test]
fn unreadable_message_is_no_refusal_by_the_handler() {
    is_parked_otherwise(CrashKit::new(|_| builder()).refused(OldRefuse { text: 7 }), "the payload is no `book.refuse`");
}

#[test]
fn message_without_a_partition_is_no_refusal_by_the_handler() {
    is_parked_otherwise(
        CrashKit::new(|_| builder()).refused(Unplaced { text: String::new() }),
        "`partitionkey` must not be empty",
    );
}

fn unwritten() -> Unwritten {
    Unwritten { text: [((1, 2), 3)].into() }
}

#[test]
fn kit_finds_a_message_that_cannot_be_written() {
    let words = ["`book.refuse`", "cannot be written as JSON", "key must be a string"];
    fails(&CrashKit::new(|_| builder()).refused(unwritten()).run(), FindingKind::NotWritable, &words);
    fails(&CrashKit::new(|_| builder()).message(unwritten()).run(), FindingKind::NotWritable, &words);
    let report = CrashKit::new(|_| builder()).given(unwritten()).message(Buy::of("")).message(Lent::of("")).run();
    fails(&report, FindingKind::NotWritable, &words);
}

/// Returns a kit with a handler of notes that accepts the message, but whose result cannot be
/// written or sent.
fn notes(handler: impl Fn(&mut Book, &mut Tx) + Copy + Send + Sync + 'static) -> CrashKit {
    CrashKit::new(move |_| {
        let handler = move |book: &mut Book, _: Note, tx: &mut Tx| {
            handler(book, tx);
            ready(Handled::Ok(()))
        };
        Endpoint::builder::<Book>("books")
            .on(handler)
            .route::<Buy>("shop")
            .route::<Unplaced>("shop")
            .route::<FarAway>("shop")
            .route::<Long>("shop")
            .route::<Unwritten>("shop")
    })
    .refused(Note::of(""))
}

#[test]
fn unsendable_message_is_no_refusal_by_the_handler() {
    let nowhere = || Unplaced { text: String::new() };
    // A missing route does not park the message: after the route is added, the message is
    // processed.
    fails(&notes(|_, tx| tx.send(Lend::of(""))).run(), FindingKind::NeverFinished, &["has no route"]);
    is_parked_otherwise(notes(move |_, tx| tx.send(nowhere())), "has an empty partition");
    is_parked_otherwise(notes(|_, tx| tx.send(FarAway { text: String::new() })), "at most 2048 are possible");
    is_parked_otherwise(notes(|_, tx| tx.send(unwritten())), "a `book.refuse` cannot be written as JSON");
    is_parked_otherwise(notes(|_, tx| tx.send_after(Duration::from_secs(3_600), Buy::of(""))), "was delayed by");
    let small = Limits { message_bytes_max: 1_500, ..Limits::default() };
    let kit = notes(|_, tx| tx.send(Long { text: String::new() }));
    is_parked_otherwise(kit.over(move |memory| Ports { limits: small, ..memory.ports() }), "at most 1500 are possible");
}

#[test]
fn unwritable_item_is_no_refusal_by_the_handler() {
    let put = |item: fn() -> BTreeMap<&'static str, f64>| notes(move |_, tx| tx.put("a", &item(), Condition::Any));
    is_parked_otherwise(put(|| [("number", f64::INFINITY)].into()), "which no attribute can hold");
    is_parked_otherwise(put(|| [("cloakroom_version", 1.0)].into()), "rename it");
    is_parked_otherwise(notes(|_, tx| tx.put("a", &7, Condition::Any)), "cannot be written as attributes");
    is_parked_otherwise(notes(|_, tx| tx.delete("state#books", Condition::Any)), "cannot have the sort key");
    let twice = notes(|_, tx| ["a", "a"].iter().for_each(|key| tx.delete(*key, Condition::Any)));
    is_parked_otherwise(twice, "is written twice");
    is_parked_otherwise(notes(|book, _| book.since = "x".repeat(500_000)), "at most 409600 are possible");
}

/// A state that cannot be read after it was written.
#[derive(Default, Serialize, Deserialize)]
struct Forgetful {
    #[serde(skip_serializing)]
    _copies: u32,
}

/// Returns a kit with a handler of notes that leaves this state.
fn leaves<S: State>(state: fn() -> S) -> CrashKit {
    CrashKit::new(move |_| {
        let handler = move |left: &mut S, _: Note, _: &mut Tx| {
            *left = state();
            ready(Handled::Ok(()))
        };
        Endpoint::builder::<S>("books").on(handler)
    })
    .refused(Note::of(""))
}

#[test]
fn unstorable_state_is_no_refusal_by_the_handler() {
    is_parked_otherwise(leaves(Forgetful::default).given(Note::of("")), "cannot be read: missing field");
    is_parked_otherwise(leaves(|| 7), "cannot be written as attributes");
    is_parked_otherwise(leaves(|| BTreeMap::from([("number".to_owned(), f64::NAN)])), "which no attribute can hold");
    is_parked_otherwise(leaves(|| BTreeMap::from([("cloakroom_version".to_owned(), 1)])), "rename it");
}
