//! Which failures slow a worker down, which park a message, and which do neither.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

mod age;
mod alarm;
mod attempts;
mod bench;
mod crowds;
mod fifo_dead;
mod lasting;
mod services;
