//! A fleet: many workers with the production engine, on virtual time, against the limits of AWS. It
//! measures how many messages a second a deployment processes, what they cost in units and
//! requests, and **which limit binds first**.
//!
//! Every message is simulated: nothing is scaled up from a smaller run. For high rates less virtual
//! time passes.
//!
//! | service | limits | what is assumed |
//! |---|---|---|
//! | DynamoDB | 1,000 write and 3,000 read units a second for each physical partition; units are computed from the items | the items of one partition key stay in one physical partition; burst capacity is left out; account quotas were raised |
//! | S3 | 3,500 PUT and DELETE, 5,500 GET a second for each prefix | claims spread evenly, since they are random |
//! | SQS | 120,000 messages in flight for a standard queue; 20,000, order, and 300 requests of a kind a second for a FIFO group; ten messages a request | no duplicates |
//! | all | [`Latencies`] | a request takes effect when its response arrives; a worker itself uses no processor time |
//! | splits | [`Sharding`] | a shard splits after some time at four fifths of its capacity |
//!
//! ```
//! use cloakroom_sim::fleet::Fleet;
//!
//! let step = Fleet { rate_per_s: 200.0, ..Fleet::default() }.run()?;
//! assert!(step.reached_per_s > 180.0, "it keeps up");
//! # Ok::<(), cloakroom_sim::fleet::FleetError>(())
//! ```

mod clock;
mod config;
mod hot;
mod in_flight;
mod latency;
mod limit;
mod load;
mod load_messages;
mod offered;
mod payload_place;
mod payloads;
mod queue;
mod queues;
mod run;
mod services;
mod shards;
mod step;
mod store;

pub use config::{Fleet, FleetError};
pub use hot::{Ladder, sustained};
pub use latency::{Latencies, Latency};
pub use limit::Limit;
pub use payload_place::PayloadPlace;
pub use shards::Sharding;
pub use step::{Deployment, Step};
