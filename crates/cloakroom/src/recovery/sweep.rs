//! The sweep: goes through all partitions and finishes records whose message does not come any more.

use std::{collections::BTreeSet, fmt, str::FromStr, sync::Arc, time::Duration};

use futures::{
    StreamExt as _,
    stream::{self, FuturesUnordered},
};
use serde::{Deserialize, Serialize};

use crate::{
    engine::settings::EndpointSettings,
    error::{Error, within},
    format::{
        lifetime::{PAYLOAD_TTL_MS, record_is_outlived},
        record::Record,
    },
    observe::observer::{Observer, Unobserved},
    ports::{
        bounded::Bounded,
        bundle::Ports,
        commit::Placement,
        records::{Found, RecordPage, Records, Segment},
    },
    protocol::embedding,
    recovery::{
        one_endpoint::{Recovery, RecoveryByEndpoint},
        pace::Pace,
    },
};

/// How a sweep is done.
///
/// ```
/// let settings: cloakroom::recovery::SweepSettings = serde_json::from_str(r#"{ "endpoints": ["stock"] }"#)?;
/// assert_eq!(settings.older_than_ms, 15 * 60 * 1000);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SweepSettings {
    /// The endpoints whose records are finished; of all if there is none.
    pub endpoints: BTreeSet<String>,
    /// Younger records are left to the workers, which are likely to have them in hand. To finish those, too, does no harm, but
    /// their messages may be sent twice, and may look lost to a receiver that is faster than their worker.
    pub older_than_ms: u64,
    /// For how long payloads are certain to live. Older records that would send claims are left: of a message whose payload has expired
    /// its receiver would think that it was processed. It must be less than the lifecycle of the bucket by what a message can live.
    pub payload_ttl_ms: u64,
    /// In how many parts the table is read at a time. A [cursor](SweepCursor) has its own.
    pub segments: u32,
    /// How many read units the reading takes in a second, on average.
    pub units_per_second_max: u32,
    /// How many records of a segment are finished at a time.
    pub finishing_max: usize,
    /// Drop embedded records that are older than this and that nobody can look up, since they name a payload store that the ports
    /// do not have. It must be longer than any message lives: 50 days at least. The messages of such a record are not sent; whoever
    /// still has the store finishes it with that store instead. `None`: such records are left.
    pub drop_older_than_ms: Option<u64>,
    /// Change nothing, and tell what would be finished, or dropped.
    pub dry_run: bool,
}

impl Default for SweepSettings {
    fn default() -> Self {
        Self {
            endpoints: BTreeSet::new(),
            older_than_ms: 15 * 60 * 1000,
            payload_ttl_ms: PAYLOAD_TTL_MS,
            segments: 4,
            units_per_second_max: 100,
            finishing_max: 16,
            drop_older_than_ms: None,
            dry_run: false,
        }
    }
}

impl SweepSettings {
    fn validate(&self) -> Result<(), Error> {
        within("segments", self.segments.into(), 1, SEGMENTS_MAX)?;
        within("units_per_second_max", self.units_per_second_max.into(), 1, 1_000_000)?;
        within("finishing_max", self.finishing_max as u64, 1, 1_000)?;
        let longest_life = EndpointSettings::default().tombstone_ttl_ms;
        self.drop_older_than_ms.map_or(Ok(()), |age| within("drop_older_than_ms", age, longest_life, u64::MAX))
    }
}

const SEGMENTS_MAX: u64 = 1_000;

/// What became of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swept {
    /// Its messages were sent, its own was settled, and it is cleared.
    Finished,
    /// It would be finished, were this not a dry run.
    Due,
    /// It would be dropped, were this not a dry run.
    Droppable,
    /// It was dropped: it names a payload store that is not known here, and its message is older than any that can come.
    Dropped,
    /// Somebody else was faster.
    Overtaken,
    /// It is too young.
    Young,
    /// It belongs to an endpoint that is not asked for.
    OfAnother,
    /// Its message is settled. It is kept, as the proof of that, or until a later commit drops it.
    Settled,
    /// It could not be finished, for this reason.
    Left(String),
}

/// Something that a sweep tells while it goes on.
#[derive(Clone, Copy, Debug)]
pub enum SweepStep<'a> {
    /// A record was dealt with.
    Record(&'a Found, &'a Swept),
    /// A page was read to its end, and all of its records were dealt with.
    Page {
        /// Where another sweep can go on.
        cursor: &'a SweepCursor,
        /// How many items were read.
        items: u64,
        /// What that has cost, in read units.
        units: f64,
    },
}

