//! Options of the demonstration.

use std::{
    fs::File,
    io::{self, BufReader},
    path::PathBuf,
    time::Duration,
};

use clap::Parser;
use cloakroom::{
    EndpointSettings, WorkerSettings,
    ports::{Backoff, Placement},
    protocol::CheckIn,
};
use cloakroom_local::Faults;
use cloakroom_shop::sample;

use crate::{
    demo::fault_timer::FaultTimer,
    input::{self, Input},
    price::PriceOptions,
    site::Failure,
};

/// Options of the demonstration.
#[derive(Clone, Debug, Parser)]
pub(crate) struct Options {
    /// Number of orders to process; by default 1,000 of the sample, or all of the input
    #[arg(long)]
    pub(crate) orders: Option<usize>,
    /// Read orders as JSON lines from this file, or from standard input (-)
    #[arg(long, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Keep all data in this folder, and continue from the data in it
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Workers of each service
    #[arg(long, default_value_t = 2)]
    pub(crate) workers: usize,
    /// Messages that a worker has in flight at most
    #[arg(long, default_value_t = 48)]
    pub(crate) in_flight: usize,
    /// Run every worker as a process of its own, and crash it with SIGKILL
    #[arg(long)]
    pub(crate) processes: bool,
    /// Inject no faults, and crash no worker
    #[arg(long)]
    pub(crate) calm: bool,
    /// Share of requests that fail with each kind of fault: throttling, transaction conflicts, 5xx,
    /// lost responses
    #[arg(long, default_value_t = 0.01, value_name = "RATE")]
    pub(crate) faults: f64,
    /// Share of messages that are delivered twice
    #[arg(long, default_value_t = 0.1, value_name = "RATE")]
    pub(crate) duplicates: f64,
    /// Share of messages that are delivered late, out of order
    #[arg(long, default_value_t = 0.1, value_name = "RATE")]
    pub(crate) late: f64,
    /// Average time between two worker crashes, in milliseconds; 0 disables crashes
    #[arg(long, default_value_t = 500, value_name = "MS")]
    pub(crate) crash_every_ms: u64,
    /// Seed of the random faults: the same seed draws the same random numbers
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// When payloads are checked in
    #[arg(long, value_enum, default_value_t = Timing::BeforeCommit)]
    pub(crate) check_in: Timing,
    /// Where outbox records are stored
    #[arg(long, value_enum, default_value_t = Records::Separate)]
    pub(crate) records: Records,
    /// Keep small payloads in a DynamoDB table
    #[arg(long)]
    pub(crate) payload_table: bool,
    /// Messages of one entity that are committed together at most; 1 commits each message alone
    #[arg(long, default_value_t = EndpointSettings::default().fold_max, value_name = "N")]
    pub(crate) fold: usize,
    /// Replace Cloakroom with a naive consumer, for comparison: receive, update, send, delete
    #[arg(long)]
    pub(crate) naive: bool,
    /// Print the report as JSON
    #[arg(long)]
    pub(crate) json: bool,
    #[command(flatten)]
    pub(crate) prices: PriceOptions,
    /// Share of calls of worker processes to which each kind of loss happens, in addition to the
    /// faults of AWS.
    #[arg(skip)]
    pub(crate) lossy: f64,
}

/// See [`Placement`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Records {
    /// In items of their own, in the partition of the state.
    #[value(alias = "beside")]
    Separate,
    /// In the state's item.
    Embedded,
}

/// See [`CheckIn`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Timing {
    BeforeCommit,
    AfterCommit,
}

const ORDERS: usize = 1_000;

impl Default for Options {
    fn default() -> Self {
        Self::parse_from(["demo"])
    }
}

