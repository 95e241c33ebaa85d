//! Conversion between the JSON of an operation and dynoxide's typed calls.
//!
//! The engine is called in process. This saves a second socket per request compared with its own
//! HTTP server. It also allows requesting the consumed capacity, and removing it from the response,
//! without editing JSON.

use dynoxide::actions::transact_write_items::{TransactWriteItemsRequest, TransactWriteItemsResponse};
use dynoxide::types::ConsumedCapacity;
use dynoxide::{Database, DynoxideError};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Millis;
use crate::dynamodb::capacity::{self, Kind};
use crate::dynamodb::errors;
use crate::dynamodb::recovery::Recovery;
use crate::dynamodb::tokens::{Fingerprint, Tokens, capacity_of_repetition};
use crate::usage::Units;

/// The result of an operation.
pub(super) struct Completed {
    pub(super) json: String,
    pub(super) units: Units,
}

/// Runs an operation that consumes no capacity.
macro_rules! unmetered {
    ($operation:expr, $body:expr, $call:expr) => {{
        let response = $call(parse($operation, $body)?)?;
        Ok(Completed { json: render(&response)?, units: Units::default() })
    }};
}

/// Runs an operation that consumes capacity. Always requests the consumed capacity, and removes it
/// from the response if the client did not request it. The request types have this field, but no
/// common trait.
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
        Ok::<Completed, DynoxideError>(Completed { json: render(&response)?, units })
    }};
    ($kind:expr, $operation:expr, $body:expr, $call:expr) => {
        metered!($kind, parse_for($call, $operation, $body)?, $call)
    };
}

/// The tables, the tokens of recent transactions, and the tables with point-in-time recovery.
pub(super) struct Engine {
    database: Database,
    tokens: Tokens,
    recovery: Recovery,
}

impl Engine {
    pub(super) fn new(database: Database) -> Self {
        Self { database, tokens: Tokens::default(), recovery: Recovery::default() }
    }

    /// Runs one operation.
    pub(super) fn run(&mut self, now: Millis, operation: &str, body: &[u8]) -> dynoxide::Result<Completed> {
        if let Some(answer) = self.recovery.run(&self.database, operation, body) {
            return Ok(Completed { json: answer?, units: Units::default() });
        }
        match operation {
            "TransactWriteItems" => self.transact(now, parse(operation, body)?),
            _ => run(&self.database, operation, body),
        }
    }

    /// Runs a transaction, or repeats the earlier response if a transaction with the same token and
    /// content was completed.
    fn transact(&mut self, now: Millis, mut request: TransactWriteItemsRequest) -> dynoxide::Result<Completed> {
        let database = &self.database;
        // The engine rejects a token of any other length.
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

/// Runs one operation that consumes capacity.
fn run(db: &Database, operation: &str, body: &[u8]) -> dynoxide::Result<Completed> {
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

fn administer(db: &Database, operation: &str, body: &[u8]) -> dynoxide::Result<Completed> {
    match operation {
        "CreateTable" => unmetered!(operation, body, |r| db.create_table(r)),
        "DeleteTable" => unmetered!(operation, body, |r| db.delete_table(r)),
        "DescribeTable" => unmetered!(operation, body, |r| db.describe_table(r)),
        "ListTables" => unmetered!(operation, body, |r| db.list_tables(r)),
        "UpdateTable" => unmetered!(operation, body, |r| db.update_table(r)),
        "UpdateTimeToLive" => unmetered!(operation, body, |r| db.update_time_to_live(r)),
        "DescribeTimeToLive" => unmetered!(operation, body, |r| db.describe_time_to_live(r)),
        "TagResource" => unmetered!(operation, body, |r| db.tag_resource(r)),
        "UntagResource" => unmetered!(operation, body, |r| db.untag_resource(r)),
        "ListTagsOfResource" => unmetered!(operation, body, |r| db.list_tags_of_resource(r)),
        "ListStreams" => unmetered!(operation, body, |r| db.list_streams(r)),
        "DescribeStream" => unmetered!(operation, body, |r| db.describe_stream(r)),
        "GetShardIterator" => unmetered!(operation, body, |r| db.get_shard_iterator(r)),
        "GetRecords" => unmetered!(operation, body, |r| db.get_records(r)),
        _ => Err(DynoxideError::UnsupportedCapability(format!(
            "the operation {operation}, which cloakroom-local does not support"
        ))),
    }
}

fn wanted(mode: Option<&str>) -> bool {
    mode.is_some_and(|mode| mode != "NONE")
}

fn parse<T: DeserializeOwned>(operation: &str, body: &[u8]) -> dynoxide::Result<T> {
    serde_json::from_slice(body).map_err(|error| errors::unreadable(operation, &error))
}

/// Parses the request of `_call`. The parameter lets the compiler infer the request's type before
/// its fields are used.
fn parse_for<T: DeserializeOwned, R>(_call: impl Fn(T) -> R, operation: &str, body: &[u8]) -> dynoxide::Result<T> {
    parse(operation, body)
}

fn render(response: &impl Serialize) -> dynoxide::Result<String> {
    serde_json::to_string(response).map_err(|error| DynoxideError::InternalServerError(error.to_string()))
}

/// Consumed capacity: one report for an operation on one table, a list for an operation on several
/// tables.
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
