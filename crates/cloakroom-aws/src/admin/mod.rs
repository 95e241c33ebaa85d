//! Tables, bucket and queues as a whole: creating them, and finding out what is wrong with them.
//!
//! Only operators need this module. Nothing that processes messages imports it.

pub(crate) mod describe;
pub(crate) mod diagnosis;
pub(crate) mod provisioning;
pub(crate) mod table_schema;
