//! The model: a scenario, and the order of steps that its workers follow.

use std::{
    collections::HashSet,
    sync::{Mutex, PoisonError},
};

use crate::model::{
    scenario::{Identity, Placement, Scenario},
    wrong_orders::WrongOrder,
};

/// A scenario, and the order of steps that its workers follow.
#[derive(Debug)]
pub struct Model {
    pub(super) scenario: Scenario,
    pub(super) order: Option<WrongOrder>,
    /// If set, only these invariants are checked.
    pub(super) only: Option<&'static [&'static str]>,
    /// Fingerprints of worlds from which one undisturbed worker at a time finishes everything.
    pub(super) finishing: Mutex<HashSet<u64>>,
}

impl Model {
    /// Returns the scenario with the protocol as it is.
    pub fn new(scenario: Scenario) -> Self {
        Self { scenario, order: None, only: None, finishing: Mutex::default() }
    }

    /// Returns the scenario with the protocol broken in one place.
    #[must_use]
    pub fn broken(self, order: WrongOrder) -> Self {
        Self { order: Some(order), ..self }
    }

    /// Checks these invariants only.
    #[must_use]
    pub fn only(self, invariants: &'static [&'static str]) -> Self {
        Self { only: Some(invariants), ..self }
    }

    /// Whether a world with this fingerprint is already known to finish.
    pub(super) fn is_known_to_finish(&self, fingerprint: u64) -> bool {
        self.finishing.lock().unwrap_or_else(PoisonError::into_inner).contains(&fingerprint)
    }

    pub(super) fn note_finishing(&self, fingerprint: u64) {
        self.finishing.lock().unwrap_or_else(PoisonError::into_inner).insert(fingerprint);
    }

    pub(super) fn identity(&self, message: u8) -> Identity {
        self.scenario.messages[usize::from(message)].identity
    }

    /// The number of the message under whose key the record of this message is found. That is the
    /// message itself, unless a wrong order keys records by id.
    pub(super) fn key(&self, message: u8) -> u8 {
        let namesake = self.scenario.messages[usize::from(message)].namesake;
        let namesake = namesake.filter(|_| self.order == Some(WrongOrder::RecordKeyedById));
        namesake.and_then(|other| u8::try_from(other).ok()).unwrap_or(message)
    }

    /// Whether any worker of the scenario embeds records.
    pub(super) fn embeds(&self) -> bool {
        self.scenario.placements.contains(&Placement::Embedded)
    }
}
