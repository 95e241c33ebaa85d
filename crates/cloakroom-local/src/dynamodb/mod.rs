//! DynamoDB: the dynoxide engine, called in process.

mod capacity;
mod engine;
mod errors;
mod recovery;
mod tokens;
mod unprocessed;

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use dynoxide::Database;
use http::{HeaderValue, StatusCode, header};
use tokio::sync::Mutex;
use tokio::task::spawn_blocking;

use crate::clock;
use crate::dynamodb::engine::Engine;
use crate::dynamodb::unprocessed::PartialBatch;
use crate::faults::Fault;
use crate::folder::Folder;
use crate::http::endpoint::{Api, Completion, Request, Response};
use crate::identifier;
use crate::start_error::StartError;
use crate::usage::{Meter, Units, count};

/// The DynamoDB endpoint.
pub(crate) struct DynamoDb {
    /// Performs one request at a time. Requests wait at this asynchronous lock instead of the
    /// database's lock, so they block no threads that the other services need.
    tables: Arc<Mutex<Tables>>,
    in_memory: bool,
    meter: Arc<Meter>,
}

/// The tables, and the meter of the operations on them.
struct Tables {
    engine: Engine,
    meter: Arc<Meter>,
    /// Keeps the folder locked while the database is open.
    _folder: Option<Arc<Folder>>,
}

impl DynamoDb {
    /// Opens the tables in memory, or in an SQLite file if there is a folder.
    pub(crate) fn open(folder: Option<Arc<Folder>>, meter: Arc<Meter>) -> Result<Self, StartError> {
        let path = folder.as_ref().map(|folder| folder.file("dynamodb.sqlite"));
        let database = match &path {
            None => Database::memory(),
            Some(path) => open_file(path),
        };
        let database =
            database.map_err(|error| StartError::File { path: path.unwrap_or_default(), cause: error.into() })?;
        let in_memory = folder.is_none();
        let tables = Tables { engine: Engine::new(database), meter: Arc::clone(&meter), _folder: folder };
        Ok(Self { tables: Arc::new(Mutex::new(tables)), in_memory, meter })
    }
}

fn open_file(path: &Path) -> dynoxide::Result<Database> {
    let database = Database::new(&path.to_string_lossy())?;
    // This sets `synchronous` to NORMAL, and other settings to their defaults. Commits survive the
    // end of the process without an fsync each. Only a failure of the machine would need fsync.
    database.disable_bulk_loading()?;
    Ok(database)
}

/// The header with the operation, of DynamoDB and its streams, for example
/// `DynamoDB_20120810.PutItem`.
const TARGET: &str = "x-amz-target";

impl Api for DynamoDb {
    const MAX_BODY_BYTES: usize = 16 * 1024 * 1024;

    fn operation(&self, request: &Request) -> String {
        request
            .headers()
            .get(TARGET)
            .and_then(|target| target.to_str().ok())
            .filter(|target| target.starts_with("DynamoDB"))
            .and_then(|target| target.split_once("_20120810."))
            .map_or("Unknown", |(_, operation)| operation)
            .to_owned()
    }

    fn can_conflict(&self, operation: &str) -> bool {
        matches!(operation, "PutItem" | "UpdateItem" | "DeleteItem" | "TransactWriteItems" | "TransactGetItems")
    }

    async fn perform(&self, request: Request) -> Response {
        let operation = self.operation(&request);
        let mut tables = Arc::clone(&self.tables).lock_owned().await;
        if self.in_memory {
            return tables.perform(&operation, request.body());
        }
        // Access to the file blocks. Meanwhile the other services need the threads of the runtime.
        let performed = spawn_blocking(move || tables.perform(&operation, request.body())).await;
        performed.unwrap_or_else(|panicked| self.internal_error(&panicked.to_string()))
    }

    fn fault_response(&self, fault: Fault, request: &Request) -> Response {
        let (status, json) = errors::injected(fault, &self.operation(request), request.body());
        response(status, json)
    }

    fn partial(&self, fault: Fault, request: &Request) -> Option<(Request, Completion)> {
        let Fault::Throttled(pick) = fault else { return None };
        let part = PartialBatch::of(&self.operation(request), request.body(), pick)?;
        let mut done = request.clone();
        *done.body_mut() = part.body.clone();
        let complete = |done: Response| match part.complete(done.body()) {
            Some(json) if done.status() == StatusCode::OK => response(StatusCode::OK, json),
            _ => done,
        };
        Some((done, Box::new(complete)))
    }

    fn internal_error(&self, message: &str) -> Response {
        response(
            StatusCode::INTERNAL_SERVER_ERROR,
            errors::body("com.amazonaws.dynamodb.v20120810#InternalServerError", message),
        )
    }

    fn count_request(&self, operation: &str, _bytes_in: u64) {
        self.meter.record(|usage| count(&mut usage.dynamodb.requests, operation));
    }
}

impl Tables {
    fn perform(&mut self, operation: &str, body: &[u8]) -> Response {
        match self.engine.run(clock::now(), operation, body) {
            Ok(done) => {
                self.bill(operation, done.units);
                response(StatusCode::OK, done.json)
            }
            Err(error) => {
                self.bill(operation, capacity::of_failure(&error));
                let status = StatusCode::from_u16(error.status_code());
                response(status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), error.to_json())
            }
        }
    }

    fn bill(&self, operation: &str, units: Units) {
        self.meter.record(|usage| {
            usage.dynamodb.units.add(units);
            match usage.dynamodb.units_by_operation.get_mut(operation) {
                Some(sum) => sum.add(units),
                None => {
                    let operations = &mut usage.dynamodb.units_by_operation;
                    operations.insert(operation.to_owned(), units);
                }
            }
        });
    }
}

fn response(status: StatusCode, json: String) -> Response {
    let mut answer = Response::new(Bytes::from(json));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/x-amz-json-1.0"));
    if let Ok(id) = HeaderValue::from_str(&identifier::unique()) {
        headers.insert("x-amzn-requestid", id);
    }
    answer
}
