//! The SQS endpoint: its JSON protocol, and the queues behind it.

use std::sync::{Arc, Mutex, PoisonError};

use http::header;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tokio::sync::watch;

use crate::clock::{self, Millis};
use crate::faults::{Fault, FaultInjector};
use crate::http::endpoint::{Api, Request, Response};
use crate::journal::{Entries, Journal};
use crate::sqs::error::{self, Error, Kind};
use crate::sqs::queues::Queues;
use crate::sqs::{records, settings};
use crate::usage::{Meter, count};

/// The SQS endpoint. Clones share the queues.
#[derive(Clone)]
pub(crate) struct Sqs {
    queues: Arc<Mutex<Queues>>,
    journal: Arc<Journal>,
    pub(super) injector: Arc<FaultInjector>,
    pub(super) meter: Arc<Meter>,
    pub(super) stop: watch::Receiver<bool>,
}

/// The JSON of a successful response.
pub(super) struct Answer {
    json: String,
    /// Bytes of messages in the request or the response, for billing.
    carried: usize,
}

impl Answer {
    pub(super) fn new(body: &impl Serialize) -> Self {
        // All answers are structures with string keys, which can always be serialized as JSON.
        let json = serde_json::to_string(body).unwrap_or_else(|_| "{}".into());
        Self { json, carried: 0 }
    }

    pub(super) fn empty() -> Self {
        Self { json: "{}".into(), carried: 0 }
    }

    pub(super) fn carrying(self, bytes: usize) -> Self {
        Self { carried: bytes, ..self }
    }
}

/// AWS bills one request for each chunk of this size, rounded up.
const BILLED_CHUNK: usize = 64 * 1024;

impl Sqs {
    /// Opens the queues from the journal, and resumes the move tasks that were running.
    pub(crate) fn open(
        journal: Arc<Journal>,
        entries: &Entries,
        injector: Arc<FaultInjector>,
        meter: Arc<Meter>,
        stop: watch::Receiver<bool>,
        cooldowns: bool,
    ) -> Result<Self, String> {
        let mut queues = records::load(entries, journal.is_durable())?;
        queues.cooldowns = cooldowns;
        let sqs = Self { queues: Arc::new(Mutex::new(queues)), journal, injector, meter, stop };
        sqs.resume_move_tasks();
        Ok(sqs)
    }

    /// Runs `work` on the queues, and records its changes in the order in which they were made.
    pub(super) fn change<T>(&self, work: impl FnOnce(&mut Queues, Millis) -> T) -> T {
        let mut queues = self.queues.lock().unwrap_or_else(PoisonError::into_inner);
        let outcome = work(&mut queues, clock::now());
        if self.journal.is_durable() {
            self.journal.record(records::changes(&mut queues));
        }
        outcome
    }

    async fn dispatch(&self, operation: &str, host: &str, body: &[u8]) -> Result<Answer, Error> {
        match operation {
            "SendMessage" => self.send_message(parse(body)?),
            "SendMessageBatch" => self.send_message_batch(parse(body)?),
            "ReceiveMessage" => self.receive_message(parse(body)?).await,
            "DeleteMessage" => self.delete_message(&parse(body)?),
            "DeleteMessageBatch" => self.delete_message_batch(parse(body)?),
            "ChangeMessageVisibility" => self.change_message_visibility(&parse(body)?),
            "ChangeMessageVisibilityBatch" => self.change_message_visibility_batch(parse(body)?),
            "CreateQueue" => self.create_queue(host, parse(body)?),
            "DeleteQueue" => self.delete_queue(&parse(body)?),
            "GetQueueUrl" => self.get_queue_url(host, &parse(body)?),
            "ListQueues" => self.list_queues(host, &parse(body)?),
            "GetQueueAttributes" => self.get_queue_attributes(&parse(body)?),
            "SetQueueAttributes" => self.set_queue_attributes(parse(body)?),
            "PurgeQueue" => self.purge_queue(&parse(body)?),
            "TagQueue" => self.tag_queue(parse(body)?),
            "UntagQueue" => self.untag_queue(&parse(body)?),
            "ListQueueTags" => self.list_queue_tags(&parse(body)?),
            "ListDeadLetterSourceQueues" => self.list_dead_letter_source_queues(host, &parse(body)?),
            "StartMessageMoveTask" => self.start_message_move_task(parse(body)?),
            "ListMessageMoveTasks" => self.list_message_move_tasks(&parse(body)?),
            "CancelMessageMoveTask" => self.cancel_message_move_task(&parse(body)?),
            unknown => Err(Kind::UnknownOperation.because(format!(
                "cloakroom-local does not support the operation {unknown}. Requests must use the AWS \
                 JSON protocol, with the operation in the header X-Amz-Target, as in \
                 AmazonSQS.SendMessage."
            ))),
        }
    }

