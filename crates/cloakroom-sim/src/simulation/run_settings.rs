//! Settings that follow from the seed. Pauses and visibility timeouts are short, so that little
//! virtual time passes.

use std::collections::BTreeMap;

use cloakroom::{
    Dedupe, EndpointSettings, WorkerSettings,
    ports::{Backoff, Placement},
    protocol::{CheckIn, Consistency, WhenMissing},
};

use crate::simulation::faults::FaultInjector;

/// In some seeds all records are separate, in some all are embedded, and in half of them each
/// process draws its own placement.
const PLACEMENTS: [&[Placement]; 4] = [
    &[Placement::Separate],
    &[Placement::Embedded],
    &[Placement::Separate, Placement::Embedded],
    &[Placement::Embedded, Placement::Separate],
];
/// With the smallest value hardly two records fit.
const EMBEDDED_BYTES_MAX: [usize; 3] = [1_024, 2_048, 32 * 1_024];
const FOLD_MAX: [usize; 3] = [1, 2, 32];
/// Longer than any run.
const RETAINED: Dedupe = Dedupe::Retained { ttl_ms: 45 * 24 * 60 * 60 * 1_000 };

/// The settings that all processes of a run share, and those that each process draws.
#[derive(Debug)]
pub(crate) struct RunSettings {
    endpoint: EndpointSettings,
    pub(crate) worker: WorkerSettings,
    placements: &'static [Placement],
    dedupe: BTreeMap<&'static str, Dedupe>,
}

impl RunSettings {
    pub(crate) fn drawn(endpoints: &[&'static str], injector: &FaultInjector, random: &mut fastrand::Rng) -> Self {
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
        let mut random = injector.stream("placements");
        let placements = random.choice(PLACEMENTS).unwrap_or_default();
        // An endpoint cannot change its deduplication between these two, because one does not look
        // for the proofs of the other.
        let dedupe = endpoints.iter().map(|name| (*name, if random.u32(0..3) == 0 { RETAINED } else { Dedupe::Entry }));
        Self { endpoint, worker, placements, dedupe: dedupe.collect() }
    }

    /// Returns the settings of an endpoint in one process. Another process may get another
    /// placement, and so may this one after a restart.
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
