//! The table.

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
        diagnosis::{Diagnosis, Place, Problem, finding::Finding},
        table_schema::{TableForm, is_usable},
    },
    client::failure::Operation,
    dynamodb::{attributes::item_from_sdk, target},
};

const SCAN: Operation = Operation::read("Scan", "dynamodb:Scan");

/// Items that are looked at for what is in them: a page that costs next to nothing.
const SAMPLE: i32 = 100;

/// Why it matters what is wrong with a table.
pub(super) struct Matters {
    /// That it can be deleted.
    pub(super) deletion: &'static str,
    /// That it has a capacity.
    pub(super) capacity: &'static str,
    /// That its items expire by an attribute of somebody else's.
    pub(super) foreign_expiry: &'static str,
    /// That they do not expire.
    pub(super) no_expiry: &'static str,
}

const MATTERS: Matters = Matters {
    deletion: "one call deletes the table with everybody's state",
    capacity: "each commit takes two write units for each begun KB of state and of record",
    foreign_expiry: "a state that has it is deleted together with its version, and messages can be processed twice",
    no_expiry: "the tombstones of deleted states stay for ever, and are paid for",
};

impl Diagnosis {
    pub(super) async fn table_findings(&self) -> Vec<Finding> {
        let form = self.aws.table_form();
        let (table, expiry, recoverable, strange) = futures::join!(
            self.aws.table(form.name),
            self.aws.expiry_attribute(form.name),
            self.aws.is_recoverable(form.name),
            self.strange_item()
        );
        let mut findings = Vec::new();
        match self.told(Place::Table, table, &mut findings) {
            Some(Some(table)) => findings.extend(self.judge_table(Place::Table, form, &MATTERS, &table)),
            // Whatever else was asked of it says the same.
            Some(None) => return vec![self.missing(Place::Table)],
            None => {}
        }
        if let Some(attribute) = self.told(Place::Table, expiry, &mut findings) {
            findings.extend(self.judge_expiry(Place::Table, form, &MATTERS, attribute.as_deref()));
        }
        if let Some(false) = self.told(Place::Table, recoverable, &mut findings) {
            let text = "point-in-time recovery is off: what a mistake overwrites or deletes is gone";
            let fix = self.provision(" --point-in-time-recovery");
            findings.push(self.finding(Problem::TableRecoveryOff, Place::Table, text, fix));
        }
        if let Some(Some(strange)) = self.told(Place::Table, strange, &mut findings) {
            let fix = "finish it with the version that wrote it, or give Cloakroom a table that nobody else writes its \
                       keys in";
            findings.push(self.finding(Problem::TableLayout, Place::Table, strange, fix));
        }
        findings
    }

    /// What is amiss with a table as the service describes it.
    pub(super) fn judge_table(
        &self,
        place: Place<'_>,
        form: TableForm<'_>,
        matters: &Matters,
        table: &TableDescription,
    ) -> Vec<Finding> {
        let finding = |problem, text: String, fix: &str| self.finding(problem, place, text, fix);
        let (name, options) = (form.name, &self.options);
        let mut findings = Vec::new();
        let status = table.table_status();
        if !is_usable(status) {
            let text = format!("the table is {}", status.map_or("in no known status", TableStatus::as_str));
            findings.push(finding(Problem::TableInactive, text, "wait until it is ACTIVE, and run this again"));
        }
        if let Some(keys) = form.other_keys(table) {
            let text = format!("its keys are not {} but {keys}: nothing can be read or written", form.keys_told);
            let fix = "give Cloakroom another table; `cloakroom provision` makes it";
            findings.push(finding(Problem::TableKeys, text, fix));
        }
        if table.deletion_protection_enabled != Some(true) {
            let fix = format!("`aws dynamodb update-table{options} --table-name {name} --deletion-protection-enabled`");
            findings.push(finding(Problem::TableUnprotected, matters.deletion.to_owned(), &fix));
        }
        let billing = table.billing_mode_summary().and_then(|summary| summary.billing_mode());
        // A table that was never on demand has no summary.
        let capacity = table.provisioned_throughput().and_then(|throughput| throughput.write_capacity_units());
        if billing.map_or(capacity.unwrap_or(0) > 0, |mode| *mode == BillingMode::Provisioned) {
            let text = format!("the table has a fixed capacity: above it messages wait, and {}", matters.capacity);
            let fix = format!(
                "`aws dynamodb update-table{options} --table-name {name} --billing-mode PAY_PER_REQUEST`, or scale it"
            );
            findings.push(finding(Problem::TableProvisioned, text, &fix));
        }
        findings
    }

