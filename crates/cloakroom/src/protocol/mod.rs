//! The protocol: all decisions about a message, as pure functions.
//!
//! - [`step`] has the table of steps and [`next`], the order of steps for one message. Start there.
//! - [`fold`] decides about messages of one partition that share a commit. It decides which
//!   messages form a group, which step comes next, and how the result of the commit affects each
//!   message.
//! - [`embedding`] decides about records in the state's item. It decides when these are all
//!   records, which records may be embedded, and which may be dropped.
//!
//! No function here reads a clock, a store or a queue. The engine, the model and the simulation
//! call these functions and make none of these decisions themselves. `cloakroom-sim` has a model
//! that visits every state that the functions can reach. It also has a test for each order of steps
//! that looks right but is wrong. Comments marked SUBTLE name those tests.
//! [`docs::protocol`](crate::docs::protocol) explains why the steps have this order and no other.

pub mod embedding;
pub mod fold;
pub mod step;
pub(crate) mod version;

pub use fold::next_of_fold;
pub use step::{CheckIn, Claims, Consistency, Do, Progress, Saw, WhenMissing, next};
pub use version::Version;
