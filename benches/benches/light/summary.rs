//! The summary of the measurements.

use std::{collections::BTreeMap, fmt, time::Duration};

use cloakroom_local::Usage;

use crate::Failure;

/// The maximum of the library's CPU time, relative to that of the same requests without it.
const RATIO_MAX: f64 = 1.05;
/// The maximum relative difference of the requests and sizes. The SDK may retry a request, and ids
/// differ in length.
const DIFFERENCE_MAX: f64 = 0.005;
/// Requests that carry several messages. Their number depends on the timing of the messages.
const BATCHES: [&str; 3] = ["ReceiveMessage", "SendMessageBatch", "DeleteMessageBatch"];
/// Reads that may share requests.
const READS: [&str; 2] = ["GetItem", "BatchGetItem"];

/// One run of one contestant.
pub(crate) struct Run {
    pub(crate) cpu: Duration,
    pub(crate) messages: usize,
    pub(crate) usage: Usage,
}

impl Run {
    /// CPU time per message, in microseconds.
    pub(crate) fn cpu_us(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.messages as f64
    }

    /// Returns an error unless each message was deleted, and one was sent for each.
    pub(crate) fn check(&self) -> Result<(), Failure> {
        let (sent, deleted) = (self.usage.sqs.messages_sent, self.usage.sqs.messages_deleted);
        let messages = self.messages as u64;
        if (sent, deleted) != (messages, messages) {
            return Err(
                format!("for {messages} messages, {sent} were sent and {deleted} deleted: the contestants did not do the same work").into()
            );
        }
        Ok(())
    }

    /// The number of requests by operation, and their sizes.
    fn amounts(&self) -> impl Iterator<Item = (&str, f64)> {
        let Usage { dynamodb, s3, sqs, .. } = &self.usage;
        let requests = dynamodb.requests.iter().chain(&s3.requests).chain(&sqs.requests);
        let requests = requests.map(|(operation, count)| (operation.as_str(), *count as f64));
        let sizes = [
            ("(read units)", dynamodb.units.read),
            ("(write units)", dynamodb.units.write),
            ("(bytes to S3)", s3.bytes_in as f64),
            ("(bytes from S3)", s3.bytes_out as f64),
        ];
        requests.chain(sizes).filter(|(_, amount)| *amount > 0.0)
    }
}

/// One run of each contestant, one after the other.
pub(crate) struct Pair {
    pub(crate) ours: Run,
    pub(crate) raw: Run,
}

impl Pair {
    pub(crate) fn ratio(&self) -> f64 {
        self.ours.cpu.as_secs_f64() / self.raw.cpu.as_secs_f64()
    }
}

/// The result of all pairs.
pub(crate) struct Summary {
    ratio: Spread,
    ours_us: Spread,
    raw_us: Spread,
    /// Requests per message by operation, and their sizes: ours, then raw.
    amounts: BTreeMap<String, (f64, f64)>,
}

struct Spread {
    median: f64,
    min: f64,
    max: f64,
}

impl Spread {
    fn of(values: impl Iterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let (last, middle) = (values.len().saturating_sub(1), values.len() / 2);
        let median =
            if values.len().is_multiple_of(2) { at(middle.saturating_sub(1)).midpoint(at(middle)) } else { at(middle) };
        Self { median, min: at(0), max: at(last) }
    }
}

impl Summary {
    /// Summarises the pairs.
    ///
    /// # Errors
    /// The contestants did not send the same requests, so their figures cannot be compared. If
    /// requests are `shared`, the numbers of reads may differ.
    pub(crate) fn of(pairs: &[Pair], shared: bool) -> Result<Self, Failure> {
        let mut amounts: BTreeMap<String, (f64, f64)> = BTreeMap::new();
        let messages: usize = pairs.iter().map(|pair| pair.ours.messages).sum();
        for Pair { ours, raw } in pairs {
            for (name, amount) in ours.amounts() {
                amounts.entry(name.to_owned()).or_default().0 += amount / messages as f64;
            }
            for (name, amount) in raw.amounts() {
                amounts.entry(name.to_owned()).or_default().1 += amount / messages as f64;
            }
        }
        let differs = |(name, (ours, raw)): &(&String, &(f64, f64))| {
            let is_batch = BATCHES.contains(&name.as_str()) || shared && READS.contains(&name.as_str());
            !is_batch && (ours - raw).abs() > ours.max(*raw) * DIFFERENCE_MAX
        };
        if let Some((name, (ours, raw))) = amounts.iter().find(differs) {
            let text =
                format!("`{name}` per message: ours has {ours:.4} and raw {raw:.4}, so they did not do the same work");
            return Err(text.into());
        }
        Ok(Self {
            ratio: Spread::of(pairs.iter().map(Pair::ratio)),
            ours_us: Spread::of(pairs.iter().map(|pair| pair.ours.cpu_us())),
            raw_us: Spread::of(pairs.iter().map(|pair| pair.raw.cpu_us())),
            amounts,
        })
    }
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, (ours, raw)) in &self.amounts {
            writeln!(f, "  {name:<24} {ours:>9.3} a message, raw {raw:>9.3}")?;
        }
        let Spread { median, min, max } = self.ratio;
        let verdict = if median <= RATIO_MAX { "within" } else { "over" };
        writeln!(f, "CPU: ours {:.1} µs a message, raw {:.1} µs (medians)", self.ours_us.median, self.raw_us.median)?;
        writeln!(f, "ratio: median {median:.3} (from {min:.3} to {max:.3}), {verdict} {RATIO_MAX}")
    }
}
