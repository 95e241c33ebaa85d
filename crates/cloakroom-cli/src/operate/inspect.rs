//! `cloakroom inspect`: the contents of a partition.

use std::{collections::BTreeMap, fmt, process::ExitCode, time::Duration};

use cloakroom::{
    EndpointSettings, Partition, PortError, Ports,
    format::{
        Claim, Record, Settles,
        schema::{Kept, Key},
    },
    ports::{Found, Placement, Records as _, placement::read_state_item},
    protocol::Claims,
};
use serde::Serialize;

use crate::{
    account::{Account, bounded_ports},
    operate::{Output, table::Table, verdict},
    site::Failure,
};

/// Shows the states of a partition with their versions, and its records with their remaining steps
///
/// Exit code 1 if there are records with remaining steps, or an item that cannot be read.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Options {
    /// The partition
    partition: Partition,
    #[command(flatten)]
    account: Account,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, Serialize)]
struct Report {
    partition: String,
    /// The states by endpoint.
    states: BTreeMap<String, State>,
    records: Vec<Row>,
    /// The number of the handlers' own items.
    own_items: u64,
}

#[derive(Debug, Serialize)]
struct State {
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<u64>,
    /// Whether the state was deleted. Only its version is kept.
    tombstone: bool,
    /// The reason why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

#[derive(Debug, Serialize)]
struct Row {
    endpoint: String,
    message: String,
    /// The outgoing messages.
    messages: Vec<Message>,
    /// Whether the record is old enough that payloads of its messages may have expired.
    may_have_expired: bool,
    /// Whether its incoming message is settled. `None` if that is unknown.
    #[serde(skip_serializing_if = "Option::is_none")]
    settled: Option<bool>,
    /// The remaining steps, in their order.
    still_to_do: Vec<&'static str>,
    /// The reason why it cannot be read.
    #[serde(skip_serializing_if = "Option::is_none")]
    trouble: Option<String>,
}

#[derive(Debug, Serialize)]
struct Message {
    queue: String,
    id: String,
    r#type: String,
    payload: Payload,
}

/// Where a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Payload {
    /// In the record. The message has no claim yet.
    InRecord,
    /// In the bucket or in the payload table.
    InBucket,
    /// Missing. Its message was processed, or the payload has expired.
    Gone,
    /// In another bucket or table. Whether it exists is unknown.
    InAnotherBucket,
}

impl Payload {
    async fn of(ports: &Ports, claim: Option<&Claim>) -> Result<Self, PortError> {
        Ok(match claim {
            None => Self::InRecord,
            Some(claim) if claim.store().is_some_and(|store| !ports.payloads.holds(store)) => Self::InAnotherBucket,
            Some(claim) if ports.payloads.read(claim).await?.is_some() => Self::InBucket,
            Some(_) => Self::Gone,
        })
    }

    /// Returns the text for the table. `may_have_expired` is that of the record.
    const fn describe(self, may_have_expired: bool) -> &'static str {
        match self {
            Self::InRecord => "in the record",
            Self::InBucket => "in its store",
            Self::Gone if may_have_expired => "gone: it was processed or has expired",
            Self::Gone => "gone: it was processed",
            Self::InAnotherBucket => "in another store",
        }
    }
}

/// Returns whether payloads that were checked in for a record of this age may have expired. A
/// record of unknown age may have any age.
fn may_have_expired(age: Option<Duration>) -> bool {
    let payload_ttl = Duration::from_millis(EndpointSettings::default().payload_ttl_ms);
    age.is_none_or(|age| age > payload_ttl)
}

pub(crate) async fn run(Options { partition, account, output }: Options) -> Result<ExitCode, Failure> {
    let aws = account.aws().await?;
    let items = aws.records().items_of(&partition).await.map_err(Failure::new)?;
    let ports = bounded_ports(&aws);
    let (mut states, mut records, mut own_items) = (BTreeMap::new(), Vec::new(), 0);
    for (sort_key, item) in items {
        for found in Found::read(&partition, &sort_key, &item) {
            records.push(Row::new(&ports, found).await.map_err(Failure::new)?);
        }
        match Key::kept(&sort_key) {
            Some(Kept::State { endpoint }) => {
                let state = read_state_item(&format!("reading the state of `{partition}`"), Some(item));
                states.insert(endpoint.to_owned(), State::new(state));
            }
            Some(Kept::Record { .. } | Kept::Failures { .. }) => {}
            None => own_items += 1,
        }
    }
    let report = Report { partition: partition.to_string(), states, records, own_items };
    output.print(&report)?;
    let is_open = |row: &Row| row.trouble.is_some() || !row.still_to_do.is_empty();
    Ok(verdict(report.records.iter().any(is_open) || report.states.values().any(|state| state.trouble.is_some())))
}

