//! Load, contestants and reports: the cost of exactly-once processing with Cloakroom and with other
//! methods.
//!
//! [`run`] offers one workload ([`LoadSettings`]) to several [`contestants`] in turn, on the same
//! services ([`Target`]). It returns a [`report`] with the throughput and the consumption of each
//! contestant, and whether its books balance.
//!
//! # What is measured, and how
//!
//! - A message **ends** when its deletion from the incoming queue has succeeded. Each contestant
//!   writes the state and sends the outgoing message before that.
//! - **Latency** is measured from the time at which a message *should* have been offered. In an open
//!   loop the rate alone determines that time. So the latency includes the queue in front of a slow
//!   contestant, and the delay of the load generator. In a closed loop a message is offered when
//!   earlier ones have ended. A slow contestant is offered fewer messages there, and its latency says
//!   nothing about a rate that it could not sustain.
//! - **Consumption** is that of the workers: one receive, one send, one delete and the requests
//!   between them. It includes neither the requests that offer a message nor those of the audit.
//! - **Processor time** is that of this whole process: the workers, the load generator and, if they
//!   are embedded, the services.
//! - The **audit** compares the states of all entities with the offered messages. It counts the
//!   messages in the outgoing queue as their receiver would: by message, by id or by claim.

mod audit;
pub mod contestants;
mod cpu;
mod error;
mod load;
mod measure;
mod order;
pub mod page;
mod pricing;
mod progress;
mod recorder;
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
pub use pricing::{DollarsOf, Pricing};
pub use progress::Progress;
pub use run::run;
pub use site::{INCOMING, OUTGOING, Site};
pub use stop::Stop;
pub use target::Target;
pub use workload::{Extent, LoadSettings};
