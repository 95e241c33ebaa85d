//! Failures: which slow a worker down, which park a message, and which have neither effect.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

mod age;
mod alarm;
mod attempts;
mod bench;
mod crowds;
mod fifo_dead;
mod lasting;
mod redriving;
mod services;
