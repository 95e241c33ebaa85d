//! Load, contestants and reports: what exactly-once costs with Cloakroom, and with what others do.
//!
//! [`run`] offers one workload ([`LoadSettings`]) to several [`contestants`] in turn, on the same services ([`Target`]), and
//! answers with a [`report`]: how fast each was, what it asked of the services, and whether its books balance.
//!
//! # What is measured, and how
//!
//! - A message **ends** when its deletion from the incoming queue was answered: then its state is written and its outgoing
//!   message is sent, whoever does it.
//! - **Latency** runs from the moment at which a message *should* have been offered. In an open loop that follows from the
//!   rate alone, so the queue in front of somebody slow is part of it, and so is the load itself, if it is late. In a closed
//!   loop a message is offered when others have ended; there a slow contestant is offered less, and its latency tells
//!   nothing about the rate that it could not keep.
//! - **Consumption** is that of the workers: one receive, one send, one delete and what lies between. What it takes to offer
//!   a message belongs to whoever sent it, and the audit to nobody.
//! - **Processor time** is that of this whole process: workers, load and, if they are embedded, services.
//! - The **audit** compares the states of all entities with what was offered, and counts what is in the outgoing queue as
//!   its receiver would: by message, by id or by claim.

mod audit;
mod book;
pub mod contestants;
mod cpu;
mod error;
mod load;
mod measure;
mod order;
pub mod page;
pub mod report;
mod run;
mod site;
mod skew;
mod stop;
mod target;
mod workload;

pub use cloakroom_local::Faults;

pub use error::RunError;
pub use order::{Ledger, Order, Reservation};
pub use run::{DollarsOf, Pricing, Progress, run};
pub use site::{INCOMING, OUTGOING, Site};
pub use stop::Stop;
pub use target::Target;
pub use workload::{Extent, LoadSettings};
