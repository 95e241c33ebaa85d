//! Databases and brokers that fail, before or after a call took effect.

use crate::{
    audit::Harm,
    naive::{plain, remembering, sending_first},
    process::{BROKER, DATABASE, FaultKind},
    stock::Scenario,
};

/// The message that was sent before the write is sent again.
#[test]
fn database_that_fails_before_the_write_does_no_harm_with_cloakroom() {
    let scenario = Scenario { orders: &[("1", 2)], faults: &[(DATABASE, FaultKind::FailsBefore)], in_pairs: false };
    scenario.assert_harm(sending_first, Harm::Doubled);
    scenario.assert_no_harm();
}

#[test]
fn database_that_fails_after_the_write_does_no_harm_with_cloakroom() {
    let scenario = Scenario { orders: &[("1", 2)], faults: &[(DATABASE, FaultKind::FailsAfter)], in_pairs: false };
    scenario.assert_harm(plain, Harm::Doubled);
    scenario.assert_no_harm();
}

/// The message counts as processed, and its answer is never sent.
#[test]
fn broker_that_fails_before_the_send_does_no_harm_with_cloakroom() {
    let scenario = Scenario { orders: &[("1", 2)], faults: &[(BROKER, FaultKind::FailsBefore)], in_pairs: false };
    scenario.assert_harm(remembering, Harm::Lost);
    scenario.assert_no_harm();
}

#[test]
fn broker_that_fails_after_the_send_does_no_harm_with_cloakroom() {
    let scenario = Scenario { orders: &[("1", 2)], faults: &[(BROKER, FaultKind::FailsAfter)], in_pairs: false };
    scenario.assert_harm(sending_first, Harm::Doubled);
    scenario.assert_harm(plain, Harm::Doubled);
    scenario.assert_no_harm();
}
