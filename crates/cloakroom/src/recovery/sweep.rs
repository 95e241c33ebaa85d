//! The sweep: works through all partitions and finishes records whose message is not delivered any
//! more.

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
        lifetime::{PAYLOAD_TTL_MS, record_payloads_may_have_expired},
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

/// Settings of a sweep.
///
/// ```
/// let settings: cloakroom::recovery::SweepSettings = serde_json::from_str(r#"{ "endpoints": ["stock"] }"#)?;
/// assert_eq!(settings.older_than_ms, 15 * 60 * 1000);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SweepSettings {
    /// The endpoints whose records are finished. If the set is empty, the records of all endpoints.
    pub endpoints: BTreeSet<String>,
    /// The minimum age of a record that is finished, in milliseconds. Younger records are left to
    /// the workers, which probably still process their messages. A smaller value is safe, but
    /// outgoing messages may be sent twice. If a receiver settles one copy before the worker sends
    /// the other, the other may look like a lost message.
    pub older_than_ms: u64,
    /// The guaranteed lifetime of a payload, in milliseconds. An older record that would send
    /// claims is left. If a payload has expired, the receiver would treat its message as processed.
    /// The value must be less than the bucket's lifecycle minus the longest life of a message.
    pub payload_ttl_ms: u64,
    /// The number of segments of the table that are read concurrently. A [cursor](SweepCursor)
    /// keeps its own number.
    pub segments: u32,
    /// The maximum number of read units a second, on average.
    pub units_per_second_max: u32,
    /// The number of records of a segment that are finished concurrently.
    pub finishing_max: usize,
    /// Drop embedded records older than this, in milliseconds, if they name a payload store that
    /// the ports do not have. No worker can look up such a record. The value must be at least 50
    /// days, because no message lives longer. The outgoing messages of a dropped record are not
    /// sent. If the store still exists, sweep with ports that have it instead: that finishes the
    /// record. `None`: such records are left.
    pub drop_older_than_ms: Option<u64>,
    /// Change nothing; only report the records that would be finished or dropped.
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

/// The result for one record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Swept {
    /// Its outgoing messages were sent, its message was settled, and the record was cleared.
    Finished,
    /// A real run would finish it; this is a dry run.
    Due,
    /// A real run would drop it; this is a dry run.
    Droppable,
    /// It was dropped. It names a payload store that the ports do not have, and its message is too
    /// old to be delivered.
    Dropped,
    /// Another worker or sweep finished it first.
    Overtaken,
    /// It is too young.
    Young,
    /// Its endpoint is not one of those in the settings.
    OfAnother,
    /// Its message is settled. The record stays as the proof of that, or until a later commit drops
    /// it.
    Settled,
    /// It could not be finished, for this reason.
    Left(String),
}

/// A progress report of a sweep.
#[derive(Clone, Copy, Debug)]
pub enum SweepStep<'a> {
    /// A record was handled.
    Record(&'a Found, &'a Swept),
    /// A page was read, and all of its records were handled.
    Page {
        /// Where another sweep can continue.
        cursor: &'a SweepCursor,
        /// The number of items that were read.
        items: u64,
        /// The cost of the page, in read units.
        units: f64,
    },
}

/// The position of a sweep. Its text form can be stored and passed to another sweep.
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
    /// The start of a sweep with this number of segments.
    fn start(segments: u32) -> Self {
        Self((0..segments).map(|_| Position::Start).collect())
    }

    /// Reports whether everything was read.
    pub fn is_at_end(&self) -> bool {
        self.0.iter().all(|position| *position == Position::End)
    }
}

impl fmt::Display for SweepCursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Hexadecimal digits need no quotes in any shell.
        let text = serde_json::to_string(&self.0).map_err(|_| fmt::Error)?;
        text.bytes().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for SweepCursor {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || {
            Error::misconfigured(
                "this text is no cursor of a sweep; pass the cursor that the sweep printed last, without changes",
            )
        };
        let digits = text.as_bytes().chunks(2).map(|pair| std::str::from_utf8(pair).ok());
        let bytes: Option<Vec<u8>> = digits.map(|pair| u8::from_str_radix(pair?, 16).ok()).collect();
        let positions: Vec<Position> = serde_json::from_slice(&bytes.ok_or_else(wrong)?).map_err(|_| wrong())?;
        within("segments", positions.len() as u64, 1, SEGMENTS_MAX).map_err(|_| wrong())?;
        Ok(Self(positions))
    }
}

/// Reads the whole table, segment by segment, and finishes every record that is old enough.
///
/// A sweep can run at the same time as workers and other sweeps, and can be dropped at any point.
/// The next sweep finds the records that this one did not reach.
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

/// A page whose records were handled.
struct HandledPage {
    number: usize,
    page: RecordPage,
    /// One result for each record.
    swept: Vec<Swept>,
}

