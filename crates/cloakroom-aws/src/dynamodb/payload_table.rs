//! Small payloads and dedupe entries in a DynamoDB table.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use aws_sdk_dynamodb::{Client, primitives::Blob, types::AttributeValue};
use bytes::Bytes;
use cloakroom::{
    MessageId, PortError,
    format::{
        Claim,
        schema::{Key, payload_attribute as attribute},
    },
    observe::prices::Prices,
    ports::{Clock, PayloadStore},
    protocol::Consistency,
};

use crate::{
    client::unretried,
    clock::TokioClock,
    dynamodb::{
        items::{
            Attributes, ItemKey, WRITES_MAX,
            reads::Reads,
            writes::{ONCE, REPEATEDLY, Write, Writes},
        },
        target,
    },
    settings::payload_ttl_days,
};

const DAY_S: u64 = 24 * 60 * 60;
/// The bytes of an item without its payload: three names of one letter, a key of 16 bytes, and at
/// most eight digits.
const ITEM_BYTES: usize = 3 + 16 + 5;

/// A store of payloads and dedupe entries in a DynamoDB table of Cloakroom's own, with the binary
/// key `k` and time to live by `x`.
///
/// A payload of at most [`CHEAPER_BYTES_MAX`](Self::CHEAPER_BYTES_MAX) costs less here than in a
/// bucket. Put larger ones into a bucket: [`RoutedPayloads`](cloakroom::ports::RoutedPayloads)
/// combines both stores, and [`AwsSettings::payload_table`](crate::AwsSettings::payload_table) does
/// so for all [ports](crate::Aws::ports).
///
/// - Reads are strongly consistent.
/// - A payload is checked in with **one** request, without the SDK's retries. A retry that arrives
///   after the payload was deleted would make a processed message look unprocessed.
/// - Items expire at the end of the day on which their time to live ends, by this machine's clock.
///   DynamoDB may delete them later. The time to live is written into each item; by default it is
///   50 days. It must be longer than [messages need](crate::ProvisioningSettings::expiry_days).
/// - Only claims of this store are accepted, as [`Claim::from_random`] makes them. Any other claim
///   is an error, and never a missing payload.
/// - Never restore the table to an earlier second, and never replicate it to another region. Both
///   bring payloads of processed messages back.
///
/// ```no_run
/// # fn example(client: aws_sdk_dynamodb::Client, bucket: cloakroom_aws::S3Payloads) -> Result<(), cloakroom::Error> {
/// use std::sync::Arc;
/// use cloakroom::ports::RoutedPayloads;
/// use cloakroom_aws::DynamoPayloads;
///
/// let table = Arc::new(DynamoPayloads::new(client, "orders-small"));
/// let payloads = RoutedPayloads::new(Arc::new(bucket)).small(table, DynamoPayloads::CHEAPER_BYTES_MAX)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct DynamoPayloads {
    client: Client,
    table: String,
    ttl: Duration,
    clock: Arc<dyn Clock>,
    requests: Arc<Requests>,
}

/// Requests that concurrent calls share.
#[derive(Debug)]
struct Requests {
    reads: Reads,
    /// SUBTLE: a payload is sent at most once. (1) A check-in is sent, (2) the receiver processes
    /// the message and deletes the payload, (3) a retry of the check-in arrives. The message would
    /// look unprocessed again (`failed_check_in_to_the_payload_table_is_not_retried_by_the_sdk`).
    check_ins: Writes,
    /// Writes that may be retried: deletions, since claims are never used again, and dedupe
    /// entries, which stay.
    others: Writes,
}

impl Requests {
    fn new(client: &Client, table: &str, entries_max: usize) -> Arc<Self> {
        let clock: Arc<dyn Clock> = Arc::new(TokioClock);
        Arc::new(Self {
            reads: Reads::new(client.clone(), table, entries_max, &clock),
            check_ins: Writes::new(unretried::dynamodb(client), table, ONCE, entries_max, &clock),
            others: Writes::new(client.clone(), table, REPEATEDLY, entries_max, &clock),
        })
    }
}

impl DynamoPayloads {
    /// The largest payload, in bytes, that fits into an item of 400 KB.
    pub const BYTES_MAX: usize = 400 * 1024 - ITEM_BYTES;

    /// The largest payload, in bytes, that costs less in a table than in a bucket at the list
    /// prices of us-east-1: it fills four write units. See
    /// [`cheaper_bytes_max`](Self::cheaper_bytes_max).
    // The price file in another crate implies the same number.
    pub const CHEAPER_BYTES_MAX: usize = 4 * 1024 - ITEM_BYTES;

