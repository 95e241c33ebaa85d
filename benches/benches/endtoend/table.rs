//! A report as a table for the terminal.

use std::fmt;

use cloakroom::observe::Service;
use cloakroom_bench::report::{Measured, Report};

pub(crate) struct Table<'a>(pub(crate) &'a Report);

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let workload = &self.0.workload;
        let pace = workload.rate_per_s.map_or("closed loop".to_owned(), |rate| format!("{rate} messages/s"));
        writeln!(
            f,
            "{} on {}: {} messages of {} bytes, {} entities, skew {}, {} x {} in flight",
            pace,
            self.0.target,
            workload.messages,
            workload.payload_bytes,
            workload.entities,
            workload.skew,
            workload.workers,
            workload.in_flight_max
        )?;
        writeln!(
            f,
            "{:<22} {:>8} {:>9} {:>9} {:>8} {:>7} {:>7} {:>7} {:>7} {:>8}  audit",
            "", "msg/s", "p50 ms", "p99 ms", "dynamodb", "wu", "ru", "s3", "sqs", "cpu ms"
        )?;
        self.0.measured.iter().try_for_each(|measured| row(f, measured))?;
        if self.0.interrupted {
            writeln!(f, "interrupted: the figures are incomplete")?;
        }
        self.0.remarks.iter().try_for_each(|remark| writeln!(f, "- {remark}"))
    }
}

/// Writes one contestant's row. Requests, units and CPU time are per message.
fn row(f: &mut fmt::Formatter<'_>, measured: &Measured) -> fmt::Result {
    let Measured { contestant, messages, seconds, latency, consumption, cpu_seconds, audit, .. } = measured;
    let all = (*messages).max(1) as f64;
    let of = |service| consumption.total(service);
    let dynamodb = of(Service::DynamoDb);
    let verdict = if audit.balances() { "balances".to_owned() } else { format!("{audit:?}") };
    writeln!(
        f,
        "{:<22} {:>8.0} {:>9.1} {:>9.1} {:>8.2} {:>7.2} {:>7.2} {:>7.2} {:>7.2} {:>8.2}  {}",
        contestant,
        if *seconds > 0.0 { all / seconds } else { 0.0 },
        latency.p50_us as f64 / 1e3,
        latency.p99_us as f64 / 1e3,
        dynamodb.requests as f64 / all,
        dynamodb.write_units / all,
        dynamodb.read_units / all,
        of(Service::S3).requests as f64 / all,
        of(Service::Sqs).requests as f64 / all,
        1e3 * cpu_seconds / all,
        verdict
    )
}
