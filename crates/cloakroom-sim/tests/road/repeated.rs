//! Messages that come twice, and what comes twice because of them.

use crate::{
    audit::Harm,
    naive::{deterministic, plain, sending_first},
    site::{BROKER, How},
    stock::Scenario,
};

#[test]
fn a_message_comes_twice() {
    let scenario = Scenario { orders: &[("1", 2), ("1", 2)], troubles: &[], in_pairs: false };
    scenario.breaks(plain, Harm::Doubled);
    scenario.holds();
}

/// The receiver would know the answer again, had it the same id.
#[test]
fn a_retry_sends_under_another_random_id() {
    let scenario = Scenario { orders: &[("1", 2)], troubles: &[(BROKER, How::DiesAfter)], in_pairs: false };
    scenario.breaks(sending_first, Harm::Doubled);
    scenario.holds();
}

/// The first order's answer is sent, `reserved`, and its process dies before that is written. The second order takes the stock.
/// The first one comes again, finds none, and answers `refused`: under the same id, so nobody listens.
#[test]
fn a_retry_sends_something_else_under_the_same_id() {
    let scenario = Scenario { orders: &[("1", 4), ("2", 4)], troubles: &[(BROKER, How::DiesAfter)], in_pairs: false };
    scenario.breaks(deterministic, Harm::Ghost);
    scenario.holds();
}