impl Options {
    pub(crate) fn validate(&self) -> Result<(), Failure> {
        for (option, value, max) in [
            ("orders", self.orders.unwrap_or(1), usize::MAX),
            ("workers", self.workers, 64),
            ("in-flight", self.in_flight, 10_000),
        ] {
            if !(1..=max).contains(&value) {
                return Err(Failure::new(format!("`--{option}` is {value}; it must be from 1 to {max}")));
            }
        }
        if !(0..=3_600_000).contains(&self.crash_every_ms) || (1..50).contains(&self.crash_every_ms) {
            let every = self.crash_every_ms;
            return Err(Failure::new(format!("`--crash-every-ms` is {every}; it must be 0, or from 50 to 3600000")));
        }
        for (option, rate) in [("faults", self.faults), ("duplicates", self.duplicates), ("late", self.late)] {
            if !(0.0..=0.5).contains(&rate) {
                return Err(Failure::new(format!("`--{option}` is {rate}; it must be from 0 to 0.5")));
            }
        }
        if (self.records, self.check_in) == (Records::Embedded, Timing::AfterCommit) {
            return Err(Failure::new(
                "`--records embedded` needs `--check-in before-commit`: a record whose payloads are checked in after the \
                 commit is an item of its own",
            ));
        }
        let reads_standard_input = self.input.as_ref().is_some_and(|path| path.as_os_str() == "-");
        if reads_standard_input && self.prices.prices.as_deref() == Some("-") {
            return Err(Failure::new("standard input cannot be both orders and prices; give a file for one of them"));
        }
        Ok(())
    }

    /// Reads the orders to place, and reports the lines that it skips.
    pub(crate) fn input(&self) -> Result<Input, Failure> {
        let all = self.orders.unwrap_or(usize::MAX);
        let input = match &self.input {
            None => input::read(sample::ORDERS.as_bytes(), self.orders.unwrap_or(ORDERS)),
            Some(path) if path.as_os_str() == "-" => input::read(io::stdin().lock(), all),
            Some(path) => File::open(path).and_then(|file| input::read(BufReader::new(file), all)),
        };
        let name = match &self.input {
            None => "the sample".into(),
            Some(path) if path.as_os_str() == "-" => "standard input".into(),
            Some(path) => path.to_string_lossy(),
        };
        let input = input.map_err(|error| Failure::new(format!("reading orders from {name} failed: {error}")))?;
        input.report_skipped();
        let have = input.orders.len();
        match self.orders {
            Some(wanted) if wanted > have => {
                Err(Failure::new(format!("{name} has {have} orders, but `--orders` is {wanted}")))
            }
            None if have == 0 => Err(Failure::new(format!("{name} has no valid order"))),
            Some(_) | None => Ok(input),
        }
    }

    pub(crate) fn faults(&self) -> Faults {
        if self.calm {
            return Faults::default();
        }
        Faults {
            throttled: self.faults,
            transaction_conflicts: self.faults,
            server_errors: self.faults,
            lost_responses: self.faults,
            duplicate_deliveries: self.duplicates,
            late_deliveries: self.late,
            late_delivery_ms_max: 1_000,
            seed: self.seed,
            ..Faults::default()
        }
    }

    pub(crate) fn crash_timer(&self) -> FaultTimer {
        let every_ms = if self.calm { 0 } else { self.crash_every_ms };
        FaultTimer::new(self.seed, Duration::from_millis(every_ms))
    }

    pub(crate) fn endpoint_settings(&self) -> EndpointSettings {
        let check_in = match self.check_in {
            Timing::BeforeCommit => CheckIn::BeforeCommit,
            Timing::AfterCommit => CheckIn::AfterCommit,
        };
        let placement = match self.records {
            Records::Separate => Placement::Separate,
            Records::Embedded => Placement::Embedded,
        };
        EndpointSettings { check_in, placement, fold_max: self.fold, ..EndpointSettings::default() }
    }

    pub(crate) fn worker_settings(&self) -> WorkerSettings {
        // A short long poll, so that the command ends soon after the last message.
        let in_flight_max = self.in_flight;
        let settings = WorkerSettings { in_flight_max, receive_wait_ms: 2_000, ..WorkerSettings::default() };
        if self.calm {
            return settings;
        }
        // Short visibility timeouts and pauses: after a crash another worker soon continues.
        let retry = Backoff { first_ms: 1_000, max_ms: 5_000 };
        WorkerSettings { visibility_ms: 3_000, retry, ..settings }
    }
}