/// How far a sweep has come. As text it can be kept and given to another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SweepCursor(Vec<Position>);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Position {
    Start,
    After(String),
    End,
}

impl SweepCursor {
    /// The beginning, in that many segments.
    fn start(segments: u32) -> Self {
        Self((0..segments).map(|_| Position::Start).collect())
    }

    /// Whether nothing is left to be read.
    pub fn is_at_end(&self) -> bool {
        self.0.iter().all(|position| *position == Position::End)
    }
}

impl fmt::Display for SweepCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // In characters that every shell takes.
        let text = serde_json::to_string(&self.0).map_err(|_| fmt::Error)?;
        text.bytes().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for SweepCursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong =
            || Error::misconfigured("this is no cursor of a sweep: take the last one that was printed, all of it");
        let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
        let bytes: Option<Vec<u8>> = digits.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect();
        let positions: Vec<Position> = serde_json::from_slice(&bytes.ok_or_else(wrong)?).map_err(|_| wrong())?;
        within("segments", positions.len() as u64, 1, SEGMENTS_MAX).map_err(|_| wrong())?;
        Ok(Self(positions))
    }
}

/// Reads the whole table, segment by segment, and finishes every record that is old enough.
///
/// It may run beside workers and other sweeps, and be dropped at any point. What it has not come to is found by the next one.
///
/// ```
/// use std::sync::Arc;
/// use cloakroom::{memory::Memory, recovery::{Sweep, SweepSettings, SweepStep}};
///
/// let memory = Memory::new();
/// let sweep = Sweep::new(memory.store.clone(), memory.ports(), SweepSettings::default())?;
/// let cursor = memory.run(sweep.run(None, |step| match step {
///     SweepStep::Record(found, swept) => println!("{}: {swept:?}", found.message),
///     SweepStep::Page { cursor, .. } => println!("so far: {cursor}"),
/// }))?;
/// assert!(cursor.is_at_end());
/// # Ok::<(), cloakroom::Error>(())
/// ```
#[derive(Debug)]
pub struct Sweep {
    records: Arc<dyn Records>,
    recoveries: RecoveryByEndpoint,
    settings: SweepSettings,
    pace: Pace,
    observer: Arc<dyn Observer>,
}

/// A page whose records were dealt with.
struct Dealt {
    number: usize,
    page: RecordPage,
    /// One for each record.
    swept: Vec<Swept>,
}

impl Sweep {
    /// A sweep that finds records here and finishes them over these ports.
    ///
    /// # Errors
    /// Settings out of range.
    pub fn new(records: Arc<dyn Records>, ports: Ports, settings: SweepSettings) -> Result<Self, Error> {
        settings.validate()?;
        let pace = Pace::new(Arc::clone(&ports.clock), settings.units_per_second_max);
        let call_max = EndpointSettings::default().call_max();
        let records = Arc::new(Bounded::new(records, Arc::clone(&ports.clock), call_max));
        let recoveries = RecoveryByEndpoint::new(ports, settings.payload_ttl_ms);
        Ok(Self { records, recoveries, settings, pace, observer: Arc::new(Unobserved) })
    }