    /// Creates a store on this table.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        let (table, ttl) = (table.into(), Duration::from_secs(u64::from(payload_ttl_days()) * DAY_S));
        let requests = Requests::new(&client, &table, WRITES_MAX);
        Self { client, table, ttl, clock: Arc::new(TokioClock), requests }
    }

    /// Sets the time to live. Default: 50 days.
    #[must_use]
    pub fn with_ttl(self, ttl: Duration) -> Self {
        Self { ttl, ..self }
    }

    /// Sets the clock. Default: the machine's.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Sets [the maximum number of items](crate::AwsSettings::items_per_request_max) in a request.
    #[must_use]
    pub fn with_items_per_request_max(self, items: usize) -> Self {
        Self { requests: Requests::new(&self.client, &self.table, items), ..self }
    }

    /// Returns the largest payload, in bytes, that costs less in a table than in a bucket,
    /// [at these prices](Prices::small_payload_bytes_max). Returns 0 if it is never cheaper.
    ///
    /// ```
    /// use cloakroom::observe::prices::Prices;
    /// use cloakroom_aws::DynamoPayloads;
    ///
    /// let us_east_1 = DynamoPayloads::cheaper_bytes_max(&Prices::list(None)?);
    /// assert_eq!(us_east_1, DynamoPayloads::CHEAPER_BYTES_MAX);
    /// # Ok::<(), cloakroom::Error>(())
    /// ```
    pub fn cheaper_bytes_max(prices: &Prices) -> usize {
        prices.small_payload_bytes_max().saturating_sub(ITEM_BYTES)
    }

    fn target(&self) -> String {
        target(&self.table)
    }

    /// Returns the key of a claim's item.
    ///
    /// SUBTLE: a claim of another form or of another store has no item here. If it passed for a
    /// missing payload, its message would be treated as processed
    /// (`claim_of_another_store_is_an_error_and_not_a_missing_payload`).
    fn key_of(&self, claim: &Claim) -> Result<ItemKey, PortError> {
        let bits = claim.as_str().strip_suffix(self.table.as_str()).and_then(|rest| rest.strip_suffix('.'));
        let is_digit = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
        let bits = bits.filter(|bits| bits.len() == 32 && bits.bytes().all(is_digit));
        let key = bits.and_then(|bits| u128::from_str_radix(bits, 16).ok());
        key.map(|key| ItemKey::Payload(key.to_be_bytes().to_vec())).ok_or_else(|| {
            let cause =
                format!("the claim belongs to another store; claims of this store are 32 digits and `.{}`", self.table);
            let what = format!("payload `{claim}` in {}", self.target());
            PortError::new(what, cause).without_effect().caused_by_data().public_without(claim)
        })
    }

    /// The end of the day on which the time to live of an item ends that is written now.
    fn expires(&self) -> AttributeValue {
        let end = self.clock.now().after(self.ttl).as_secs().next_multiple_of(DAY_S);
        AttributeValue::N(end.to_string())
    }

    async fn get(&self, key: ItemKey) -> Result<Option<Attributes>, PortError> {
        self.requests.reads.read(key, Consistency::Strong).await
    }
}

/// Returns the key of a dedupe entry. It is longer than the key of any claim.
fn entry_key(endpoint: &str, message: &MessageId) -> ItemKey {
    ItemKey::Payload(format!("entry/{}", Key::Entry { endpoint, message }.text()).into_bytes())
}

#[async_trait]
impl PayloadStore for DynamoPayloads {
    fn name(&self) -> &str {
        &self.table
    }

    async fn check_in(&self, claim: &Claim, payload: Bytes) -> Result<(), PortError> {
        let key = self.key_of(claim)?;
        if payload.len() > Self::BYTES_MAX {
            let cause = format!(
                "it has {} bytes, and an item of DynamoDB holds {} at most; keep larger payloads in a bucket",
                payload.len(),
                Self::BYTES_MAX
            );
            let what = format!("checking payload `{claim}` in to {}", self.target());
            return Err(PortError::new(what, cause).without_effect().caused_by_data().public_without(claim));
        }
        let item = Attributes::from([
            (attribute::BODY.to_owned(), AttributeValue::B(Blob::new(payload))),
            (attribute::EXPIRES.to_owned(), self.expires()),
        ]);
        self.requests.check_ins.write(Write { key, item: Some(item) }).await
    }

    async fn read(&self, claim: &Claim) -> Result<Option<Bytes>, PortError> {
        let Some(mut item) = self.get(self.key_of(claim)?).await? else { return Ok(None) };
        let Some(AttributeValue::B(body)) = item.remove(attribute::BODY) else {
            let cause =
                format!("the item of `{claim}` has no bytes in `{}`, so another program wrote it", attribute::BODY);
            return Err(PortError::new(format!("reading an item of {}", self.target()), cause)
                .without_effect()
                .caused_by_data()
                .public_without(claim));
        };
        Ok(Some(Bytes::from(body.into_inner())))
    }

    async fn delete(&self, claim: &Claim) -> Result<(), PortError> {
        self.requests.others.write(Write { key: self.key_of(claim)?, item: None }).await
    }

    async fn has_entry(&self, endpoint: &str, message: &MessageId) -> Result<bool, PortError> {
        Ok(self.get(entry_key(endpoint, message)).await?.is_some())
    }

    async fn put_entry(&self, endpoint: &str, message: &MessageId) -> Result<(), PortError> {
        let item = Attributes::from([(attribute::EXPIRES.to_owned(), self.expires())]);
        self.requests.others.write(Write { key: entry_key(endpoint, message), item: Some(item) }).await
    }
}

#[cfg(test)]
mod tests;
