//! Recovery: finishes committed messages that are not finished, without handlers.
//!
//! A committed message has a record until it is finished. The next delivery of the message finishes
//! it, unless the message moves to the dead-letter queue, is purged, or expires. Recovery covers
//! these cases:
//!
//! - [`DeadLetters`] works through a dead-letter queue. It reports which messages were committed,
//!   finishes them, and puts the rest back.
//! - [`Sweep`] works through the table and finishes records whose message is not delivered any
//!   more.
//!
//! Both follow the [protocol](crate::protocol) like a worker that resumes a message. Both can run
//! at the same time as workers and as other recovery runs.

mod dead_letter;
mod dead_letters;
mod dropping;
mod one_endpoint;
mod pace;
mod sweep;
mod walk;

pub use dead_letter::{DeadLetter, Fate, Treatment};
pub use dead_letters::DeadLetters;
pub use one_endpoint::{MessageStatus, Recovery};
pub use sweep::{Sweep, SweepCursor, SweepSettings, SweepStep, Swept};
