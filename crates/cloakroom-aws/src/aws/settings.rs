//! Settings of the table, the bucket and the queues of an endpoint.

use cloakroom::ports::Limits;
use serde::{Deserialize, Serialize};

use crate::{
    dynamodb::{
        items::{READS_MAX, WRITES_MAX},
        payload_table::DynamoPayloads,
    },
    s3::payloads::S3Payloads,
    settings::{
        DEAD_LETTER_RETENTION_S, QueueSettings, RETENTION_S, SettingsError, expiry_days_min, payload_ttl_days, within,
    },
};

/// The table, the bucket and the queues of an endpoint, and how they are used.
///
/// ```
/// let settings: cloakroom_aws::AwsSettings =
///     serde_json::from_str(r#"{ "table": "orders", "bucket": "orders-payloads", "queues": { "prefix": "test-" } }"#)?;
/// settings.validate()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AwsSettings {
    /// The DynamoDB table. Endpoints may share one.
    pub table: String,
    /// The S3 bucket for payloads and dedupe entries. Endpoints may share one, but it must contain
    /// nothing else: all objects in it expire.
    pub bucket: String,
    /// The DynamoDB table for small payloads, if there is one. It must be a table of Cloakroom's
    /// own, which endpoints may share. Claims of messages in flight contain its name, as they
    /// contain that of the bucket. Before you start or stop using it, read "Where payloads are" in
    /// the operations chapter. Default: none; all payloads are in the bucket.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub payload_table: Option<String>,
    /// The largest payload, in bytes, that goes to the payload table. With 0, payloads are only
    /// read there. Default: 4,072, up to which the table is
    /// [cheaper](DynamoPayloads::CHEAPER_BYTES_MAX).
    #[serde(default = "small_payload_bytes_max")]
    pub small_payload_bytes_max: usize,
    /// After how many days the items of the payload table expire. Use the same value as for the
    /// [objects of the bucket](crate::ProvisioningSettings::expiry_days), since messages need both
    /// for the same time. The minimum is 46, the time that queues with Cloakroom's default settings
    /// need. Default: 50.
    #[serde(default = "payload_ttl_days")]
    pub payload_ttl_days: u32,
    /// The largest payload, in bytes, that is checked in or read: 1 MiB to 5 GiB. A worker holds
    /// the payloads of all messages in flight in memory. A message with a larger payload is parked.
    /// Default: 64 MiB.
    #[serde(default = "payload_bytes_max")]
    pub payload_bytes_max: usize,
    /// At most how many concurrent reads of single items, or writes of payloads, share a request to
    /// DynamoDB: 1 to 100, and for writes never more than 25. Sharing does not change the price. It
    /// saves CPU time, and a shared request may take a little longer than one for a single item.
    /// With 1 nothing is shared. Default: 25.
    #[serde(default = "items_per_request_max")]
    pub items_per_request_max: usize,
    /// The names and the use of queues.
    #[serde(default)]
    pub queues: QueueSettings,
    /// The limits of the account.
    #[serde(default)]
    pub limits: Limits,
}

impl AwsSettings {
    /// Creates settings for this table and this bucket, with defaults for all else.
    pub fn new(table: impl Into<String>, bucket: impl Into<String>) -> Self {
        Self {
            table: table.into(),
            bucket: bucket.into(),
            payload_table: None,
            small_payload_bytes_max: small_payload_bytes_max(),
            payload_ttl_days: payload_ttl_days(),
            payload_bytes_max: payload_bytes_max(),
            items_per_request_max: items_per_request_max(),
            queues: QueueSettings::default(),
            limits: Limits::default(),
        }
    }

    /// Checks names and ranges.
    ///
    /// # Errors
    /// The first field that AWS would refuse.
    pub fn validate(&self) -> Result<(), SettingsError> {
        if !(3..=255).contains(&self.table.len()) || !self.table.chars().all(is_table_character) {
            return Err(SettingsError::new("table", &self.table, "3 to 255 letters, digits and `_-.`"));
        }
        self.validate_payload_table()?;
        within("payload_bytes_max", self.payload_bytes_max as u64, MIB, 5 * 1024 * MIB)?;
        within("items_per_request_max", self.items_per_request_max as u64, 1, READS_MAX as u64)?;
        let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        let bucket = &self.bucket;
        let fits = (3..=63).contains(&bucket.len())
            && bucket.chars().all(|c| plain(c) || matches!(c, '-' | '.'))
            && bucket.starts_with(plain)
            && bucket.ends_with(plain);
        if !fits {
            let demand = "3 to 63 lower-case letters, digits and `-.`, a letter or digit at both ends";
            return Err(SettingsError::new("bucket", bucket, demand));
        }
        self.limits.validate().map_err(|error| SettingsError::of_limits(&error))?;
        self.queues.validate()
    }