    /// Tells `observer` at the end of a whole sweep how old the oldest record was that it came by
    /// ([`Observer::oldest_record`]), zero if there was none. A dry run tells it, too.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer, ..self }
    }

    /// Sweeps from the beginning, or from where another sweep came to, up to the end, and tells what happens. A record that
    /// cannot be finished is told, and does not stop the rest.
    ///
    /// # Errors
    /// A page that could not be read. The cursor that was told last is where to go on.
    pub async fn run(
        &self,
        from: Option<SweepCursor>,
        mut tell: impl FnMut(SweepStep<'_>),
    ) -> Result<SweepCursor, Error> {
        let is_whole = from.is_none();
        let mut oldest = Duration::ZERO;
        let mut cursor = from.unwrap_or_else(|| SweepCursor::start(self.settings.segments));
        let of = u32::try_from(cursor.0.len()).unwrap_or(u32::MAX);
        let mut at_work = FuturesUnordered::new();
        for (number, position) in cursor.0.iter().enumerate() {
            match position {
                Position::Start => at_work.push(self.page(number, of, None, 1.0)),
                Position::After(after) => at_work.push(self.page(number, of, Some(after.clone()), 1.0)),
                Position::End => {}
            }
        }
        while let Some(dealt) = at_work.next().await {
            let Dealt { number, page: RecordPage { records, next, items, units }, swept } = dealt?;
            let now = self.recoveries.ports.clock.now();
            for (found, swept) in std::iter::zip(&records, &swept) {
                if !matches!(swept, Swept::OfAnother | Swept::Settled) {
                    oldest = oldest.max(found.age(now).unwrap_or_default());
                }
                tell(SweepStep::Record(found, swept));
            }
            cursor.0[number] = next.clone().map_or(Position::End, Position::After);
            tell(SweepStep::Page { cursor: &cursor, items, units });
            if next.is_some() {
                at_work.push(self.page(number, of, next, units));
            }
        }
        if is_whole {
            self.observer.oldest_record(oldest);
        }
        Ok(cursor)
    }

    /// Reads a page and deals with its records. How much it will take is not known before; the page before it is the best guess.
    async fn page(&self, number: usize, of: u32, after: Option<String>, guess: f64) -> Result<Dealt, Error> {
        self.pace.take(guess).await;
        let segment = Segment { number: u32::try_from(number).unwrap_or(u32::MAX), of };
        let page = self.records.page(segment, after.as_deref()).await?;
        self.pace.correct(page.units - guess);
        let sweeps: Vec<_> = page.records.iter().map(|found| self.sweep(found)).collect();
        let swept = stream::iter(sweeps).buffered(self.settings.finishing_max).collect().await;
        Ok(Dealt { number, page, swept })
    }

    async fn sweep(&self, found: &Found) -> Swept {
        let SweepSettings { endpoints, older_than_ms, payload_ttl_ms, dry_run, .. } = &self.settings;
        let payload_ttl = Duration::from_millis(*payload_ttl_ms);
        if !endpoints.is_empty() && !endpoints.contains(&found.endpoint) {
            return Swept::OfAnother;
        }
        let now = self.recoveries.ports.clock.now();
        let age = found.age(now);
        if age.is_some_and(|age| age < Duration::from_millis(*older_than_ms)) {
            return Swept::Young;
        }
        match self.is_settled(found).await {
            Ok(false) => {}
            Ok(true) => return Swept::Settled,
            Err(error) => return Swept::Left(error.to_string()),
        }
        if let (Ok(record), Ok(recovery), Placement::Embedded) =
            (&found.record, self.recoveries.of(&found.endpoint), found.placement)
            && self.may_drop(&recovery, record)
        {
            return if *dry_run { Swept::Droppable } else { self.drop_record(&recovery, found).await };
        }
        match &found.record {
            Err(reason) => return Swept::Left(reason.clone()),
            Ok(record) if record.settles.is_none() => {
                return Swept::Left(
                    "it does not tell how its message is settled: deliver the message again".to_owned(),
                );
            }
            // SUBTLE: sent late, they would be lost without a word (`what_may_have_expired_is_not_sent`).
            Ok(record) if record_is_outlived(record, now, payload_ttl) => {
                return Swept::Left(
                    "the payloads of what it sends may have expired (`payload_ttl_ms`): see whether they are there, with `inspect`"
                        .to_owned(),
                );
            }
            Ok(_) if *dry_run => return Swept::Due,
            Ok(_) => {}
        }
        match self.finish(found).await {
            Ok(true) => Swept::Finished,
            Ok(false) => Swept::Overtaken,
            Err(error) => Swept::Left(error.to_string()),
        }
    }

    /// Whether a record is one of those that outlive their messages. To tell it of an embedded one costs a read of its payload.
    async fn is_settled(&self, found: &Found) -> Result<bool, Error> {
        match &found.record {
            Ok(record) if record.is_retained => Ok(true),
            Ok(record) if found.placement == Placement::Embedded => {
                self.recoveries.of(&found.endpoint)?.is_settled(&found.message, record).await
            }
            Ok(_) | Err(_) => Ok(false),
        }
    }

    /// Whether nobody can ask for an embedded record, now or later.
    fn may_drop(&self, recovery: &Recovery, record: &Record) -> bool {
        let age = record.age(self.recoveries.ports.clock.now());
        let (Some(age), Some(oldest_ms)) = (age, self.settings.drop_older_than_ms) else { return false };
        recovery.lacks_store_of(record) && embedding::is_expired(age, Duration::from_millis(oldest_ms))
    }

    async fn drop_record(&self, recovery: &Recovery, found: &Found) -> Swept {
        let may_drop = |record: &Record| self.may_drop(recovery, record);
        match recovery.drop_record(&found.partition, &found.message, may_drop).await {
            Ok(true) => Swept::Dropped,
            Ok(false) => Swept::Overtaken,
            Err(error) => Swept::Left(error.to_string()),
        }
    }

    async fn finish(&self, found: &Found) -> Result<bool, Error> {
        self.recoveries.of(&found.endpoint)?.finish_record(&found.partition, &found.message).await
    }
}