impl State {
    fn new(read: Result<cloakroom::ports::StateRead, PortError>) -> Self {
        match read {
            Ok(read) => Self { version: Some(read.version.number()), tombstone: read.state.is_none(), trouble: None },
            Err(error) => Self { version: None, tombstone: false, trouble: Some(error.to_string()) },
        }
    }
}

impl Row {
    async fn new(ports: &Ports, found: Found) -> Result<Self, PortError> {
        let may_have_expired = may_have_expired(found.age(ports.clock.now()));
        let Found { endpoint, message, record, placement, .. } = found;
        let plain = |trouble| Self {
            endpoint: endpoint.clone(),
            message: message.to_string(),
            messages: Vec::new(),
            may_have_expired,
            settled: None,
            still_to_do: Vec::new(),
            trouble,
        };
        let record = match record {
            Ok(record) => record,
            Err(reason) => return Ok(plain(Some(reason))),
        };
        let settled = match &record.settles {
            Some(Settles::Payload(claim)) => match Payload::of(ports, Some(claim)).await? {
                Payload::Gone => Some(true),
                Payload::InBucket | Payload::InRecord => Some(false),
                Payload::InAnotherBucket => None,
            },
            Some(Settles::Entry(store)) if ports.payloads.holds(store) => {
                Some(ports.payloads.has_entry(&endpoint, &message).await?)
            }
            Some(Settles::Retained(_)) => Some(record.is_retained),
            Some(Settles::Entry(_)) | None => None,
        };
        let mut messages = Vec::new();
        for outgoing in &record.messages {
            let (queue, envelope) = (outgoing.queue.clone(), &outgoing.envelope);
            let (id, r#type) = (envelope.id.to_string(), envelope.kind.clone());
            messages.push(Message { queue, id, r#type, payload: Payload::of(ports, envelope.dataref.as_ref()).await? });
        }
        Ok(Self { messages, settled, still_to_do: still_to_do(&record, settled, placement), ..plain(None) })
    }
}

/// Returns the remaining steps from step 5b on. A message is settled only after its outgoing
/// messages were sent. Before that, it is unknown whether they were sent.
fn still_to_do(record: &Record, settled: Option<bool>, placement: Placement) -> Vec<&'static str> {
    // A later commit drops an embedded record, and a retained record expires.
    let clear: &[_] = if placement == Placement::Embedded || record.is_retained { &[] } else { &["clear"] };
    if settled == Some(true) {
        return clear.to_vec();
    }
    let check_in: &[_] = if record.claims() == Claims::Missing { &["check_in", "store_claims"] } else { &[] };
    [check_in, &["dispatch", "settle"], clear].concat()
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = |(endpoint, state): (&String, &State)| {
            let version = state.version.map_or_else(|| "?".to_owned(), |version| version.to_string());
            let note = if state.tombstone { "deleted" } else { state.trouble.as_deref().unwrap_or_default() };
            [endpoint.clone(), version, note.to_owned()]
        };
        let record = |row: &Row| {
            let steps = row.still_to_do.join(", ");
            let note = row.trouble.clone().unwrap_or(steps);
            [row.endpoint.clone(), row.message.clone(), note]
        };
        let message = |row: &Row, message: &Message| {
            let Message { queue, id, r#type, payload } = message;
            let payload = payload.describe(row.may_have_expired).to_owned();
            [row.message.clone(), queue.clone(), r#type.clone(), id.clone(), payload]
        };
        let messages = self.records.iter().flat_map(|row| row.messages.iter().map(move |one| message(row, one)));
        write!(f, "{}", Table::new(["STATE OF", "VERSION", ""], self.states.iter().map(state)))?;
        write!(f, "{}", Table::new(["RECORD OF", "MESSAGE", "STILL TO DO"], self.records.iter().map(record)))?;
        write!(f, "{}", Table::new(["RECORD", "TO QUEUE", "TYPE", "ID", "PAYLOAD"], messages))?;
        let (records, own) = (self.records.len(), self.own_items);
        write!(f, "partition `{}`: {} states, {records} records, {own} other items", self.partition, self.states.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn missing_payload_of_an_old_record_may_have_expired() {
        let days = |days: u64| Some(Duration::from_secs(days * 24 * 60 * 60));
        let described = |age| Payload::Gone.describe(may_have_expired(age));
        assert_eq!(described(days(27)), "gone: it was processed");
        for age in [days(29), None] {
            assert_eq!(described(age), "gone: it was processed or has expired", "{age:?}");
        }
    }
}
