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

/// Without `s3:ListBucket`, S3 answers "access denied" for a key that is not there.
const GET: Operation = Operation::read("GetObject", "s3:GetObject and, to tell what is missing, s3:ListBucket");
const CHECK_IN: Operation = Operation::once("PutObject", "s3:PutObject");
const PUT_ENTRY: Operation = Operation::repeatedly("PutObject", "s3:PutObject");
const DELETE: Operation = Operation::repeatedly("DeleteObject", "s3:DeleteObject");

/// Payloads and dedupe entries in one S3 bucket, which has to be Cloakroom's own and not versioned.
///
/// - A payload is checked in with **one** request. A write that comes again after its payload was deleted would
///   bring a processed message back to life, so the SDK's retries are off for it. The HTTP client below the SDK
///   (hyper) repeats a request of its own accord only if the connection was found closed before the first byte
///   of the request was written; it takes the request back from the connection to do so.
/// - Missing is what S3 calls `NoSuchKey`, and nothing else. S3 says so only if `s3:ListBucket` is allowed on
///   the bucket; without it, a missing payload is an error.
/// - A payload of more than [`BYTES_MAX`](Self::BYTES_MAX) bytes, or [another bound](Self::with_bytes_max), is neither checked in
///   nor read: it would have to be held in memory. Its message is parked after `attempts_max`.
/// - Entries expire by the bucket's lifecycle rule, like payloads that nobody refers to.
///   [`Provisioning`](crate::Provisioning) sets it.
///
/// # S3 Express One Zone
///
/// A directory bucket, whose name ends in `--x-s3`, answers within few milliseconds and takes cheaper requests, to which it adds a price
/// for each byte. **It keeps everything in one zone.** A payload that is lost is a message that is lost: if the zone fails for good, so do the
/// messages in flight, and while it fails they wait. Take one where that is borne, and where endpoints run in its zone; never for
/// what comes once and cannot be asked for again.
///
/// The SDK knows such a bucket by its name, and opens sessions for it: endpoints need `s3express:CreateSession` on it in place of all
/// permissions of S3, and a missing payload is told without a further one. It has no versions and is never public, which
/// [`Provisioning`](crate::Provisioning) and [`Diagnosis`](crate::Diagnosis) leave out therefore, and it expires objects by the same lifecycle rule. It
/// lists objects in no order. Each `/` in a key makes a directory: keys of entries have two, and message ids should have none.
/// Before such a bucket takes the place of another one, see [`RoutedPayloads`](cloakroom::ports::RoutedPayloads).
///
/// None of this was run against AWS itself.
///
/// ```no_run
/// # fn example(client: aws_sdk_s3::Client) {
/// let payloads = cloakroom_aws::S3Payloads::new(client, "orders-payloads");
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct S3Payloads {
    pub(crate) client: Client,
    /// SUBTLE: a payload is sent at most once. A repetition that arrives after the receiver's delete would make the message
    /// look unprocessed again (`a_payload_is_sent_once`).
    once: Client,
    bucket: String,
    bytes_max: usize,
}

impl S3Payloads {
    /// The largest payload, in bytes, unless [another bound](Self::with_bytes_max) is set: 64 MiB.
    pub const BYTES_MAX: usize = 64 * 1024 * 1024;

    /// The payloads in this bucket.
    pub fn new(client: Client, bucket: impl Into<String>) -> Self {
        let once = unretried::s3(&client);
        Self { client, once, bucket: bucket.into(), bytes_max: Self::BYTES_MAX }
    }

    /// The same store, with another bound for the bytes of a payload. A worker holds as many payloads in memory as it has messages in flight.
    #[must_use]
    pub fn with_bytes_max(self, bytes_max: usize) -> Self {
        Self { bytes_max, ..self }
    }

    pub(crate) fn target(&self) -> String {
        target(&self.bucket)
    }

    /// The object, its body not yet read.
    async fn get(&self, key: Key<'_>) -> Result<Option<GetObjectOutput>, PortError> {
        match self.client.get_object().bucket(&self.bucket).key(key.text()).send().await {
            Ok(output) => Ok(Some(output)),
            Err(error) if is_no_such_key(&error) => Ok(None),
            Err(error) => Err(GET.failed(&self.target(), error)),
        }
    }

    /// Reads a body of at most `bytes_max` bytes.
    ///
    /// SUBTLE: counted while it is read, too. `Content-Length` is what the other side says
    /// (`payload_that_is_larger_than_it_says_is_not_read_to_its_end`).
    async fn read_body(&self, claim: &Claim, object: GetObjectOutput) -> Result<Bytes, PortError> {
        let told = object.content_length.and_then(|bytes| usize::try_from(bytes).ok()).unwrap_or_default();
        self.check_size(&GET, claim, told)?;
        let broken = |error| PortError::new(GET.on(&self.target()), error).without_effect().public();
        let (mut body, mut stream) = (BytesMut::with_capacity(told), object.body);
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
            "the payload has {bytes} bytes or more, and at most {bytes_max} are held in memory: send less, or raise \
             `payload_bytes_max`"
        );
        Err(PortError::new(what, cause).without_effect().caused_by_data().public_without(claim))
    }
}

/// Whether a bucket of this name is a directory bucket, of S3 Express One Zone.
pub(crate) fn is_directory(bucket: &str) -> bool {
    bucket.ends_with("--x-s3")
}

pub(crate) fn target(bucket: &str) -> String {
    format!("bucket `{bucket}`")
}

/// SUBTLE: by the code, not by the status. A bucket that does not exist answers with 404, too, and everything in
/// it would pass for processed (`a_missing_bucket_is_an_error`).
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
        let put = self.once.put_object().bucket(&self.bucket).key(key).content_type("application/json");
        let extra = Bounded::<dyn PayloadStore>::upload_time(payload.len());
        let put = put.body(ByteStream::from(payload));
        // An override costs time: a small payload goes without.
        let is_small = extra < Duration::from_secs(1);
        let timeouts = if is_small { None } else { timeouts::raised(self.once.config().timeout_config(), extra) };
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
        // A repetition that comes late finds nothing: claims are never used again.
        let delete = self.client.delete_object().bucket(&self.bucket).key(Key::Payload { claim }.text());
        match delete.send().await {
            Err(error) if !is_no_such_key(&error) => Err(DELETE.failed(&self.target(), error)),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    async fn has_entry(&self, endpoint: &str, message: &MessageId) -> Result<bool, PortError> {
        // SUBTLE: GET, not HEAD. An answer to HEAD has no body, hence no code: it is a bare 404 for a missing
        // bucket as for a missing entry. "No entry" means "not processed", so a wrong bucket would let every
        // message be processed twice (`a_missing_bucket_is_an_error`). Entries are empty; both cost the same.
        Ok(self.get(Key::Entry { endpoint, message }).await?.is_some())
    }

    async fn put_entry(&self, endpoint: &str, message: &MessageId) -> Result<(), PortError> {
        let key = Key::Entry { endpoint, message }.text();
        let put = self.client.put_object().bucket(&self.bucket).key(key).if_none_match("*");
        match put.body(ByteStream::from_static(b"")).send().await {
            // It is there already, perhaps by an earlier try of this very call.
            Err(error) if status(&error) == Some(412) => Ok(()),
            Err(error) => Err(PUT_ENTRY.failed(&self.target(), error)),
            Ok(_) => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