    /// Performs an operation for a client in this process, with the JSON of the protocol. The error
    /// is the message.
    pub(crate) async fn call(&self, operation: &str, request: &Value) -> Result<Value, String> {
        self.count_request(operation, 0);
        let outcome = self.dispatch(operation, "127.0.0.1", request.to_string().as_bytes()).await;
        self.journal.until_durable().await.map_err(|error| format!("the journal cannot be written: {error}"))?;
        let answer = outcome.map_err(|error| error.message)?;
        self.bill(answer.carried);
        serde_json::from_str(&answer.json).map_err(|error| format!("the response cannot be parsed: {error}"))
    }

    /// Bills the bytes that a request or its response carried. The first chunk was billed when the
    /// request arrived.
    fn bill(&self, carried: usize) {
        let more = carried.div_ceil(BILLED_CHUNK).saturating_sub(1) as u64;
        self.meter.record(|usage| usage.sqs.billed_requests += more);
    }
}

fn parse<T: DeserializeOwned>(body: &[u8]) -> Result<T, Error> {
    serde_json::from_slice(body)
        .map_err(|error| Kind::MalformedInput.because(format!("The request cannot be parsed: {error}")))
}

impl Api for Sqs {
    /// Twelve messages of the maximum size. JSON escapes need more space than the text, and a batch
    /// that is too long must get the error of SQS.
    const MAX_BODY_BYTES: usize = 12 * settings::MAX_MESSAGE_BYTES;

    fn operation(&self, request: &Request) -> String {
        let target = request.headers().get("x-amz-target");
        target.and_then(|target| target.to_str().ok()?.strip_prefix("AmazonSQS.")).unwrap_or("Unknown").to_owned()
    }

    async fn perform(&self, request: Request) -> Response {
        let host = request.headers().get(header::HOST);
        let host = host.and_then(|host| host.to_str().ok());
        let operation = self.operation(&request);
        let outcome = self.dispatch(&operation, host.unwrap_or("127.0.0.1"), request.body()).await;
        self.bill(outcome.as_ref().map_or(0, |answer| answer.carried));
        match outcome {
            Ok(answer) => error::respond(answer.json),
            Err(error) => error.response(),
        }
    }

    fn fault_response(&self, fault: Fault, _request: &Request) -> Response {
        let error = match fault {
            Fault::Throttled(_) => {
                Kind::RequestThrottled.because("The request was denied due to request throttling. (injected)")
            }
            Fault::ServerError(pick) if pick % 2 == 1 => Kind::ServiceUnavailable
                .because("The service is unavailable: the request was not performed. (injected)"),
            Fault::ServerError(_) | Fault::TransactionConflict(_) => {
                Kind::InternalError.because("The request was not performed. (injected)")
            }
            Fault::ResponseReplaced | Fault::ResponseDropped | Fault::Silence { .. } => {
                Kind::InternalError.because("The response was lost. (injected)")
            }
        };
        error.response()
    }

    fn internal_error(&self, message: &str) -> Response {
        Kind::InternalError.because(message).response()
    }

    fn count_request(&self, operation: &str, _bytes_in: u64) {
        self.meter.record(|usage| {
            count(&mut usage.sqs.requests, operation);
            usage.sqs.billed_requests += 1;
        });
    }
}
