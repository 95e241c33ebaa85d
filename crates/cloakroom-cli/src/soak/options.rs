//! What can be tuned.

use std::time::Duration;

use crate::{
    demo,
    demo::{Records, Timing, trouble::Trouble},
    site::Failure,
};

/// Options of a soak.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// Minutes of trouble; then the queues drain, and the books are audited
    #[arg(long, default_value_t = 20.0)]
    minutes: f64,
    /// Instead of minutes: trouble until so many orders are finished
    #[arg(long, hide = true, conflicts_with = "minutes")]
    orders: Option<usize>,
    /// Worker processes of each service
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// Messages that a worker holds at a time
    #[arg(long, default_value_t = 48)]
    in_flight: usize,
    /// Milliseconds between two kills of a worker process (SIGKILL), on average
    #[arg(long, default_value_t = 4_000, value_name = "MS")]
    kill_every_ms: u64,
    /// Milliseconds between two silences of a service of AWS, on average: its connections are neither answered nor
    /// closed any more; 0 for none
    #[arg(long, default_value_t = 30_000, value_name = "MS")]
    silence_every_ms: u64,
    /// Share of requests to AWS, and of calls of the workers, that meet a fault of each kind
    #[arg(long, default_value_t = 0.01, value_name = "RATE")]
    faults: f64,
    /// Share of messages that are delivered twice
    #[arg(long, default_value_t = 0.1, value_name = "RATE")]
    duplicates: f64,
    /// Share of messages that are delivered late, out of order
    #[arg(long, default_value_t = 0.1, value_name = "RATE")]
    late: f64,
    /// Where the trouble begins: the same seed draws the same random numbers
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// When payloads are checked in
    #[arg(long, value_enum, default_value_t = Timing::BeforeCommit)]
    check_in: Timing,
    /// Where outbox records lie
    #[arg(long, value_enum, default_value_t = Records::Beside)]
    records: Records,
    /// Keep small payloads in a table of DynamoDB
    #[arg(long)]
    payload_table: bool,
    /// Print the report, and how far it has come, as JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// Replace Cloakroom by a naive consumer: what the audit must find
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
        self.trouble().validate()
    }

    /// The demonstration's options while there is trouble.
    pub(crate) fn trouble(&self) -> demo::Options {
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

    /// The moments at which a service goes silent.
    pub(crate) fn silences(&self) -> Trouble {
        // Another seed than that of the crashes, lest both come at the same moments.
        Trouble::new(self.seed.wrapping_add(1), Duration::from_millis(self.silence_every_ms))
    }

    /// And when it is over. Leases stay short.
    pub(crate) fn calm(&self) -> demo::Options {
        demo::Options { lossy: 0.0, ..self.trouble() }
    }

    pub(crate) fn orders_max(&self) -> usize {
        self.orders.unwrap_or(usize::MAX)
    }

    /// How long the trouble lasts; with a number of orders, as long as they take.
    pub(crate) fn duration(&self) -> Duration {
        match self.orders {
            Some(_) => Duration::from_secs(365 * 24 * 60 * 60),
            None => Duration::from_secs_f64(self.minutes * 60.0),
        }
    }

    /// No more messages than the workers of all services can hold are before them at a time.
    pub(crate) const fn ahead_max(&self) -> usize {
        self.workers * self.in_flight * 3
    }
}
