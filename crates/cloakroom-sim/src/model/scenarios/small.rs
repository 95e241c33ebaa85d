//! The scenarios that every `cargo test` explores.

mod commits;
mod dead_letters;
mod embedded;
mod folds;

use crate::model::{scenario::Scenario, scenarios::parts::PLAIN};

const GROUPS: [&[Scenario]; 4] = [commits::SCENARIOS, dead_letters::SCENARIOS, embedded::SCENARIOS, folds::SCENARIOS];
const COUNT: usize = GROUPS[0].len() + GROUPS[1].len() + GROUPS[2].len() + GROUPS[3].len();
const ALL: [Scenario; COUNT] = all();

/// The scenarios that `cargo test` explores.
pub const SMALL: &[Scenario] = &ALL;

/// The scenarios of all groups, in their order.
const fn all() -> [Scenario; COUNT] {
    let mut all = [PLAIN; COUNT];
    let (mut group, mut count) = (0, 0);
    while group < GROUPS.len() {
        let mut number = 0;
        while number < GROUPS[group].len() {
            all[count] = GROUPS[group][number];
            count += 1;
            number += 1;
        }
        group += 1;
    }
    all
}
