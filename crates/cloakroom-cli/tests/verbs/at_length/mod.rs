//! Whole runs of the shop. They wait more than they compute, and take longest; so they come first: tests begin in the order of
//! their names.

mod demo;
mod soak;
