//! A service that spreads keys over shards, each with a capacity per second: the physical
//! partitions of a DynamoDB table, or the prefixes into which S3 divides a bucket.

use std::time::Duration;

use cloakroom::Timestamp;
use serde::{Deserialize, Serialize};

/// How many shards there are, and when they split.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sharding {
    /// The number of shards at the beginning, each with an equal part of the keys: 4 for a new
    /// on-demand table, more if it was warmed. 1 for a new bucket, more if AWS divided it in
    /// advance.
    pub shards: usize,
    /// A shard splits in the middle after it was used to four fifths in every second of this time.
    /// AWS does not publish the time: some minutes for tables, 30 to 60 minutes for buckets.
    /// `None`: shards never split.
    pub split_after: Option<Duration>,
}

impl Sharding {
    /// A fixed number of shards.
    pub const fn fixed(shards: usize) -> Self {
        Self { shards, split_after: None }
    }
}

/// The capacity of one shard per second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct PerSecond {
    pub(crate) reads: f64,
    pub(crate) writes: f64,
}

/// A partition of a table: read and write units.
pub(crate) const TABLE: PerSecond = PerSecond { reads: 3_000.0, writes: 1_000.0 };
/// A prefix of a bucket: GET requests, and PUT and DELETE requests.
pub(crate) const BUCKET: PerSecond = PerSecond { reads: 5_500.0, writes: 3_500.0 };

/// The utilisation at which a shard counts as busy.
const BUSY: f64 = 0.8;

#[derive(Debug)]
pub(crate) struct Shards {
    per_second: PerSecond,
    split_after: Option<Duration>,
    /// The shards, by the first hash of their range.
    shards: Vec<Shard>,
    pub(crate) splits: u64,
}

#[derive(Clone, Debug)]
struct Shard {
    first: u64,
    reads: TokenBucket,
    writes: TokenBucket,
    /// The second that is checked for a split, and since when all seconds were busy.
    second: Timestamp,
    busy: Option<Timestamp>,
}

/// A token bucket with the capacity of one second. Burst capacity beyond that is left out. The
/// bucket is empty at the beginning, so that a limit shows in a run of a few seconds, too.
#[derive(Clone, Debug)]
pub(crate) struct TokenBucket {
    per_second: f64,
    tokens: f64,
    filled: Timestamp,
    /// Tokens used since the beginning of the measurement.
    pub(crate) used: f64,
    /// Tokens used in the second that is checked.
    used_lately: f64,
}

/// The kind of access.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Access {
    Read,
    Write,
}

impl TokenBucket {
    pub(crate) const fn new(per_second: f64, now: Timestamp) -> Self {
        Self { per_second, tokens: 0.0, filled: now, used: 0.0, used_lately: 0.0 }
    }

    /// Takes tokens if any are left. The last access may take more than are left.
    pub(crate) fn take(&mut self, amount: f64, now: Timestamp) -> bool {
        let gained = now.since(self.filled).as_secs_f64() * self.per_second;
        (self.tokens, self.filled) = ((self.tokens + gained).min(self.per_second), now);
        if self.tokens <= 0.0 {
            return false;
        }
        self.tokens -= amount;
        self.used += amount;
        self.used_lately += amount;
        true
    }
}

impl Shards {
    pub(crate) fn new(per_second: PerSecond, Sharding { shards, split_after }: Sharding, now: Timestamp) -> Self {
        let width = u64::MAX / shards as u64;
        let shards = (0..shards as u64).map(|number| Shard::new(number * width, per_second, now)).collect();
        Self { per_second, split_after, shards, splits: 0 }
    }

    /// Takes from the shard of the key. Returns false if the shard has no capacity left.
    pub(crate) fn take(&mut self, key: &str, what: Access, amount: f64, now: Timestamp) -> bool {
        let hash = hash(key);
        let find = |shards: &[Shard]| shards.partition_point(|shard| shard.first <= hash) - 1;
        let mut number = find(&self.shards);
        if self.split_after.is_some_and(|after| self.shards[number].is_due(after, now)) {
            self.split(number, now);
            number = find(&self.shards);
        }
        let shard = &mut self.shards[number];
        match what {
            Access::Read => shard.reads.take(amount, now),
            Access::Write => shard.writes.take(amount, now),
        }
    }

