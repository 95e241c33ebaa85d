//! Handlers that call ports themselves.

use std::sync::Arc;

use cloakroom::{
    Endpoint, HandlerError, Message as _, Ports, Tx,
    endpoint::EndpointBuilder,
    format::{Item, Record},
    ports::{Commit, Embedded, PartitionStore, StateWrite},
    protocol::{Consistency, Version},
};
use cloakroom_sim::{CrashKit, crash_kit::FindingKind};

use super::{
    fails,
    library::{Book, Buy, Note, buy},
    passes,
};

async fn write(store: &dyn PartitionStore) -> Result<(), HandlerError> {
    let (state, record) = (StateWrite::Put(Item::default()), &Record::default());
    let commit = Commit {
        partition: &"shelf#1".into(),
        endpoint: "shelves",
        expected: Version::ABSENT,
        state: &state,
        records: &[(&"x".into(), record)],
        kept: &Embedded::default(),
        embedded_bytes_max: 0,
        items: &[],
        token: "x",
    };
    store.commit(commit).await?;
    Ok(())
}

/// Buys books. The handler of notes writes to another partition if there are at least this many
/// copies.
fn writes_from(copies: u32) -> impl Fn(&Ports) -> EndpointBuilder<Book> + 'static {
    move |ports| {
        let store = Arc::clone(&ports.store);
        let note = move |book: &mut Book, _: Note, _: &mut Tx| {
            let (store, is_written) = (Arc::clone(&store), book.copies >= copies);
            async move { if is_written { write(&*store).await } else { Ok(()) } }
        };
        Endpoint::builder::<Book>("books").on(buy).on(note)
    }
}

#[test]
fn kit_finds_a_write_to_another_partition() {
    let report = CrashKit::new(writes_from(0)).message(Note::of("a note")).run();
    fails(&report, FindingKind::WritesElsewhere, &["`note`", "shelf#1", "send a message to its owner"]);
}

#[test]
fn kit_finds_a_write_that_depends_on_another_message() {
    let report = CrashKit::new(writes_from(1)).message(Buy::of("Emma")).message(Note::of("a note")).run();
    let text = "the handler of `note` itself calls a port that writes: Commit x of shelf#1";
    fails(&report, FindingKind::WritesElsewhere, &["`book.buy` and `note`", text]);
    passes(&CrashKit::new(writes_from(2)).message(Buy::of("Emma")).message(Note::of("a note")).runs_max(60).run());
}

#[test]
fn kit_attributes_a_write_by_a_given_message_to_that_message() {
    let kit = CrashKit::new(writes_from(0)).given(Note::of("a note"));
    let report = kit.message(Buy::of("Emma")).message(Buy::of("Emma")).run();
    fails(&report, FindingKind::WritesElsewhere, &["the handler of `note` itself calls a port that writes"]);
    let about = &report.findings()[0].message;
    assert!(about.contains(Note::TYPE) && !about.contains(Buy::TYPE), "{about}");
}

#[test]
fn kit_finds_a_read_of_another_partition() {
    let report = CrashKit::new(|ports| {
        let store = Arc::clone(&ports.store);
        let handler = move |_: &mut Book, _: Note, _: &mut Tx| {
            let store = Arc::clone(&store);
            async move {
                store.read_state(&"shelf#1".into(), "shelves", Consistency::Strong).await?;
                Ok(())
            }
        };
        Endpoint::builder::<Book>("books").on(handler)
    })
    .message(Note::of("a note"))
    .run();
    fails(&report, FindingKind::ReadsElsewhere, &["shelf#1"]);
}
