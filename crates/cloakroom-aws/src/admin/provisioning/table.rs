//! Creation and update of the tables.

use aws_sdk_dynamodb::types::{
    BillingMode, PointInTimeRecoverySpecification, TableDescription, TableStatus, TimeToLiveSpecification,
};
use cloakroom::PortError;

use crate::{
    admin::{
        describe::{DESCRIBE, DESCRIBE_EXPIRY},
        provisioning::{PAUSE, Provisioning, change::Change},
        table_schema::{TableSchema, is_usable},
    },
    client::failure::Operation,
};

const CREATE: Operation = Operation::repeatedly("CreateTable", "dynamodb:CreateTable");
const SET_EXPIRY: Operation = Operation::repeatedly("UpdateTimeToLive", "dynamodb:UpdateTimeToLive");
const SET_BACKUPS: Operation = Operation::repeatedly("UpdateContinuousBackups", "dynamodb:UpdateContinuousBackups");

/// The number of checks whether a new table can be used, one a second.
const CHECKS_MAX: u32 = 120;

impl Provisioning {
    /// The schema of the table with this name.
    fn schema(&self, table: &str) -> TableSchema<'_> {
        let mut schemas = self.aws.table_schemas();
        schemas.find(|schema| schema.name == table).expect("changes are planned for the tables that are set")
    }

    pub(super) async fn table_changes(&self) -> Result<Vec<Change>, PortError> {
        let mut changes = Vec::new();
        for schema in self.aws.table_schemas() {
            changes.extend(self.changes_of(schema).await?);
        }
        Ok(changes)
    }

    async fn changes_of(&self, schema: TableSchema<'_>) -> Result<Vec<Change>, PortError> {
        let table = schema.name.to_owned();
        let description = self.aws.table(schema.name).await?;
        let is_there = match &description {
            Some(description) => {
                check_keys(schema, description)?;
                description.table_status() != Some(&TableStatus::Creating)
            }
            None => false,
        };
        let mut changes = Vec::new();
        if description.is_none() {
            changes.push(Change::CreateTable { table: table.clone() });
        }
        if !is_there || !self.items_expire(schema).await? {
            changes.push(Change::ExpireItems { table: table.clone() });
        }
        let is_wanted = self.settings.point_in_time_recovery && schema.can_be_restored;
        if is_wanted && (!is_there || !self.aws.is_recoverable(schema.name).await?) {
            changes.push(Change::KeepRecoverable { table });
        }
        Ok(changes)
    }

    async fn items_expire(&self, schema: TableSchema<'_>) -> Result<bool, PortError> {
        match self.aws.expiry_attribute(schema.name).await? {
            Some(other) if other != schema.expires => {
                let cause = format!(
                    "time to live is on for attribute `{other}`, but Cloakroom needs it for `{}`. Turn it off, or use \
                     another table",
                    schema.expires
                );
                Err(PortError::new(DESCRIBE_EXPIRY.on(&schema.target()), cause).without_effect().permanent())
            }
            attribute => Ok(attribute.is_some()),
        }
    }

    pub(super) async fn create_table(&self, table: &str) -> Result<(), PortError> {
        let schema = self.schema(table);
        let (definitions, keys) = schema.key_schema();
        let create = self.aws.dynamodb.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
        let create = create.set_attribute_definitions(Some(definitions)).set_key_schema(Some(keys));
        create.send().await.map_err(|error| CREATE.failed(&schema.target(), error))?;
        self.wait_until_active(schema).await
    }

    /// Waits until every table can be used, up to [`CHECKS_MAX`] seconds for each.
    pub(super) async fn wait_until_all_are_active(&self) -> Result<(), PortError> {
        for schema in self.aws.table_schemas() {
            self.wait_until_active(schema).await?;
        }
        Ok(())
    }

    async fn wait_until_active(&self, schema: TableSchema<'_>) -> Result<(), PortError> {
        let mut status = None;
        for _ in 0..CHECKS_MAX {
            status = self.aws.table(schema.name).await?.and_then(|table| table.table_status);
            if is_usable(status.as_ref()) {
                return Ok(());
            }
            self.clock.sleep(PAUSE).await;
        }
        let status = status.as_ref().map_or("not there", TableStatus::as_str);
        let cause = format!("the table is still {status} after {CHECKS_MAX} seconds; run this again");
        Err(PortError::new(DESCRIBE.on(&schema.target()), cause).without_effect())
    }

    pub(super) async fn expire_items(&self, table: &str) -> Result<(), PortError> {
        let schema = self.schema(table);
        self.wait_until_active(schema).await?;
        let expiry = TimeToLiveSpecification::builder().enabled(true).attribute_name(schema.expires).build();
        let update = self.aws.dynamodb.update_time_to_live().table_name(table);
        let update = update.time_to_live_specification(expiry.expect("both fields are set"));
        update.send().await.map_err(|error| SET_EXPIRY.failed(&schema.target(), error))?;
        Ok(())
    }

    pub(super) async fn keep_recoverable(&self, table: &str) -> Result<(), PortError> {
        let schema = self.schema(table);
        self.wait_until_active(schema).await?;
        let recovery = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true).build();
        let update = self.aws.dynamodb.update_continuous_backups().table_name(table);
        let update = update.point_in_time_recovery_specification(recovery.expect("the field is set"));
        update.send().await.map_err(|error| SET_BACKUPS.failed(&schema.target(), error))?;
        Ok(())
    }
}

/// Returns an error if the table does not have the keys that Cloakroom needs.
fn check_keys(schema: TableSchema<'_>, table: &TableDescription) -> Result<(), PortError> {
    let Some(keys) = schema.other_keys(table) else { return Ok(()) };
    let cause = format!("the table has other keys ({keys}); Cloakroom needs {}. Use another table", schema.keys_text);
    Err(PortError::new(DESCRIBE.on(&schema.target()), cause).without_effect().permanent())
}
