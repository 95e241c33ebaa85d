//! A single entity: how many messages per second it can process.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::fleet::{
    config::{Fleet, FleetError},
    step::Step,
};

/// The factor between the rates of a ladder.
const RUNG: f64 = 1.25;
/// How many messages are measured at each rate.
const MESSAGES: f64 = 400.0;

/// Rising rates, up to the first one that was too high.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ladder {
    /// The rates that the fleet kept up with, in order.
    pub kept_up: Vec<Step>,
    /// The first rate that was too high. `None` if the fleet kept up with all.
    pub too_much: Option<Step>,
}

impl Ladder {
    /// The number of messages per second that it sustains, or 0 if the lowest rate was too high.
    pub fn sustained_per_s(&self) -> f64 {
        self.kept_up.last().map_or(0.0, |step| step.reached_per_s)
    }
}

/// Offers messages for a single entity, at rates that rise by a quarter, until the fleet does not
/// keep up.
///
/// # Errors
/// See [`Fleet::run`].
pub fn sustained(fleet: &Fleet, from_per_s: f64, to_per_s: f64) -> Result<Ladder, FleetError> {
    let mut ladder = Ladder { kept_up: Vec::new(), too_much: None };
    let mut rate_per_s = from_per_s;
    while rate_per_s <= to_per_s && ladder.too_much.is_none() {
        let measured = Duration::from_secs_f64((MESSAGES / rate_per_s).clamp(4.0, 60.0));
        let fleet =
            Fleet { rate_per_s, skew: 0.0, entities: 1, warm_up: Duration::from_secs(2), measured, ..fleet.clone() };
        let step = fleet.run()?;
        match step.keeps_up() {
            true => ladder.kept_up.push(step),
            false => ladder.too_much = Some(step),
        }
        rate_per_s *= RUNG;
    }
    Ok(ladder)
}
