//! Services that answer from a script, for tests. They need no network and record every request.

use std::{
    collections::VecDeque,
    sync::{Arc, Mutex},
    time::Duration,
};

use aws_sdk_dynamodb::config::{AsyncSleep, Sleep};
use aws_smithy_runtime_api::{
    client::{
        http::{HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpConnector},
        orchestrator::{HttpRequest, HttpResponse},
        result::ConnectorError,
        runtime_components::RuntimeComponents,
    },
    http::StatusCode,
};
use aws_smithy_types::body::SdkBody;
use serde_json::Value;

/// The answer to one request.
#[derive(Clone, Debug)]
pub(crate) enum Reply {
    /// A response with this status and body.
    With(u16, String),
    /// A response with status 200 and this body, and with this value of `content-length`.
    OfLength(u64, String),
    /// A response with this date, status and body.
    At(&'static str, u16, String),
    /// No response: the connection breaks.
    Broken,
}

impl Reply {
    /// Adds a date of the service to a response.
    pub(crate) fn at(self, date: &'static str) -> Self {
        let Self::With(status, body) = self else { unreachable!("tests add a date only to `With`") };
        Self::At(date, status, body)
    }
}

pub(crate) fn reply(status: u16, body: impl ToString) -> Reply {
    Reply::With(status, body.to_string())
}

/// An error in the format of DynamoDB and SQS.
pub(crate) fn refusal(status: u16, code: &str) -> Reply {
    reply(status, format_args!(r#"{{"__type":"com.amazonaws#{code}","message":"the reason"}}"#))
}

/// An error in the format of S3.
pub(crate) fn s3_refusal(status: u16, code: &str) -> Reply {
    reply(status, format_args!("<Error><Code>{code}</Code><Message>the reason</Message></Error>"))
}

/// A recorded request.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    pub(crate) path: String,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap()
    }
}

/// An HTTP client that follows a script. It panics when a request comes after the end of the
/// script.
#[derive(Clone, Debug)]
pub(crate) struct Script {
    replies: Arc<Mutex<VecDeque<Reply>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
    connect_timeouts: Arc<Mutex<Vec<Option<Duration>>>>,
}

impl Script {
    pub(crate) fn new(replies: impl IntoIterator<Item = Reply>) -> Self {
        let replies = Arc::new(Mutex::new(replies.into_iter().collect()));
        Self { replies, seen: Arc::default(), connect_timeouts: Arc::default() }
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// The connect timeout of each connection that the SDK asked for.
    pub(crate) fn connect_timeouts(&self) -> Vec<Option<Duration>> {
        self.connect_timeouts.lock().unwrap().clone()
    }

    fn answer(&self, request: &HttpRequest) -> Result<HttpResponse, ConnectorError> {
        let headers = request.headers().iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        let (method, path) = (request.method().to_owned(), request.uri().to_owned());
        self.seen.lock().unwrap().push(Seen { method, path, headers, body });
        match self.replies.lock().unwrap().pop_front().expect("the script has no more answers") {
            Reply::With(status, body) => {
                Ok(HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body)))
            }
            Reply::OfLength(length, body) => {
                let mut response = HttpResponse::new(StatusCode::try_from(200).unwrap(), SdkBody::from(body));
                response.headers_mut().insert("content-length", length.to_string());
                Ok(response)
            }
            Reply::At(date, status, body) => {
                let mut response = HttpResponse::new(StatusCode::try_from(status).unwrap(), SdkBody::from(body));
                response.headers_mut().insert("date", date);
                Ok(response)
            }
            Reply::Broken => Err(ConnectorError::io("the connection broke".into())),
        }
    }
}

impl HttpConnector for Script {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        HttpConnectorFuture::ready(self.answer(&request))
    }
}

impl HttpClient for Script {
    fn http_connector(&self, settings: &HttpConnectorSettings, _: &RuntimeComponents) -> SharedHttpConnector {
        self.connect_timeouts.lock().unwrap().push(settings.connect_timeout());
        SharedHttpConnector::new(self.clone())
    }
}

/// A sleep that takes no time, for the SDK's pauses between retries.
#[derive(Debug)]
struct NoSleep;

impl AsyncSleep for NoSleep {
    fn sleep(&self, _: Duration) -> Sleep {
        Sleep::new(std::future::ready(()))
    }
}

macro_rules! client {
    ($name:ident, $sdk:ident $(, $option:ident)?) => {
        /// A client of the scripted service, with the SDK's own retries: up to three tries.
        pub(crate) fn $name(script: &Script) -> $sdk::Client {
            let config = $sdk::Config::builder()
                .behavior_version($sdk::config::BehaviorVersion::latest())
                .region($sdk::config::Region::new("us-east-1"))
                .credentials_provider($sdk::config::Credentials::new("AKIDTEST", "SECRETTEST", None, None, "test"))
                .sleep_impl(NoSleep)
                .http_client(script.clone())
                $(.$option(true))?;
            $sdk::Client::from_conf(config.build())
        }
    };
}

client!(dynamodb, aws_sdk_dynamodb);
client!(s3, aws_sdk_s3, force_path_style);
client!(sqs, aws_sdk_sqs);

/// Runs a future that never really waits.
pub(crate) fn run<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(future)
}

/// Whether the call may have happened, and whether it may be repeated.
pub(crate) fn judged(error: &cloakroom::PortError) -> (bool, bool) {
    (error.may_have_happened(), error.may_be_repeated())
}

/// May have happened, may be repeated.
pub(crate) const OPEN: (bool, bool) = (true, true);
/// Has not happened, may be repeated.
pub(crate) const BUSY: (bool, bool) = (false, true);
/// Has not happened, and must not be repeated.
pub(crate) const REFUSED: (bool, bool) = (false, false);
