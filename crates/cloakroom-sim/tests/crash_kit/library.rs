//! A library that lends books: correct handlers.

use std::time::Duration;

use cloakroom::{Condition, Endpoint, Handled, HandlerError, Message, Partition, Tx, endpoint::EndpointBuilder};
use serde::{Deserialize, Serialize};

/// The state of a book.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Book {
    pub(crate) copies: u32,
    pub(crate) readers: Vec<String>,
    pub(crate) since: String,
}

/// Declares messages with one text, for the same book.
macro_rules! message {
    ($($type:ident $name:literal)*) => {$(
        #[derive(Debug, Serialize, Deserialize)]
        pub(crate) struct $type {
            pub(crate) text: String,
        }

        impl Message for $type {
            const TYPE: &'static str = $name;
            fn partition(&self) -> Partition {
                Partition::new("book#1")
            }
        }

        impl $type {
            pub(crate) fn of(text: &str) -> Self {
                Self { text: text.to_owned() }
            }
        }
    )*};
}

message! {
    Buy "book.buy"
    Lend "book.lend"
    Return "book.return"
    Discard "book.discard"
    Refuse "book.refuse"
    Wait "book.wait"
    Reserve "book.reserve"
    Lent "book.lent"
    Note "note"
}

pub(crate) fn builder() -> EndpointBuilder<Book> {
    Endpoint::builder("books")
        .on(buy)
        .on(lend)
        .on(bring_back)
        .on(discard)
        .on(refuse)
        .on(not_yet)
        .on(reserve)
        .route::<Note>("archive")
        .route::<Note>("screens")
}

pub(crate) async fn buy(book: &mut Book, _: Buy, _: &mut Tx) -> Handled {
    book.copies += 1;
    Ok(())
}

/// Uses its own items, ids, the time, a fan-out and a reply.
async fn lend(book: &mut Book, lend: Lend, tx: &mut Tx) -> Handled {
    if book.copies == 0 {
        return Err(HandlerError::reject("no copy is left"));
    }
    book.copies -= 1;
    book.readers.push(lend.text.clone());
    book.since = tx.now().to_string();
    let slip = tx.new_id().to_string();
    tx.put(format!("slip#{}", lend.text), &Note { text: slip.clone() }, Condition::Absent);
    tx.send(Note { text: lend.text });
    tx.reply(Lent { text: slip });
    Ok(())
}

async fn bring_back(book: &mut Book, back: Return, tx: &mut Tx) -> Handled {
    book.readers.retain(|reader| *reader != back.text);
    book.copies += 1;
    tx.delete(format!("slip#{}", back.text), Condition::Exists);
    Ok(())
}

async fn discard(_: &mut Book, _: Discard, tx: &mut Tx) -> Handled {
    tx.delete_state();
    tx.send(Note::of("discarded"));
    Ok(())
}

async fn refuse(book: &mut Book, _: Refuse, tx: &mut Tx) -> Handled {
    book.copies = 99;
    tx.send(Note::of("never sent"));
    Err(HandlerError::reject("this library refuses it"))
}

/// Defers the message until there is a copy.
async fn reserve(book: &mut Book, reserve: Reserve, tx: &mut Tx) -> Handled {
    book.readers.push(reserve.text.clone());
    tx.send(Note { text: reserve.text });
    if book.copies == 0 {
        return Err(HandlerError::defer(Duration::from_secs(60)));
    }
    book.copies -= 1;
    Ok(())
}

async fn not_yet(_: &mut Book, _: Wait, _: &mut Tx) -> Handled {
    Err(HandlerError::retry("not before Monday"))
}
