//! Creation and diagnosis of the tables, the bucket and the queues.
//!
//! Only operators need this module. No code that processes messages imports it.

pub(crate) mod describe;
pub(crate) mod diagnosis;
pub(crate) mod provisioning;
pub(crate) mod table_schema;