    fn split(&mut self, number: usize, now: Timestamp) {
        let first = self.shards[number].first;
        let end = self.shards.get(number + 1).map_or(u64::MAX, |next| next.first);
        let middle = first + (end - first) / 2;
        let [left, right] = [first, middle].map(|first| Shard::new(first, self.per_second, now));
        self.shards.splice(number..=number, [left, right]);
        self.splits += 1;
    }

    /// Begins the measurement.
    pub(crate) fn begin(&mut self) {
        for shard in &mut self.shards {
            (shard.reads.used, shard.writes.used) = (0.0, 0.0);
        }
    }

    /// The utilisation of the busiest shard since the [beginning](Self::begin), where 1 is its
    /// capacity.
    pub(crate) fn utilisation(&self, what: Access, over: Duration) -> f64 {
        let used = self.shards.iter().map(|shard| match what {
            Access::Read => shard.reads.used / shard.reads.per_second,
            Access::Write => shard.writes.used / shard.writes.per_second,
        });
        used.fold(0.0, f64::max) / over.as_secs_f64()
    }

    pub(crate) fn len(&self) -> usize {
        self.shards.len()
    }
}

impl Shard {
    fn new(first: u64, PerSecond { reads, writes }: PerSecond, now: Timestamp) -> Self {
        Self {
            first,
            reads: TokenBucket::new(reads, now),
            writes: TokenBucket::new(writes, now),
            second: now,
            busy: None,
        }
    }

    /// Whether the shard was busy for this time.
    fn is_due(&mut self, after: Duration, now: Timestamp) -> bool {
        let passed = now.since(self.second);
        if passed < Duration::from_secs(1) {
            return false;
        }
        let share = |bucket: &TokenBucket| bucket.used_lately / (bucket.per_second * passed.as_secs_f64());
        let is_busy = share(&self.reads).max(share(&self.writes)) >= BUSY;
        (self.reads.used_lately, self.writes.used_lately) = (0.0, 0.0);
        self.busy = is_busy.then(|| self.busy.unwrap_or(self.second));
        self.second = now;
        self.busy.is_some_and(|since| now.since(since) >= after)
    }
}

/// Spreads keys evenly: FNV-1a, and then the finish of SplitMix64, because the high bits of FNV are
/// weak.
pub(crate) fn hash(key: &str) -> u64 {
    let fnv = key
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let mixed = (fnv ^ (fnv >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SLOW: PerSecond = PerSecond { reads: 100.0, writes: 10.0 };

    fn at(ms: u64) -> Timestamp {
        Timestamp::from_millis(ms)
    }

    #[test]
    fn shard_serves_its_capacity_per_second_and_no_more() {
        let mut shards = Shards::new(SLOW, Sharding::fixed(1), at(0));
        let mut taken = |from, to| (from..to).filter(|ms| shards.take("k", Access::Write, 1.0, at(*ms))).count();
        let at_first = taken(0, 10_000);
        assert!((99..=101).contains(&at_first), "{at_first}");
        let after_a_pause = taken(20_000, 21_000);
        assert!((19..=21).contains(&after_a_pause), "the saved tokens and the new ones: {after_a_pause}");
        assert!(shards.take("k", Access::Read, 1.0, at(21_000)), "reads have their own bucket");
    }

    #[test]
    fn busy_shard_splits_and_idle_shard_does_not() {
        let sharding = Sharding { shards: 1, split_after: Some(Duration::from_secs(10)) };
        let mut shards = Shards::new(SLOW, sharding, at(0));
        for ms in (0..9_000).step_by(50) {
            shards.take("k", Access::Write, 1.0, at(ms));
        }
        assert_eq!(shards.len(), 1);
        for ms in (9_000..12_000).step_by(50) {
            shards.take("k", Access::Write, 1.0, at(ms));
        }
        assert_eq!((shards.len(), shards.splits), (2, 1));
        let mut idle = Shards::new(SLOW, sharding, at(0));
        for ms in (0..60_000).step_by(500) {
            idle.take("k", Access::Write, 1.0, at(ms));
        }
        assert_eq!(idle.len(), 1);
    }

    #[test]
    fn keys_spread_evenly() {
        let mut shards = Shards::new(TABLE, Sharding::fixed(8), at(0));
        for number in 0..8_000 {
            shards.take(&format!("entity#{number}"), Access::Read, 1.0, at(number));
        }
        let used: Vec<_> = shards.shards.iter().map(|shard| shard.reads.used).collect();
        assert!(used.iter().all(|used| (900.0..1_100.0).contains(used)), "{used:?}");
    }
}
