//! The table.

use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, KeySchemaElement, KeyType, PointInTimeRecoverySpecification, ScalarAttributeType,
    TableDescription, TableStatus, TimeToLiveSpecification,
};
use cloakroom::{PortError, schema::attribute};

use super::{Change, PAUSE, Provisioning};
use crate::{
    failure::Operation,
    look::{DESCRIBE, DESCRIBE_EXPIRY},
    store::target,
};

const CREATE: Operation = Operation::repeatedly("CreateTable", "dynamodb:CreateTable");
const SET_EXPIRY: Operation = Operation::repeatedly("UpdateTimeToLive", "dynamodb:UpdateTimeToLive");
const SET_BACKUPS: Operation = Operation::repeatedly("UpdateContinuousBackups", "dynamodb:UpdateContinuousBackups");

/// Looks at a table that is being made; there is one a second.
const LOOKS_MAX: u32 = 120;

const KEYS: [(&str, KeyType); 2] = [(attribute::PARTITION, KeyType::Hash), (attribute::SORT, KeyType::Range)];

impl Provisioning {
    fn table(&self) -> &str {
        &self.aws.settings.table
    }

    fn target(&self) -> String {
        target(self.table())
    }

    pub(super) async fn table_changes(&self) -> Result<Vec<Change>, PortError> {
        let table = self.table().to_owned();
        let description = self.aws.table().await?;
        let is_there = match &description {
            Some(description) => {
                check_keys(&self.target(), description)?;
                description.table_status() != Some(&TableStatus::Creating)
            }
            None => false,
        };
        let mut changes = Vec::new();
        if description.is_none() {
            changes.push(Change::CreateTable { table: table.clone() });
        }
        if !is_there || !self.items_expire().await? {
            changes.push(Change::ExpireItems { table: table.clone() });
        }
        if self.settings.point_in_time_recovery && (!is_there || !self.aws.is_recoverable().await?) {
            changes.push(Change::KeepRecoverable { table });
        }
        Ok(changes)
    }

    async fn items_expire(&self) -> Result<bool, PortError> {
        match self.aws.expiry_attribute().await? {
            Some(other) if other != attribute::EXPIRES => {
                let cause = format!(
                    "time to live is on for attribute `{other}`; Cloakroom needs it for `{}`. Turn it off, or use \
                     another table",
                    attribute::EXPIRES
                );
                Err(PortError::new(DESCRIBE_EXPIRY.on(&self.target()), cause).without_effect().permanent())
            }
            attribute => Ok(attribute.is_some()),
        }
    }

    pub(super) async fn create_table(&self) -> Result<(), PortError> {
        let complete = "names and types are set";
        let mut create = self.aws.dynamodb.create_table().table_name(self.table());
        create = create.billing_mode(BillingMode::PayPerRequest);
        for (name, role) in KEYS {
            let definition =
                AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S).build();
            let key = KeySchemaElement::builder().attribute_name(name).key_type(role).build();
            create = create.attribute_definitions(definition.expect(complete)).key_schema(key.expect(complete));
        }
        create.send().await.map_err(|error| CREATE.failed(&self.target(), error))?;
        self.wait_until_active().await
    }

    /// Waits, for a bounded time, until the table can be used.
    pub(super) async fn wait_until_active(&self) -> Result<(), PortError> {
        let mut status = None;
        for _ in 0..LOOKS_MAX {
            status = self.aws.table().await?.and_then(|table| table.table_status);
            if matches!(status, Some(TableStatus::Active | TableStatus::Updating)) {
                return Ok(());
            }
            self.clock.sleep(PAUSE).await;
        }
        let status = status.as_ref().map_or("not there", TableStatus::as_str);
        let cause = format!("the table is still {status} after {LOOKS_MAX} looks");
        Err(PortError::new(DESCRIBE.on(&self.target()), cause).without_effect())
    }

    pub(super) async fn expire_items(&self) -> Result<(), PortError> {
        self.wait_until_active().await?;
        let expiry = TimeToLiveSpecification::builder().enabled(true).attribute_name(attribute::EXPIRES).build();
        let update = self.aws.dynamodb.update_time_to_live().table_name(self.table());
        let update = update.time_to_live_specification(expiry.expect("both fields are set"));
        update.send().await.map_err(|error| SET_EXPIRY.failed(&self.target(), error))?;
        Ok(())
    }

    pub(super) async fn keep_recoverable(&self) -> Result<(), PortError> {
        self.wait_until_active().await?;
        let recovery = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true).build();
        let update = self.aws.dynamodb.update_continuous_backups().table_name(self.table());
        let update = update.point_in_time_recovery_specification(recovery.expect("the field is set"));
        update.send().await.map_err(|error| SET_BACKUPS.failed(&self.target(), error))?;
        Ok(())
    }
}

/// Demands the keys that Cloakroom writes.
fn check_keys(target: &str, table: &TableDescription) -> Result<(), PortError> {
    let Some(keys) = other_keys(table) else { return Ok(()) };
    let cause = format!(
        "the table has other keys ({keys}); Cloakroom needs the texts `pk` (partition key) and `sk` (sort key). Use \
         another table"
    );
    Err(PortError::new(DESCRIBE.on(target), cause).without_effect().permanent())
}

/// The names of the table's keys, if they are not those that Cloakroom writes.
pub(crate) fn other_keys(table: &TableDescription) -> Option<String> {
    let keys = table.key_schema().iter().map(|key| (key.attribute_name(), key.key_type().clone()));
    let texts = table.attribute_definitions().iter();
    let texts = texts.filter(|definition| definition.attribute_type() == &ScalarAttributeType::S);
    let texts: Vec<&str> = texts.map(AttributeDefinition::attribute_name).collect();
    if keys.eq(KEYS) && KEYS.iter().all(|(name, _)| texts.contains(name)) {
        return None;
    }
    let keys: Vec<&str> = table.key_schema().iter().map(KeySchemaElement::attribute_name).collect();
    Some(keys.join(", "))
}
