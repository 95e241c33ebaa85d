//! Databases and brokers that fail, before or after they did what they were asked for.

use crate::{
    audit::Harm,
    naive::{plain, remembering, sending_first},
    site::{BROKER, DATABASE, How},
    stock::Scenario,
};

/// What was sent before the write is sent again.
#[test]
fn the_database_fails_before_the_write() {
    let scenario = Scenario { orders: &[("1", 2)], troubles: &[(DATABASE, How::FailsBefore)], in_pairs: false };
    scenario.breaks(sending_first, Harm::Doubled);
    scenario.holds();
}

#[test]
fn the_database_fails_after_the_write() {
    let scenario = Scenario { orders: &[("1", 2)], troubles: &[(DATABASE, How::FailsAfter)], in_pairs: false };
    scenario.breaks(plain, Harm::Doubled);
    scenario.holds();
}

/// The message counts as processed, and its answer is never sent.
#[test]
fn the_broker_fails_before_the_send() {
    let scenario = Scenario { orders: &[("1", 2)], troubles: &[(BROKER, How::FailsBefore)], in_pairs: false };
    scenario.breaks(remembering, Harm::Lost);
    scenario.holds();
}

#[test]
fn the_broker_fails_after_the_send() {
    let scenario = Scenario { orders: &[("1", 2)], troubles: &[(BROKER, How::FailsAfter)], in_pairs: false };
    scenario.breaks(sending_first, Harm::Doubled);
    scenario.breaks(plain, Harm::Doubled);
    scenario.holds();
}
