//! Messages that are delivered twice, and answers that are sent twice because of them.

use crate::{
    audit::Harm,
    naive::{deterministic, plain, sending_first},
    process::{BROKER, FaultKind},
    stock::Scenario,
};

#[test]
fn duplicate_message_doubles_the_effect_only_in_the_naive_consumer() {
    let scenario = Scenario { orders: &[("1", 2), ("1", 2)], faults: &[], in_pairs: false };
    scenario.assert_harm(plain, Harm::Doubled);
    scenario.assert_no_harm();
}

/// If the answer had the same id, its receiver would recognise it.
#[test]
fn retry_that_sends_under_another_id_does_no_harm_with_cloakroom() {
    let scenario = Scenario { orders: &[("1", 2)], faults: &[(BROKER, FaultKind::StopsAfter)], in_pairs: false };
    scenario.assert_harm(sending_first, Harm::Doubled);
    scenario.assert_no_harm();
}

/// The answer to the first order, `reserved`, is sent, and the process stops before it writes the
/// stock. The second order takes the stock. The first message is delivered again. There is no stock
/// left, so the answer is `refused`. It has the same id as the first answer, so its receiver
/// ignores it.
#[test]
fn retry_that_sends_another_answer_under_the_same_id_does_no_harm_with_cloakroom() {
    let scenario =
        Scenario { orders: &[("1", 4), ("2", 4)], faults: &[(BROKER, FaultKind::StopsAfter)], in_pairs: false };
    scenario.assert_harm(deterministic, Harm::WrongAnswer);
    scenario.assert_no_harm();
}