    /// What is amiss with the attribute by which items expire.
    pub(super) fn judge_expiry(
        &self,
        place: Place<'_>,
        form: TableForm<'_>,
        matters: &Matters,
        on: Option<&str>,
    ) -> Option<Finding> {
        match on {
            Some(attribute) if attribute == form.expires => None,
            Some(other) => {
                let text = format!("items expire by their attribute `{other}`: {}", matters.foreign_expiry);
                let (name, options) = (form.name, &self.options);
                let fix = format!(
                    "`aws dynamodb update-time-to-live{options} --table-name {name} --time-to-live-specification \
                     Enabled=false,AttributeName={other}`, and an hour later {}",
                    self.provision("")
                );
                Some(self.finding(Problem::TableExpiryForeign, place, text, fix))
            }
            None => {
                let text = format!("time to live is off for `{}`: {}", form.expires, matters.no_expiry);
                Some(self.finding(Problem::TableExpiryOff, place, text, self.provision("")))
            }
        }
    }

    /// What is strange about an item under a key of Cloakroom's, as far as a page of the table tells.
    async fn strange_item(&self) -> Result<Option<String>, PortError> {
        let table = &self.aws.settings.table;
        let scan = self.aws.dynamodb.scan().table_name(table).limit(SAMPLE);
        let output = scan.send().await.map_err(|error| SCAN.failed(&target(table), error))?;
        let items = output.items.unwrap_or_default().into_iter();
        // An attribute that is younger than this library is the handler's affair.
        let mut items = items.filter_map(|item| item_from_sdk(item).ok());
        Ok(items.find_map(|item| strange(&item)))
    }
}

/// What is strange about the item: neither a handler's own, nor one that this version reads. Nothing of what is in it
/// is told.
fn strange(item: &Item) -> Option<String> {
    let Some(AttributeValue::S(key)) = item.get(attribute::SORT) else { return None };
    let begins = |key_of_nothing: Key<'_>| key.starts_with(&key_of_nothing.text());
    if begins(Key::State { endpoint: "" }) && placement::read_state_item("", Some(item.clone())).is_err() {
        return Some(format!(
            "item `{key}` is no state with a version in `{}`: its messages fail, until something writes over it",
            attribute::VERSION
        ));
    }
    let is_record = key.starts_with("outbox#");
    if is_record && placement::read_record_item("", item).is_err() {
        return Some(format!(
            "item `{key}` is no outbox record of a format that this version knows: it is not finished"
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
    fn only_keys_of_ours_with_something_else_in_them_are_strange() {
        let version = |text: &str| (attribute::VERSION, AttributeValue::N(text.to_owned()));
        let record = |text: String| (attribute::RECORD, AttributeValue::S(text));
        let known = Record::default().encode();
        let later = known.replace("\"format\":1", "\"format\":2");
        assert_ne!(known, later);
        for (item, is_strange) in [
            (item("state#orders", &[version("7")]), false),
            (item("state#orders", &[]), true),
            (item("line#1", &[]), false),
            (item("outbox#orders#m", &[record(known)]), false),
            (item("outbox#orders#m", &[record(later)]), true),
            (item("outbox#orders#m", &[]), true),
        ] {
            assert_eq!(strange(&item).is_some(), is_strange, "{item:?}");
        }
    }
}
