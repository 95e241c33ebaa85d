//! The scenarios that the model explores.

mod large;
mod parts;
mod small;

pub use large::LARGE;
pub use small::SMALL;
