//! Listing of the payloads in a bucket, for operators.

use cloakroom::{PortError, Timestamp, format::Claim};

use crate::{
    client::{failure::Operation, timeouts},
    s3::payloads::S3Payloads,
};

const LIST: Operation = Operation::read("ListObjectsV2", "s3:ListBucket");

/// A payload in the listing of a bucket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPayload {
    /// The payload's claim.
    pub claim: Claim,
    /// The payload's size, in bytes.
    pub bytes: u64,
    /// The time of the check-in, by the clock of S3.
    pub checked_in: Timestamp,
}

/// A page of a bucket's listing, with at most a thousand objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PayloadPage {
    /// The payloads in the page, in the order of their claims. Other objects are dedupe entries.
    pub payloads: Vec<ListedPayload>,
    /// The number of objects in the page.
    pub objects: u64,
    /// The start of the next page. `None` if this is the last page.
    pub next: Option<String>,
}

impl S3Payloads {
    /// Returns a page of the bucket, from the start or from `next` of the previous page. Every
    /// payload that exists during the whole listing is listed. A payload that is created or deleted
    /// meanwhile may be listed or not.
    ///
    /// # Errors
    /// The bucket does not exist, or listing it is not allowed.
    pub async fn list(&self, after: Option<String>) -> Result<PayloadPage, PortError> {
        let list = self.client.list_objects_v2().bucket(cloakroom::ports::PayloadStore::name(self));
        let send = list.set_continuation_token(after).send();
        let page = async { send.await.map_err(|error| LIST.failed(&self.target(), error)) };
        let output = timeouts::answer(&LIST, &self.target(), page).await?;
        let objects = output.contents.unwrap_or_default();
        let payload = |object: &aws_sdk_s3::types::Object| {
            let claim = Claim::new(object.key.as_deref()?);
            let checked_in = object.last_modified.and_then(|time| u64::try_from(time.to_millis().ok()?).ok())?;
            let bytes = object.size.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0);
            // Keys of dedupe entries contain a `/`, and claims do not.
            claim.is_well_formed().then(|| ListedPayload {
                claim,
                bytes,
                checked_in: Timestamp::from_millis(checked_in),
            })
        };
        Ok(PayloadPage {
            payloads: objects.iter().filter_map(payload).collect(),
            objects: objects.len() as u64,
            next: output.next_continuation_token,
        })
    }
}

#[cfg(test)]
mod tests;
