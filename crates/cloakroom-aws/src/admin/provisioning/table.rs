//! The table, and that of small payloads.

use aws_sdk_dynamodb::types::{
    BillingMode, PointInTimeRecoverySpecification, TableDescription, TableStatus, TimeToLiveSpecification,
};
use cloakroom::PortError;

use crate::{
    admin::{
        describe::{DESCRIBE, DESCRIBE_EXPIRY},
        provisioning::{PAUSE, Provisioning, change::Change},
        table_schema::{TableForm, is_usable},
    },
    client::failure::Operation,
};

const CREATE: Operation = Operation::repeatedly("CreateTable", "dynamodb:CreateTable");
const SET_EXPIRY: Operation = Operation::repeatedly("UpdateTimeToLive", "dynamodb:UpdateTimeToLive");
const SET_BACKUPS: Operation = Operation::repeatedly("UpdateContinuousBackups", "dynamodb:UpdateContinuousBackups");

/// Looks at a table that is being made; there is one a second.
const LOOKS_MAX: u32 = 120;

impl Provisioning {
    /// What the table that is called so must be like.
    fn form(&self, table: &str) -> TableForm<'_> {
        let mut forms = self.aws.table_forms();
        forms.find(|form| form.name == table).expect("changes are planned for the tables that are set")
    }

    pub(super) async fn table_changes(&self) -> Result<Vec<Change>, PortError> {
        let mut changes = Vec::new();
        for form in self.aws.table_forms() {
            changes.extend(self.changes_of(form).await?);
        }
        Ok(changes)
    }

    async fn changes_of(&self, form: TableForm<'_>) -> Result<Vec<Change>, PortError> {
        let table = form.name.to_owned();
        let description = self.aws.table(form.name).await?;
        let is_there = match &description {
            Some(description) => {
                check_keys(form, description)?;
                description.table_status() != Some(&TableStatus::Creating)
            }
            None => false,
        };
        let mut changes = Vec::new();
        if description.is_none() {
            changes.push(Change::CreateTable { table: table.clone() });
        }
        if !is_there || !self.items_expire(form).await? {
            changes.push(Change::ExpireItems { table: table.clone() });
        }
        let is_wanted = self.settings.point_in_time_recovery && form.can_be_restored;
        if is_wanted && (!is_there || !self.aws.is_recoverable(form.name).await?) {
            changes.push(Change::KeepRecoverable { table });
        }
        Ok(changes)
    }

    async fn items_expire(&self, form: TableForm<'_>) -> Result<bool, PortError> {
        match self.aws.expiry_attribute(form.name).await? {
            Some(other) if other != form.expires => {
                let cause = format!(
                    "time to live is on for attribute `{other}`; Cloakroom needs it for `{}`. Turn it off, or use \
                     another table",
                    form.expires
                );
                Err(PortError::new(DESCRIBE_EXPIRY.on(&form.target()), cause).without_effect().permanent())
            }
            attribute => Ok(attribute.is_some()),
        }
    }

    pub(super) async fn create_table(&self, table: &str) -> Result<(), PortError> {
        let form = self.form(table);
        let (definitions, keys) = form.key_schema();
        let create = self.aws.dynamodb.create_table().table_name(table).billing_mode(BillingMode::PayPerRequest);
        let create = create.set_attribute_definitions(Some(definitions)).set_key_schema(Some(keys));
        create.send().await.map_err(|error| CREATE.failed(&form.target(), error))?;
        self.wait_until_active(form).await
    }

    /// Waits, for a bounded time, until every table can be used.
    pub(super) async fn wait_until_all_are_active(&self) -> Result<(), PortError> {
        for form in self.aws.table_forms() {
            self.wait_until_active(form).await?;
        }
        Ok(())
    }

    async fn wait_until_active(&self, form: TableForm<'_>) -> Result<(), PortError> {
        let mut status = None;
        for _ in 0..LOOKS_MAX {
            status = self.aws.table(form.name).await?.and_then(|table| table.table_status);
            if is_usable(status.as_ref()) {
                return Ok(());
            }
            self.clock.sleep(PAUSE).await;
        }
        let status = status.as_ref().map_or("not there", TableStatus::as_str);
        let cause = format!("the table is still {status} after {LOOKS_MAX} looks");
        Err(PortError::new(DESCRIBE.on(&form.target()), cause).without_effect())
    }

    pub(super) async fn expire_items(&self, table: &str) -> Result<(), PortError> {
        let form = self.form(table);
        self.wait_until_active(form).await?;
        let expiry = TimeToLiveSpecification::builder().enabled(true).attribute_name(form.expires).build();
        let update = self.aws.dynamodb.update_time_to_live().table_name(table);
        let update = update.time_to_live_specification(expiry.expect("both fields are set"));
        update.send().await.map_err(|error| SET_EXPIRY.failed(&form.target(), error))?;
        Ok(())
    }

    pub(super) async fn keep_recoverable(&self, table: &str) -> Result<(), PortError> {
        let form = self.form(table);
        self.wait_until_active(form).await?;
        let recovery = PointInTimeRecoverySpecification::builder().point_in_time_recovery_enabled(true).build();
        let update = self.aws.dynamodb.update_continuous_backups().table_name(table);
        let update = update.point_in_time_recovery_specification(recovery.expect("the field is set"));
        update.send().await.map_err(|error| SET_BACKUPS.failed(&form.target(), error))?;
        Ok(())
    }
}

/// Demands the keys that Cloakroom writes.
fn check_keys(form: TableForm<'_>, table: &TableDescription) -> Result<(), PortError> {
    let Some(keys) = form.other_keys(table) else { return Ok(()) };
    let cause = format!("the table has other keys ({keys}); Cloakroom needs {}. Use another table", form.keys_told);
    Err(PortError::new(DESCRIBE.on(&form.target()), cause).without_effect().permanent())
}