    fn validate_payload_table(&self) -> Result<(), SettingsError> {
        let payloads_max = DynamoPayloads::BYTES_MAX as u64;
        within("small_payload_bytes_max", self.small_payload_bytes_max as u64, 0, payloads_max)?;
        within("payload_ttl_days", self.payload_ttl_days.into(), payload_ttl_days_min(), 3_650)?;
        let Some(name) = &self.payload_table else { return Ok(()) };
        // The name is part of every claim, and claims should be short.
        if !(3..=64).contains(&name.len()) || !name.chars().all(is_table_character) {
            return Err(SettingsError::new("payload_table", name, "3 to 64 letters, digits and `_-.`"));
        }
        if [&self.table, &self.bucket].contains(&name) {
            let demand = "different from `table` and `bucket`: claims identify a store by its name";
            return Err(SettingsError::new("payload_table", name, demand));
        }
        Ok(())
    }
}

const fn small_payload_bytes_max() -> usize {
    DynamoPayloads::CHEAPER_BYTES_MAX
}

/// The minimum of `payload_ttl_days`. A message whose payload has expired is treated as processed.
fn payload_ttl_days_min() -> u64 {
    expiry_days_min(RETENTION_S, DEAD_LETTER_RETENTION_S)
}

const MIB: u64 = 1024 * 1024;

const fn payload_bytes_max() -> usize {
    S3Payloads::BYTES_MAX
}

pub(crate) const fn items_per_request_max() -> usize {
    WRITES_MAX
}

fn is_table_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field_at_fault(settings: &AwsSettings) -> String {
        settings.validate().map_or_else(|error| error.field().to_owned(), |()| "none".to_owned())
    }

    #[test]
    fn names_within_the_limits_of_aws_are_valid() {
        for (table, bucket) in [("a_B-1.x", "a.b-1"), ("abc", "0ab"), (&*"t".repeat(255), &*"b".repeat(63))] {
            assert_eq!(field_at_fault(&AwsSettings::new(table, bucket)), "none");
        }
    }

    #[test]
    fn invalid_setting_is_an_error_that_names_its_field() {
        for table in ["ab", "a b c", "tisch-ü", &*"t".repeat(256)] {
            assert_eq!(field_at_fault(&AwsSettings::new(table, "bucket")), "table", "{table}");
        }
        for bucket in ["ab", "Bucket", "a_b", "-ab", "ab-", &*"b".repeat(64)] {
            assert_eq!(field_at_fault(&AwsSettings::new("table", bucket)), "bucket", "{bucket}");
        }
        for table in ["ab", "a b c", &*"t".repeat(65), "table", "bucket"] {
            let settings = AwsSettings { payload_table: Some(table.to_owned()), ..AwsSettings::new("table", "bucket") };
            assert_eq!(field_at_fault(&settings), "payload_table", "{table}");
        }
        let new = || AwsSettings::new("table", "bucket");
        let too_large = AwsSettings { small_payload_bytes_max: DynamoPayloads::BYTES_MAX + 1, ..new() };
        assert_eq!(field_at_fault(&too_large), "small_payload_bytes_max");
        for (payload_ttl_days, field) in
            [(0, "payload_ttl_days"), (1, "payload_ttl_days"), (45, "payload_ttl_days"), (46, "none")]
        {
            assert_eq!(field_at_fault(&AwsSettings { payload_ttl_days, ..new() }), field, "{payload_ttl_days} days");
        }
        assert_eq!(field_at_fault(&AwsSettings { payload_bytes_max: 1024, ..new() }), "payload_bytes_max");
        let with = |queues| AwsSettings { queues, ..AwsSettings::new("table", "bucket") };
        let prefix = QueueSettings { prefix: "a.".to_owned(), ..QueueSettings::default() };
        assert_eq!(field_at_fault(&with(prefix)), "queues.prefix");
    }

    #[test]
    fn limits_above_the_aws_maximum_are_errors() {
        let limits = Limits { item_bytes_max: 400 * 1024 + 1, ..Limits::default() };
        let error = AwsSettings { limits, ..AwsSettings::new("table", "bucket") }.validate().unwrap_err();
        assert_eq!(error.field(), "limits");
        assert!(error.to_string().contains("`limits.item_bytes_max` is 409601"), "{error}");
    }

    #[test]
    fn misspelt_settings_field_is_an_error() {
        let text = r#"{ "table": "t", "bucket": "b", "queue": {} }"#;
        let error = serde_json::from_str::<AwsSettings>(text).unwrap_err().to_string();
        assert!(error.contains("`queue`"), "{error}");
    }
}
