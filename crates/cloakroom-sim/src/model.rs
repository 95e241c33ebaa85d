//! The protocol as a model. The model checker visits every state of it.
//!
//! Entities, queues, the payload store and workers are plain data ([`ModelWorld`]).
//! [`cloakroom::protocol::next`] decides what a worker does next. For several messages together
//! [`next_of_fold`](cloakroom::protocol::next_of_fold) decides. The engine follows the same
//! functions. A [`Scenario`] defines whether records are separate items or are embedded in the
//! state's item.
//!
//! Each delivery has a worker of its own. Any worker may pause at any step for any time. A worker
//! that stopped is a worker that never continues. Messages can be delivered again at any time, also
//! after they were acknowledged. A scenario bounds how often.
//!
//! The model checker ([stateright](https://www.stateright.rs)) visits every reachable state and
//! checks the invariants in each. A [`WrongOrder`] breaks the protocol in one place. The checker
//! must then find a path to a state that violates an invariant.
//!
//! ```
//! use cloakroom_sim::model::{Model, SMALL};
//!
//! let scenario = SMALL[2];
//! let found = Model::new(scenario).check();
//! assert!(found.violation.is_none());
//! assert_eq!(found.states, scenario.states);
//! ```

mod act;
mod action;
mod commit;
mod commit_draft;
mod conditions;
mod counterexample;
mod definition;
mod entity;
mod member;
mod message;
mod properties;
mod queue_actions;
mod record;
mod scenario;
mod scenarios;
mod search;
mod set;
mod step;
mod undisturbed;
mod work;
mod worker;
mod worker_actions;
mod world;
mod wrong_orders;
mod wrong_steps;

pub use action::Action;
pub use counterexample::Counterexample;
pub use definition::Model;
pub use scenario::{Handler, Identity, MessageSpec, Placement, Scenario};
pub use scenarios::{LARGE, SMALL};
pub use search::Found;
pub use step::StepMode;
pub use world::ModelWorld;
pub use wrong_orders::WrongOrder;
