//! Text tables of the figures.

use std::{collections::BTreeSet, fmt::Write as _};

use cloakroom_sim::fleet::Limit;

use crate::fleet::{Hot, Priced};

/// Returns one line for each rate, and a remedy for each limit that kept a fleet from keeping up.
pub(super) fn steps(steps: &[Priced]) -> String {
    let mut text = format!(
        "{:>5} {:>10} {:>10} {:>7} {:>7} {:>8} {:>7} {:>11} {:>9} {:>8} {:>10} {:>13}  binds\n",
        "skew",
        "offered/s",
        "reached/s",
        "p50 ms",
        "p99 ms",
        "workers",
        "queues",
        "partitions",
        "payloads",
        "units",
        "$/million",
        "fill r s d",
    );
    for Priced { step, dollars_per_million } in steps {
        let deployment = &step.deployment;
        let units = step.table_units.write_units / step.acknowledged.max(1) as f64;
        let [receive, send, delete] =
            ["ReceiveMessage", "SendMessageBatch", "DeleteMessageBatch"].map(|operation| step.fill(operation));
        let used = step.utilisation.get(&step.binding).copied().unwrap_or_default();
        let refused: u64 = step.throttles.values().sum();
        let _ = write!(
            text,
            "{:>5} {:>10.0} {:>10.0} {:>7} {:>7} {:>8} {:>7} {:>11} {:>9} {units:>8.2} {dollars_per_million:>10.2} {:>13}  {} {:.0} %",
            step.skew,
            step.offered_per_s,
            step.reached_per_s,
            step.latency_p50_ms,
            step.latency_p99_ms,
            deployment.workers,
            deployment.queues,
            deployment.table_partitions,
            deployment.payload_shards,
            format!("{receive:.1} {send:.1} {delete:.1}"),
            step.binding,
            used * 100.0,
        );
        let _ = match (step.keeps_up(), refused) {
            (true, 0) => writeln!(text),
            (true, _) => writeln!(text, ", {refused} requests throttled"),
            (false, _) => {
                writeln!(text, ", does NOT keep up: {} messages wait, {refused} requests throttled", step.waiting)
            }
        };
    }
    text.push_str(
        "units: write units of the table per message. fill: messages per request to receive, send, delete.\n",
    );
    let behind = steps.iter().filter(|priced| !priced.step.keeps_up()).map(|priced| priced.step.binding);
    remedies(&mut text, behind);
    text
}

/// Returns one line for each deployment and size of fold, and a remedy for each limit that binds.
pub(super) fn hot(hot: &[Hot]) -> String {
    let mut text = format!("{:<28} {:>12} {:>12}  then binds\n", "one entity", "per commit", "sustains/s");
    for Hot { deployment, fold_max, ladder } in hot {
        let then = ladder.too_much.as_ref().map_or("nothing", |step| step.binding.name());
        let _ = writeln!(text, "{deployment:<28} {fold_max:>12} {:>12.0}  {then}", ladder.sustained_per_s());
    }
    remedies(&mut text, hot.iter().filter_map(|hot| hot.ladder.too_much.as_ref()).map(|step| step.binding));
    text
}

fn remedies(text: &mut String, limits: impl Iterator<Item = Limit>) {
    for limit in limits.collect::<BTreeSet<_>>() {
        let _ = writeln!(text, "{limit}: {}", limit.remedy());
    }
}