impl Sweep {
    /// Creates a sweep that finds records in `records` and finishes them over `ports`.
    ///
    /// # Errors
    /// A setting is out of range.
    pub fn new(records: Arc<dyn Records>, ports: Ports, settings: SweepSettings) -> Result<Self, Error> {
        settings.validate()?;
        let pace = Pace::new(Arc::clone(&ports.clock), settings.units_per_second_max);
        let call_max = EndpointSettings::default().call_max();
        let records = Arc::new(Bounded::new(records, Arc::clone(&ports.clock), call_max));
        let recoveries = RecoveryByEndpoint::new(ports, settings.payload_ttl_ms);
        Ok(Self { records, recoveries, settings, pace, observer: Arc::new(Unobserved) })
    }

    /// Sets an observer that receives the age of the oldest record that was found
    /// ([`Observer::oldest_record`]). A sweep from the beginning reports it at its end, also in a
    /// dry run. The age is zero if there was no record.
    #[must_use]
    pub fn observed_by(self, observer: Arc<dyn Observer>) -> Self {
        Self { observer, ..self }
    }

    /// Sweeps from the beginning, or from `from`, to the end, and reports each step. A record that
    /// cannot be finished is reported and does not stop the sweep.
    ///
    /// # Errors
    /// A page could not be read. Continue from the cursor that was reported last.
    pub async fn run(
        &self,
        from: Option<SweepCursor>,
        mut report: impl FnMut(SweepStep<'_>),
    ) -> Result<SweepCursor, Error> {
        let is_whole = from.is_none();
        let mut oldest = Duration::ZERO;
        let mut cursor = from.unwrap_or_else(|| SweepCursor::start(self.settings.segments));
        let of = u32::try_from(cursor.0.len()).unwrap_or(u32::MAX);
        let mut reading = FuturesUnordered::new();
        for (number, position) in cursor.0.iter().enumerate() {
            match position {
                Position::Start => reading.push(self.page(number, of, None, 1.0)),
                Position::After(after) => reading.push(self.page(number, of, Some(after.clone()), 1.0)),
                Position::End => {}
            }
        }
        while let Some(handled) = reading.next().await {
            let HandledPage { number, page: RecordPage { records, next, items, units }, swept } = handled?;
            let now = self.recoveries.ports.clock.now();
            for (found, swept) in std::iter::zip(&records, &swept) {
                if !matches!(swept, Swept::OfAnother | Swept::Settled) {
                    oldest = oldest.max(found.age(now).unwrap_or_default());
                }
                report(SweepStep::Record(found, swept));
            }
            cursor.0[number] = next.clone().map_or(Position::End, Position::After);
            report(SweepStep::Page { cursor: &cursor, items, units });
            if next.is_some() {
                reading.push(self.page(number, of, next, units));
            }
        }
        if is_whole {
            self.observer.oldest_record(oldest);
        }
        Ok(cursor)
    }

    /// Reads a page and handles its records. The cost of a page is not known before the read, so
    /// `guess` is the cost of the page before.
    async fn page(&self, number: usize, of: u32, after: Option<String>, guess: f64) -> Result<HandledPage, Error> {
        self.pace.take(guess).await;
        let segment = Segment { number: u32::try_from(number).unwrap_or(u32::MAX), of };
        let page = self.records.page(segment, after.as_deref()).await?;
        self.pace.correct(page.units - guess);
        let sweeps: Vec<_> = page.records.iter().map(|found| self.sweep(found)).collect();
        let swept = stream::iter(sweeps).buffered(self.settings.finishing_max).collect().await;
        Ok(HandledPage { number, page, swept })
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
                    "the record does not show how its message is settled; deliver the message again".to_owned(),
                );
            }
            // SUBTLE: (1) The payloads of the outgoing messages expire. (2) The sweep sends these
            // messages. (3) Their receivers treat them as processed. The messages would be lost
            // without an error (`sweep_does_not_send_claims_that_may_have_expired`).
            Ok(record) if record_payloads_may_have_expired(record, now, payload_ttl) => {
                return Swept::Left(
                    "the payloads of its outgoing messages may have expired (`payload_ttl_ms`); check with `inspect` \
                     whether they still exist"
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

    /// Reports whether a record has outlived its message. For an embedded record this costs one
    /// read of the payload.
    async fn is_settled(&self, found: &Found) -> Result<bool, Error> {
        match &found.record {
            Ok(record) if record.is_retained => Ok(true),
            Ok(record) if found.placement == Placement::Embedded => {
                self.recoveries.of(&found.endpoint)?.is_settled(&found.message, record).await
            }
            Ok(_) | Err(_) => Ok(false),
        }
    }

    /// Reports whether no worker can look up an embedded record, now or later.
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
