//! Options of a soak.

use std::time::Duration;

use crate::{
    demo,
    demo::{
        fault_timer::FaultTimer,
        options::{Records, Timing},
    },
    site::Failure,
};

/// Options of a soak.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Minutes with faults; then the queues drain, and the books are audited
    #[arg(long, default_value_t = 20.0)]
    minutes: f64,
    /// Instead of minutes: faults until this number of orders is finished
    #[arg(long, hide = true, conflicts_with = "minutes")]
    orders: Option<usize>,
    /// Worker processes of each service
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Messages that a worker has in flight at most
    #[arg(long, default_value_t = 48)]
    in_flight: usize,
    /// Average time between two kills of a worker process (SIGKILL), in milliseconds
    #[arg(long, default_value_t = 4_000, value_name = "MS")]
    kill_every_ms: u64,
    /// Average time between two silences of an AWS service, in milliseconds: its connections get no
    /// response and are not closed; 0 disables silences
    #[arg(long, default_value_t = 30_000, value_name = "MS")]
    silence_every_ms: u64,
    /// Share of requests to AWS, and of calls of the workers, that fail with each kind of fault
    #[arg(long, default_value_t = 0.01, value_name = "RATE")]
    faults: f64,
    /// Share of messages that are delivered twice
    #[arg(long, default_value_t = 0.1, value_name = "RATE")]
    duplicates: f64,
    /// Share of messages that are delivered late, out of order
    #[arg(long, default_value_t = 0.1, value_name = "RATE")]
    late: f64,
    /// Seed of the random faults: the same seed draws the same random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// When payloads are checked in
    #[arg(long, value_enum, default_value_t = Timing::BeforeCommit)]
    check_in: Timing,
    /// Where outbox records are stored
    #[arg(long, value_enum, default_value_t = Records::Separate)]
    records: Records,
    /// Keep small payloads in a DynamoDB table
    #[arg(long)]
    payload_table: bool,
    /// Print the report and the progress as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Replace Cloakroom with a naive consumer, whose errors the audit must find
    #[arg(long, hide = true)]
    naive: bool,
}

impl Options {
    pub(crate) fn validate(&self) -> Result<(), Failure> {
        if !(0.1..=10_080.0).contains(&self.minutes) {
            return Err(Failure::new(format!("`--minutes` is {}; it must be from 0.1 to 10080", self.minutes)));
        }
        if !(50..=3_600_000).contains(&self.kill_every_ms) {
            let every = self.kill_every_ms;
            return Err(Failure::new(format!("`--kill-every-ms` is {every}; it must be from 50 to 3600000")));
        }
        if !(1_000..=3_600_000).contains(&self.silence_every_ms) && self.silence_every_ms != 0 {
            let every = self.silence_every_ms;
            return Err(Failure::new(format!(
                "`--silence-every-ms` is {every}; it must be 0, or from 1000 to 3600000"
            )));
        }
        self.with_faults().validate()
    }

    /// Returns the demonstration's options for the time with faults.
    pub(crate) fn with_faults(&self) -> demo::Options {
        demo::Options {
            orders: self.orders,
            processes: true,
            workers: self.workers,
            in_flight: self.in_flight,
            crash_every_ms: self.kill_every_ms,
            faults: self.faults,
            duplicates: self.duplicates,
            late: self.late,
            lossy: self.faults,
            seed: self.seed,
            check_in: self.check_in,
            records: self.records,
            payload_table: self.payload_table,
            naive: self.naive,
            json: self.json,
            ..demo::Options::default()
        }
    }

    /// Returns the timer of silences of a service.
    pub(crate) fn silence_timer(&self) -> FaultTimer {
        // With the seed of the crashes, silences and crashes would be at the same times.
        FaultTimer::new(self.seed.wrapping_add(1), Duration::from_millis(self.silence_every_ms))
    }

    /// Returns the demonstration's options for draining: no losses, and the same short visibility
    /// timeouts.
    pub(crate) fn without_losses(&self) -> demo::Options {
        demo::Options { lossy: 0.0, ..self.with_faults() }
    }

    pub(crate) fn orders_max(&self) -> usize {
        self.orders.unwrap_or(usize::MAX)
    }

    /// Returns how long faults are injected. With a number of orders, that is until they are
    /// finished.
    pub(crate) fn duration(&self) -> Duration {
        match self.orders {
            Some(_) => Duration::from_secs(365 * 24 * 60 * 60),
            None => Duration::from_secs_f64(self.minutes * 60.0),
        }
    }

    /// Returns the maximum number of queued messages: as many as the workers of all services can
    /// have in flight.
    pub(crate) const fn ahead_max(&self) -> usize {
        self.workers * self.in_flight * 3
    }
}
