//! Checks of the table.

use aws_sdk_dynamodb::types::{BillingMode, TableDescription, TableStatus};
use cloakroom::{
    PortError,
    format::{
        AttributeValue, Item,
        schema::{Key, attribute},
    },
    ports::placement,
};

use crate::{
    admin::{
        diagnosis::{Diagnosis, Problem, Resource, finding::Finding},
        table_schema::{TableSchema, is_usable},
    },
    client::failure::Operation,
    dynamodb::{attributes::item_from_sdk, target},
};

const SCAN: Operation = Operation::read("Scan", "dynamodb:Scan");

/// The number of items that are checked for their layout: one page, which costs almost nothing.
const SAMPLE: i32 = 100;

/// The consequences of problems with a table, as texts for findings.
pub(super) struct Consequences {
    /// Without deletion protection.
    pub(super) deletion: &'static str,
    /// With provisioned capacity.
    pub(super) capacity: &'static str,
    /// If items expire by an attribute that is not Cloakroom's.
    pub(super) foreign_expiry: &'static str,
    /// If items do not expire.
    pub(super) no_expiry: &'static str,
}

const CONSEQUENCES: Consequences = Consequences {
    deletion: "deletion protection is off: a single call can delete the table with all states",
    capacity: "each commit takes two write units for each started KB of state and of record",
    foreign_expiry: "a state with this attribute is deleted together with its version, and messages can be processed \
                     twice",
    no_expiry: "the tombstones of deleted states stay forever, and you pay for their storage",
};

impl Diagnosis {
    pub(super) async fn table_findings(&self) -> Vec<Finding> {
        let schema = self.aws.table_schema();
        let (table, expiry, recoverable, unreadable) = futures::join!(
            self.aws.table(schema.name),
            self.aws.expiry_attribute(schema.name),
            self.aws.is_recoverable(schema.name),
            self.unreadable_item()
        );
        let mut findings = Vec::new();
        match self.answer_of(Resource::Table, table, &mut findings) {
            Some(Some(table)) => findings.extend(self.judge_table(Resource::Table, schema, &CONSEQUENCES, &table)),
            // Every other call about the table failed for the same reason.
            Some(None) => return vec![self.missing(Resource::Table)],
            None => {}
        }
        if let Some(attribute) = self.answer_of(Resource::Table, expiry, &mut findings) {
            findings.extend(self.judge_expiry(Resource::Table, schema, &CONSEQUENCES, attribute.as_deref()));
        }
        if let Some(false) = self.answer_of(Resource::Table, recoverable, &mut findings) {
            let text = "point-in-time recovery is off: data that is overwritten or deleted by mistake cannot be \
                        restored";
            let fix = self.provision(" --point-in-time-recovery");
            findings.push(self.finding(Problem::TableRecoveryOff, Resource::Table, text, fix));
        }
        if let Some(Some(unreadable)) = self.answer_of(Resource::Table, unreadable, &mut findings) {
            let fix = "finish it with the version that wrote it, or give Cloakroom a table in which no other program \
                       writes such keys";
            findings.push(self.finding(Problem::TableLayout, Resource::Table, unreadable, fix));
        }
        findings
    }

    /// Returns the findings about a table, given its description.
    pub(super) fn judge_table(
        &self,
        resource: Resource<'_>,
        schema: TableSchema<'_>,
        consequences: &Consequences,
        table: &TableDescription,
    ) -> Vec<Finding> {
        let finding = |problem, text: String, fix: &str| self.finding(problem, resource, text, fix);
        let (name, options) = (schema.name, &self.options);
        let mut findings = Vec::new();
        let status = table.table_status();
        if !is_usable(status) {
            let text = format!(
                "the table cannot be used now: its status is {}",
                status.map_or("unknown", TableStatus::as_str)
            );
            findings.push(finding(Problem::TableInactive, text, "wait until it is ACTIVE, and run this again"));
        }
        if let Some(keys) = schema.other_keys(table) {
            let text = format!("its keys are not {} but {keys}: Cloakroom cannot read or write it", schema.keys_text);
            let fix = "give Cloakroom another table; `cloakroom provision` creates it";
            findings.push(finding(Problem::TableKeys, text, fix));
        }
        if table.deletion_protection_enabled != Some(true) {
            let fix = format!("`aws dynamodb update-table{options} --table-name {name} --deletion-protection-enabled`");
            findings.push(finding(Problem::TableUnprotected, consequences.deletion.to_owned(), &fix));
        }
        let billing = table.billing_mode_summary().and_then(|summary| summary.billing_mode());
        // A table that was never on demand has no summary.
        let capacity = table.provisioned_throughput().and_then(|throughput| throughput.write_capacity_units());
        if billing.map_or(capacity.unwrap_or(0) > 0, |mode| *mode == BillingMode::Provisioned) {
            let text =
                format!("the table has provisioned capacity: messages above it wait, and {}", consequences.capacity);
            let fix = format!(
                "`aws dynamodb update-table{options} --table-name {name} --billing-mode PAY_PER_REQUEST`, or scale it"
            );
            findings.push(finding(Problem::TableProvisioned, text, &fix));
        }
        findings
    }

