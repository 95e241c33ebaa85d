//! What is in a bucket of payloads, for operators.

use cloakroom::{PortError, Timestamp, format::Claim};

use crate::{
    client::{failure::Operation, timeouts},
    s3::payloads::S3Payloads,
};

const LIST: Operation = Operation::read("ListObjectsV2", "s3:ListBucket");

/// A payload, as the bucket lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedPayload {
    /// Its claim.
    pub claim: Claim,
    /// Its size.
    pub bytes: u64,
    /// When it was checked in, by the clock of S3.
    pub checked_in: Timestamp,
}

/// Up to a thousand objects of a bucket.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PayloadPage {
    /// The payloads among them, by claim. The others are dedupe entries.
    pub payloads: Vec<ListedPayload>,
    /// How many objects there are in the page.
    pub objects: u64,
    /// Where the listing goes on; none at its end.
    pub next: Option<String>,
}

impl S3Payloads {
    /// Lists a page of the bucket, from the beginning or from the `next` of the page before. Of a payload that is there all the time
    /// it is certain that it is listed; of others it is not.
    ///
    /// # Errors
    /// The bucket does not exist, or may not be listed.
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
            // Entries have a `/` in their key, and claims have none.
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
