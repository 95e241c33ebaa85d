//! Payloads and dedupe entries in an S3 bucket.

use std::time::Duration;

use async_trait::async_trait;
use aws_sdk_s3::{Client, config::Config, operation::get_object::GetObjectOutput, primitives::ByteStream};
use bytes::{Bytes, BytesMut};
use cloakroom::{
    MessageId, PortError,
    format::{Claim, schema::Key},
    ports::{Bounded, PayloadStore},
};

use crate::client::{
    failure::{Operation, SdkError, code, status},
    timeouts, unretried,
};

/// Without `s3:ListBucket`, S3 answers "access denied" for a missing key.
const GET: Operation = Operation::read("GetObject", "s3:GetObject and, to recognise missing payloads, s3:ListBucket");
const CHECK_IN: Operation = Operation::once("PutObject", "s3:PutObject");
const PUT_ENTRY: Operation = Operation::repeatedly("PutObject", "s3:PutObject");
const DELETE: Operation = Operation::repeatedly("DeleteObject", "s3:DeleteObject");

/// A store of payloads and dedupe entries in an S3 bucket of Cloakroom's own, without versioning.
///
/// - A payload is checked in with **one** request, without the SDK's retries. A retry that arrives
///   after the payload was deleted would make a processed message look unprocessed. The HTTP client
///   below the SDK (hyper) repeats a request by itself only if its connection was closed before the
///   first byte of the request was written. To do so it takes the request back from the connection.
/// - A payload is missing only if S3 answers `NoSuchKey`. S3 does so only if `s3:ListBucket` is
///   allowed on the bucket. Without that permission, a missing payload is an error.
/// - A payload of more than [`BYTES_MAX`](Self::BYTES_MAX) bytes, or
///   [another limit](Self::with_bytes_max), is neither checked in nor read, because it would be
///   held in memory. Its message is parked after `attempts_max`.
/// - Dedupe entries expire by the bucket's lifecycle rule, like payloads without a message.
///   [`Provisioning`](crate::Provisioning) sets the rule.
///
/// # S3 Express One Zone
///
/// A directory bucket, whose name ends in `--x-s3`, answers within a few milliseconds. Its requests
/// are cheaper, with an additional price for each byte. **It keeps all data in one zone.** If a
/// payload is lost, its message is lost. So if the zone fails permanently, all messages in flight
/// are lost, and while it fails they wait. Use a directory bucket only where that is acceptable and
/// where endpoints run in its zone. Never use it for messages that cannot be sent again.
///
/// The SDK recognises such a bucket by its name, and opens sessions for it. Endpoints need
/// `s3express:CreateSession` on it instead of all other permissions of S3, also to recognise
/// missing payloads. It has no versions and is never public, so
/// [`Provisioning`](crate::Provisioning) and [`Diagnosis`](crate::Diagnosis) skip these checks. Its
/// objects expire by the same lifecycle rule. It lists objects in no order. Each `/` in a key makes
/// a directory: keys of dedupe entries have two, and message ids should have none. Before you
/// replace another bucket by a directory bucket, read
/// [`RoutedPayloads`](cloakroom::ports::RoutedPayloads).
///
/// This was not tested against AWS itself.
///
/// ```no_run
/// # fn example(client: aws_sdk_s3::Client) {
/// let payloads = cloakroom_aws::S3Payloads::new(client, "orders-payloads");
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct S3Payloads {
    pub(crate) client: Client,
    /// SUBTLE: a payload is sent at most once. (1) A check-in is sent, (2) the receiver processes
    /// the message and deletes the payload, (3) a retry of the check-in arrives. The message would
    /// look unprocessed again (`failed_check_in_to_the_bucket_is_not_retried_by_the_sdk`).
    unretried: Client,
    bucket: String,
    bytes_max: usize,
}

impl S3Payloads {
    /// The largest payload, in bytes, unless [another limit](Self::with_bytes_max) is set: 64 MiB.
    pub const BYTES_MAX: usize = 64 * 1024 * 1024;

    /// Creates a store on this bucket.
    pub fn new(client: Client, bucket: impl Into<String>) -> Self {
        let unretried = unretried::s3(&client);
        Self { client, unretried, bucket: bucket.into(), bytes_max: Self::BYTES_MAX }
    }

    /// Sets the largest payload, in bytes. A worker holds the payloads of all messages in flight in
    /// memory.
    #[must_use]
    pub fn with_bytes_max(self, bytes_max: usize) -> Self {
        Self { bytes_max, ..self }
    }

    pub(crate) fn target(&self) -> String {
        target(&self.bucket)
    }

    /// Returns the object before its body is read.
    async fn get(&self, key: Key<'_>) -> Result<Option<GetObjectOutput>, PortError> {
        match self.client.get_object().bucket(&self.bucket).key(key.text()).send().await {
            Ok(output) => Ok(Some(output)),
            Err(error) if is_no_such_key(&error) => Ok(None),
            Err(error) => Err(GET.failed(&self.target(), error)),
        }
    }

