//! Recovery: finishes what was committed and not finished, and runs no handler.
//!
//! Whatever is committed has a record, and a message in a queue behind it, whose next delivery finishes it. Two things come in
//! between: the message ends in the dead-letter queue, or it is purged or expires.
//!
//! - [`DeadLetters`] goes through a dead-letter queue: it tells which messages were committed, finishes those, and puts back the rest.
//! - [`Sweep`] goes through the table and finishes records whose message does not come any more.
//!
//! Both follow the [protocol](crate::protocol) as a worker does that resumes, and are safe beside workers and beside each other.

mod dead_letters;
mod dropping;
mod one_endpoint;
mod pace;
mod sweep;
mod walk;

pub use dead_letters::{DeadLetter, DeadLetters, Fate, Treatment};
pub use one_endpoint::{MessageStatus, Recovery};
pub use sweep::{Sweep, SweepCursor, SweepSettings, SweepStep, Swept};
