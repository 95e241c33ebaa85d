//! The protocol: everything that decides what happens to a message, as pure functions.
//!
//! - [`step`] has the table of steps and [`next`], the order of steps for one message. Start there.
//! - [`fold`] decides about messages of one partition that share a commit: which belong to a group, which step
//!   comes next, and what the result of their commit means.
//! - [`embedding`] decides about records in the state's item: when they are all there are, which may be embedded, and
//!   which may be dropped.
//!
//! Nothing here reads a clock, a store or a queue. The engine, the model and the simulation call these functions, and
//! none of them decides anything of this by itself. `cloakroom-sim` has a model that visits every state that they can
//! lead to, and a test for each order that looks right and is not; comments marked SUBTLE name those tests.
//! [`docs::protocol`](crate::docs::protocol) says why the steps have this order and no other.

pub mod embedding;
pub mod fold;
pub mod step;
pub(crate) mod version;

pub use fold::next_of_fold;
pub use step::{CheckIn, Claims, Consistency, Do, Progress, Saw, WhenMissing, next};
pub use version::Version;
