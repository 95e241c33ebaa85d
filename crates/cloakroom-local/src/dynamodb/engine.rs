//! From an operation's name and JSON to dynoxide's typed calls and back.
//!
//! Calling the engine in process rather than through its own HTTP server saves a second
//! socket per request, and the capacity of a request can be asked for and taken out again
//! without touching its JSON.

use dynoxide::actions::transact_write_items::{TransactWriteItemsRequest, TransactWriteItemsResponse};
use dynoxide::types::ConsumedCapacity;
use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::capacity::{self, Kind};
use super::errors;
use super::recovery::Recovery;
use super::tokens::{Fingerprint, Tokens, capacity_of_repetition};
use crate::clock::Millis;
use crate::usage::Units;

/// An operation that was done.
pub(super) struct Done {
    pub(super) json: String,
    pub(super) units: Units,
}

/// Runs operations that consume no capacity.
macro_rules! free {
    ($operation:expr, $body:expr, $call:expr) => {{
        let response = $call(parse($operation, $body)?)?;
        Ok(Done { json: render(&response)?, units: Units::default() })
    }};
}

/// Runs operations that consume capacity: asks for the figure even if the client did not, and
/// keeps it from a client that did not. The requests share the field, but no trait.
macro_rules! metered {
    ($kind:expr, $request:expr, $call:expr) => {{
        let mut request = $request;
        let asked = wanted(request.return_consumed_capacity.as_deref());
        if !asked {
            request.return_consumed_capacity = Some("TOTAL".into());
        }
        let mut response = $call(request)?;
        let units = capacity::of($kind, response.consumed_capacity.iter().flat_map(Consumed::each));
        if !asked {
            response.consumed_capacity = None;
        }
        Ok::<Done, DynoxideError>(Done { json: render(&response)?, units })
    }};
    ($kind:expr, $operation:expr, $body:expr, $call:expr) => {
        metered!($kind, parse_for($call, $operation, $body)?, $call)
    };
}

/// The tables, the transactions that must not be repeated, and which tables are to be recoverable.
pub(super) struct Engine {
    database: Database,
    tokens: Tokens,
    recovery: Recovery,
}

impl Engine {
    pub(super) fn new(database: Database) -> Self {
        Self { database, tokens: Tokens::default(), recovery: Recovery::default() }
    }

    /// Does one operation.
    pub(super) fn run(&mut self, now: Millis, operation: &str, body: &[u8]) -> dynoxide::Result<Done> {
        if let Some(answer) = self.recovery.run(&self.database, operation, body) {
            return Ok(Done { json: answer?, units: Units::default() });
        }
        match operation {
            "TransactWriteItems" => self.transact(now, parse(operation, body)?),
            _ => run(&self.database, operation, body),
        }
    }

    /// Does a transaction, or repeats the answer if it was done under the same token.
    fn transact(&mut self, now: Millis, mut request: TransactWriteItemsRequest) -> dynoxide::Result<Done> {
        let database = &self.database;
        // A token of another length is the engine's to refuse.
        let token = request.client_request_token.take_if(|token| (1..=36).contains(&token.len()));
        let Some(token) = token else {
            return metered!(Kind::Write, request, |r| database.transact_write_items(r));
        };
        let fingerprint = Fingerprint::of(&request.transact_items);
        match self.tokens.used(now, &token) {
            Some(used) if used == fingerprint => metered!(Kind::Read, request, repeat),
            Some(_) => Err(DynoxideError::IdempotentParameterMismatchException(
                "The request uses the same client token as a previous, but non-identical request.".into(),
            )),
            None => {
                let done = metered!(Kind::Write, request, |r| database.transact_write_items(r))?;
                self.tokens.remember(now, token, fingerprint);
                Ok(done)
            }
        }
    }
}

fn repeat(request: TransactWriteItemsRequest) -> dynoxide::Result<TransactWriteItemsResponse> {
    Ok(TransactWriteItemsResponse { consumed_capacity: capacity_of_repetition(&request), ..Default::default() })
}

