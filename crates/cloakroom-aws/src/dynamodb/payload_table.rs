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
/// What a claim's item has beside the payload: three names of one letter, a key of 16 bytes, and eight digits at most.
const ITEM_BYTES: usize = 3 + 16 + 5;

/// Payloads and dedupe entries in one DynamoDB table of Cloakroom's own, which has the binary key `k` and `x` as time to live.
///
/// Up to [`CHEAPER_BYTES_MAX`](Self::CHEAPER_BYTES_MAX) a payload costs less here than in a bucket. Larger ones belong in a
/// bucket: [`RoutedPayloads`](cloakroom::ports::RoutedPayloads) makes one store of the two, and
/// [`AwsSettings::payload_table`](crate::AwsSettings::payload_table) does so for all [ports](crate::Aws::ports).
///
/// - Reads are strongly consistent.
/// - A payload is checked in with **one** request. A write that comes again after its payload was deleted would
///   bring a processed message back to life, so the SDK's retries are off for it.
/// - Items expire by the time to live that is written into them, 50 days from now by this machine's clock: at the end
///   of that day, and DynamoDB takes its time. It must be longer than
///   [what messages need](crate::ProvisioningSettings::expiry_days).
/// - Only its own claims are taken, as [`Claim::from_random`] makes them. Any other is an error, never a missing payload.
/// - The table must not be restored to an earlier second, nor be replicated to another region: either brings payloads of processed
///   messages back.
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

/// Those that are made of calls that happen at the same time.
#[derive(Debug)]
struct Requests {
    reads: Reads,
    /// SUBTLE: a payload is sent at most once. A repetition that arrives after the receiver's delete would make the message
    /// look unprocessed again (`a_small_payload_is_sent_once`).
    check_ins: Writes,
    /// What may be repeated: deletions of claims, which are never used again, and entries, which stay.
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
    /// The largest payload that an item of 400 KB can hold, in bytes.
    pub const BYTES_MAX: usize = 400 * 1024 - ITEM_BYTES;

    /// The largest payload, in bytes, that costs less in a table than in a bucket at the list prices of us-east-1: it fills four write units. See
    /// [`cheaper_bytes_max`](Self::cheaper_bytes_max).
    // The price file says so, too; it belongs to another crate.
    pub const CHEAPER_BYTES_MAX: usize = 4 * 1024 - ITEM_BYTES;

    /// The payloads in this table.
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        let (table, ttl) = (table.into(), Duration::from_secs(u64::from(payload_ttl_days()) * DAY_S));
        let requests = Requests::new(&client, &table, WRITES_MAX);
        Self { client, table, ttl, clock: Arc::new(TokioClock), requests }
    }

    /// The same store, with another time to live than 50 days.
    #[must_use]
    pub fn with_ttl(self, ttl: Duration) -> Self {
        Self { ttl, ..self }
    }

    /// The same store, on another clock than the machine's.
    #[must_use]
    pub fn with_clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// The same store, with [up to so many items](crate::AwsSettings::items_per_request_max) in a request.
    #[must_use]
    pub fn with_items_per_request_max(self, items: usize) -> Self {
        Self { requests: Requests::new(&self.client, &self.table, items), ..self }
    }

    /// The largest payload, in bytes, that costs less in a table than in a bucket, [at these prices](Prices::small_payload_bytes_max).
    /// 0 if it is never cheaper.
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

    /// The key of a claim's item.
    ///
    /// SUBTLE: a claim of another form, or of another store, must not pass for a missing payload
    /// (`a_claim_that_is_not_its_own_is_an_error`).
    fn key_of(&self, claim: &Claim) -> Result<ItemKey, PortError> {
        let bits = claim.as_str().strip_suffix(self.table.as_str()).and_then(|rest| rest.strip_suffix('.'));
        let is_digit = |digit: u8| digit.is_ascii_digit() || (b'a'..=b'f').contains(&digit);
        let bits = bits.filter(|bits| bits.len() == 32 && bits.bytes().all(is_digit));
        let key = bits.and_then(|bits| u128::from_str_radix(bits, 16).ok());
        key.map(|key| ItemKey::Payload(key.to_be_bytes().to_vec())).ok_or_else(|| {
            let cause = format!("it is not of this store, whose claims are 32 digits and `.{}`", self.table);
            let what = format!("payload `{claim}` in {}", self.target());
            PortError::new(what, cause).without_effect().caused_by_data().public_without(claim)
        })
    }

    /// The end of the day on which an item that is written now has lived its time.
    fn expires(&self) -> AttributeValue {
        let end = self.clock.now().after(self.ttl).as_secs().next_multiple_of(DAY_S);
        AttributeValue::N(end.to_string())
    }

    async fn get(&self, key: ItemKey) -> Result<Option<Attributes>, PortError> {
        self.requests.reads.read(key, Consistency::Strong).await
    }
}

/// Longer than the key of any claim.
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
                "it has {} bytes, and an item of DynamoDB holds {} at most: keep larger ones in a bucket",
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
                format!("the item of `{claim}` has no bytes in `{}`: it was not written by Cloakroom", attribute::BODY);
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