    /// Reads a body of at most `bytes_max` bytes.
    ///
    /// SUBTLE: the bytes are also counted while they are read, because `Content-Length` may be
    /// wrong. Otherwise a body could fill the memory
    /// (`payload_larger_than_its_content_length_is_read_only_to_the_limit`).
    async fn read_body(&self, claim: &Claim, object: GetObjectOutput) -> Result<Bytes, PortError> {
        let announced = object.content_length.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default();
        self.check_size(&GET, claim, announced)?;
        let broken = |error| PortError::new(GET.on(&self.target()), error).without_effect().public();
        let (mut body, mut stream) = (BytesMut::with_capacity(announced), object.body);
        while let Some(part) = stream.try_next().await.map_err(broken)? {
            self.check_size(&GET, claim, body.len() + part.len())?;
            body.extend_from_slice(&part);
        }
        Ok(body.freeze())
    }

    fn check_size(&self, operation: &Operation, claim: &Claim, bytes: usize) -> Result<(), PortError> {
        let bytes_max = self.bytes_max;
        if bytes <= bytes_max {
            return Ok(());
        }
        let what = format!("{} for payload `{claim}`", operation.on(&self.target()));
        let cause = format!(
            "the payload has {bytes} bytes or more, and at most {bytes_max} are allowed; send less, or raise \
             `payload_bytes_max`"
        );
        Err(PortError::new(what, cause).without_effect().caused_by_data().public_without(claim))
    }
}

/// Whether a bucket with this name is a directory bucket of S3 Express One Zone.
pub(crate) fn is_directory(bucket: &str) -> bool {
    bucket.ends_with("--x-s3")
}

pub(crate) fn target(bucket: &str) -> String {
    format!("bucket `{bucket}`")
}

/// SUBTLE: the code decides, not the status. A missing bucket answers with status 404, too, and all
/// of its messages would be treated as processed (`missing_bucket_is_an_error_and_not_a_missing_payload`).
fn is_no_such_key<E: aws_sdk_s3::error::ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    code(error) == Some("NoSuchKey")
}

#[async_trait]
impl PayloadStore for S3Payloads {
    fn name(&self) -> &str {
        &self.bucket
    }

    async fn check_in(&self, claim: &Claim, payload: Bytes) -> Result<(), PortError> {
        self.check_size(&CHECK_IN, claim, payload.len())?;
        let key = Key::Payload { claim }.text();
        let put = self.unretried.put_object().bucket(&self.bucket).key(key).content_type("application/json");
        let extra = Bounded::<dyn PayloadStore>::upload_time(payload.len());
        let put = put.body(ByteStream::from(payload));
        // An override takes time, so a small payload is sent without one.
        let is_small = extra < Duration::from_secs(1);
        let timeouts = if is_small { None } else { timeouts::raised(self.unretried.config().timeout_config(), extra) };
        let sent = match timeouts {
            None => put.send().await,
            Some(timeouts) => put.customize().config_override(Config::builder().timeout_config(timeouts)).send().await,
        };
        sent.map_err(|error| CHECK_IN.failed(&self.target(), error))?;
        Ok(())
    }

    async fn read(&self, claim: &Claim) -> Result<Option<Bytes>, PortError> {
        let Some(object) = self.get(Key::Payload { claim }).await? else { return Ok(None) };
        self.read_body(claim, object).await.map(Some)
    }

    async fn delete(&self, claim: &Claim) -> Result<(), PortError> {
        // A late retry finds no object, because claims are never used again.
        let delete = self.client.delete_object().bucket(&self.bucket).key(Key::Payload { claim }.text());
        match delete.send().await {
            Err(error) if !is_no_such_key(&error) => Err(DELETE.failed(&self.target(), error)),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn has_entry(&self, endpoint: &str, message: &MessageId) -> Result<bool, PortError> {
        // SUBTLE: GET, not HEAD. The response to HEAD has no body and so no code: it is a plain 404
        // both for a missing bucket and for a missing entry. "No entry" means "not processed", so
        // with a wrong bucket every message would be processed twice
        // (`missing_bucket_is_an_error_and_not_a_missing_payload`). Entries are empty, so both operations cost the same.
        Ok(self.get(Key::Entry { endpoint, message }).await?.is_some())
    }

    async fn put_entry(&self, endpoint: &str, message: &MessageId) -> Result<(), PortError> {
        let key = Key::Entry { endpoint, message }.text();
        let put = self.client.put_object().bucket(&self.bucket).key(key).if_none_match("*");
        match put.body(ByteStream::from_static(b"")).send().await {
            // The entry exists already, possibly from an earlier try of this call.
            Err(error) if status(&error) == Some(412) => Ok(()),
            Err(error) => Err(PUT_ENTRY.failed(&self.target(), error)),
            Ok(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
