//! Load, contestants and reports: what exactly-once costs with Cloakroom, and with what others do.

pub mod report;