    /// Returns the finding about the attribute by which items expire, if there is one. `on` is the
    /// attribute that the table has.
    pub(super) fn judge_expiry(
        &self,
        resource: Resource<'_>,
        schema: TableSchema<'_>,
        consequences: &Consequences,
        on: Option<&str>,
    ) -> Option<Finding> {
        match on {
            Some(attribute) if attribute == schema.expires => None,
            Some(other) => {
                let text = format!(
                    "items expire by attribute `{other}` (not by Cloakroom's): {}",
                    consequences.foreign_expiry
                );
                let (name, options) = (schema.name, &self.options);
                let fix = format!(
                    "`aws dynamodb update-time-to-live{options} --table-name {name} --time-to-live-specification \
                     Enabled=false,AttributeName={other}`, and one hour later {}",
                    self.provision("")
                );
                Some(self.finding(Problem::TableExpiryForeign, resource, text, fix))
            }
            None => {
                let text = format!("time to live is off for `{}`: {}", schema.expires, consequences.no_expiry);
                Some(self.finding(Problem::TableExpiryOff, resource, text, self.provision("")))
            }
        }
    }

    /// Returns a text about an item under a key of Cloakroom's that this version cannot read. It
    /// checks one page of the table.
    async fn unreadable_item(&self) -> Result<Option<String>, PortError> {
        let table = &self.aws.settings.table;
        let scan = self.aws.dynamodb.scan().table_name(table).limit(SAMPLE);
        let output = scan.send().await.map_err(|error| SCAN.failed(&target(table), error))?;
        let items = output.items.unwrap_or_default().into_iter();
        // An attribute type that this library does not know can only be in an item of a handler.
        let mut items = items.filter_map(|item| item_from_sdk(item).ok());
        Ok(items.find_map(|item| unreadable(&item)))
    }
}

/// Returns why this version cannot read an item under a key of Cloakroom's. Returns `None` for a
/// readable item and for an item of a handler. The text contains nothing of the item but its sort
/// key.
fn unreadable(item: &Item) -> Option<String> {
    let Some(AttributeValue::S(key)) = item.get(attribute::SORT) else { return None };
    let begins = |key_of_nothing: Key<'_>| key.starts_with(&key_of_nothing.text());
    if begins(Key::State { endpoint: "" }) && placement::read_state_item("", Some(item.clone())).is_err() {
        return Some(format!(
            "item `{key}` is not a state with a version in `{}`: messages of its partition fail until it is replaced",
            attribute::VERSION
        ));
    }
    let is_record = key.starts_with("outbox#");
    if is_record && placement::read_record_item("", item).is_err() {
        return Some(format!(
            "item `{key}` is not an outbox record in a format that this version knows, so it is not finished"
        ));
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloakroom::format::Record;

    fn item(sort_key: &str, attributes: &[(&str, AttributeValue)]) -> Item {
        let mut item = Item::default();
        item.insert(attribute::SORT.to_owned(), AttributeValue::S(sort_key.to_owned()));
        for (name, value) in attributes {
            item.insert((*name).to_owned(), value.clone());
        }
        item
    }

    #[test]
    fn only_unreadable_items_under_cloakroom_keys_are_reported() {
        let version = |text: &str| (attribute::VERSION, AttributeValue::N(text.to_owned()));
        let record = |text: String| (attribute::RECORD, AttributeValue::S(text));
        let known = Record::default().encode();
        let later = known.replace("\"format\":1", "\"format\":2");
        assert_ne!(known, later);
        for (item, is_unreadable) in [
            (item("state#orders", &[version("7")]), false),
            (item("state#orders", &[]), true),
            (item("line#1", &[]), false),
            (item("outbox#orders#m", &[record(known)]), false),
            (item("outbox#orders#m", &[record(later)]), true),
            (item("outbox#orders#m", &[]), true),
        ] {
            assert_eq!(unreadable(&item).is_some(), is_unreadable, "{item:?}");
        }
    }
}
