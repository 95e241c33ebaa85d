//! Settings that follow from the seed, with short pauses and leases, so that little time passes in between.

use std::collections::BTreeMap;

use cloakroom::{
    Dedupe, EndpointSettings, WorkerSettings,
    ports::{Backoff, Placement},
    protocol::{CheckIn, Consistency, WhenMissing},
};

use super::weather::Weather;

/// In some seeds all records lie beside, in some all are embedded, and in half of them each process has a placement of its own.
const PLACEMENTS: [&[Placement]; 4] = [
    &[Placement::Separate],
    &[Placement::Embedded],
    &[Placement::Separate, Placement::Embedded],
    &[Placement::Embedded, Placement::Separate],
];
/// With the smallest hardly two records find room.
const EMBEDDED_BYTES_MAX: [usize; 3] = [1_024, 2_048, 32 * 1_024];
const FOLD_MAX: [usize; 3] = [1, 2, 32];
/// Longer than any run.
const RETAINED: Dedupe = Dedupe::Retained { ttl_ms: 45 * 24 * 60 * 60 * 1_000 };

/// What is the same for all processes of a run, and what each draws for itself.
#[derive(Debug)]
pub(crate) struct Settings {
    endpoint: EndpointSettings,
    pub(crate) worker: WorkerSettings,
    placements: &'static [Placement],
    dedupe: BTreeMap<&'static str, Dedupe>,
}

impl Settings {
    pub(crate) fn drawn(endpoints: &[&'static str], weather: &Weather, random: &mut fastrand::Rng) -> Self {
        let endpoint = EndpointSettings {
            check_in: if random.bool() { CheckIn::BeforeCommit } else { CheckIn::AfterCommit },
            when_missing: WhenMissing::Acknowledge,
            passes_max: random.u32(2..12),
            calls_max: random.u32(1..5),
            attempts_max: random.u32(3..9),
            linger_ms: random.u64(0..30),
            backoff: Backoff { first_ms: 10, max_ms: 1_000 },
            ..EndpointSettings::default()
        };
        let worker = WorkerSettings {
            in_flight_max: random.usize(1..20),
            receive_wait_ms: random.u64(1_000..20_000),
            visibility_ms: random.u64(2_000..30_000),
            attempt_ms_max: random.u64(5_000..120_000),
            retry: Backoff { first_ms: 500, max_ms: random.u64(1_000..30_000) },
            ..WorkerSettings::default()
        };
        let mut random = weather.stream("placements");
        let placements = random.choice(PLACEMENTS).unwrap_or_default();
        // An endpoint cannot change between these two: what was told in one way is not looked for in the other.
        let dedupe = endpoints.iter().map(|name| (*name, if random.u32(0..3) == 0 { RETAINED } else { Dedupe::Entry }));
        Self { endpoint, worker, placements, dedupe: dedupe.collect() }
    }

    /// What an endpoint has in one process: another one of it may have other placements, and so may this one when it comes back.
    pub(crate) fn of(&self, endpoint: &str, random: &mut fastrand::Rng) -> EndpointSettings {
        let placement = random.choice(self.placements).copied().unwrap_or_default();
        // Embedded records need their claims before the commit.
        let check_in = match placement {
            Placement::Separate => self.endpoint.check_in,
            Placement::Embedded => CheckIn::BeforeCommit,
        };
        EndpointSettings {
            placement,
            check_in,
            embedded_bytes_max: random.choice(EMBEDDED_BYTES_MAX).unwrap_or(1_024),
            fold_max: random.choice(FOLD_MAX).unwrap_or(1),
            state_reads: if random.bool() { Consistency::Any } else { Consistency::Strong },
            dedupe: self.dedupe.get(endpoint).copied().unwrap_or_default(),
            ..self.endpoint.clone()
        }
    }
}