/// Does one operation that consumes capacity.
fn run(db: &Database, operation: &str, body: &[u8]) -> dynoxide::Result<Done> {
    match operation {
        "GetItem" => metered!(Kind::Read, operation, body, |r| db.get_item(r)),
        "PutItem" => metered!(Kind::Write, operation, body, |r| db.put_item(r)),
        "UpdateItem" => metered!(Kind::Write, operation, body, |r| db.update_item(r)),
        "DeleteItem" => metered!(Kind::Write, operation, body, |r| db.delete_item(r)),
        "Query" => metered!(Kind::Read, operation, body, |r| db.query(r)),
        "Scan" => metered!(Kind::Read, operation, body, |r| db.scan(r)),
        "BatchGetItem" => metered!(Kind::Read, operation, body, |r| db.batch_get_item(r)),
        "BatchWriteItem" => metered!(Kind::Write, operation, body, |r| db.batch_write_item(r)),
        "TransactGetItems" => {
            metered!(Kind::Read, operation, body, |r| db.transact_get_items(r))
        }
        "ExecuteStatement" => {
            metered!(Kind::Either, operation, body, |r| db.execute_statement(r))
        }
        "ExecuteTransaction" => {
            metered!(Kind::Either, operation, body, |r| db.execute_transaction(r))
        }
        "BatchExecuteStatement" => {
            metered!(Kind::Either, operation, body, |r| db.batch_execute_statement(r))
        }
        _ => administer(db, operation, body),
    }
}

fn administer(db: &Database, operation: &str, body: &[u8]) -> dynoxide::Result<Done> {
    match operation {
        "CreateTable" => free!(operation, body, |r| db.create_table(r)),
        "DeleteTable" => free!(operation, body, |r| db.delete_table(r)),
        "DescribeTable" => free!(operation, body, |r| db.describe_table(r)),
        "ListTables" => free!(operation, body, |r| db.list_tables(r)),
        "UpdateTable" => free!(operation, body, |r| db.update_table(r)),
        "UpdateTimeToLive" => free!(operation, body, |r| db.update_time_to_live(r)),
        "DescribeTimeToLive" => free!(operation, body, |r| db.describe_time_to_live(r)),
        "TagResource" => free!(operation, body, |r| db.tag_resource(r)),
        "UntagResource" => free!(operation, body, |r| db.untag_resource(r)),
        "ListTagsOfResource" => free!(operation, body, |r| db.list_tags_of_resource(r)),
        "ListStreams" => free!(operation, body, |r| db.list_streams(r)),
        "DescribeStream" => free!(operation, body, |r| db.describe_stream(r)),
        "GetShardIterator" => free!(operation, body, |r| db.get_shard_iterator(r)),
        "GetRecords" => free!(operation, body, |r| db.get_records(r)),
        _ => Err(DynoxideError::UnsupportedCapability(format!(
            "the operation {operation}, which cloakroom-local does not offer"
        ))),
    }
}

fn wanted(mode: Option<&str>) -> bool {
    mode.is_some_and(|mode| mode != "NONE")
}

fn parse<T: DeserializeOwned>(operation: &str, body: &[u8]) -> dynoxide::Result<T> {
    serde_json::from_slice(body).map_err(|error| errors::unreadable(operation, &error))
}

/// Parses what `_call` takes: lets the compiler find the request's type before its fields are
/// used.
fn parse_for<T: DeserializeOwned, R>(_call: impl Fn(T) -> R, operation: &str, body: &[u8]) -> dynoxide::Result<T> {
    parse(operation, body)
}

fn render(response: &impl Serialize) -> dynoxide::Result<String> {
    serde_json::to_string(response).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

/// Capacity is reported once by operations on one table, in a list by those on several.
trait Consumed {
    fn each(&self) -> &[ConsumedCapacity];
}

impl Consumed for ConsumedCapacity {
    fn each(&self) -> &[ConsumedCapacity] {
        std::slice::from_ref(self)
    }
}

impl Consumed for Vec<ConsumedCapacity> {
    fn each(&self) -> &[ConsumedCapacity] {
        self
    }
}
