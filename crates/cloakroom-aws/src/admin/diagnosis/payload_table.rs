//! The table of small payloads.

use aws_sdk_dynamodb::types::TableDescription;
use cloakroom::PortError;

use crate::admin::{
    diagnosis::{Diagnosis, Place, Problem, finding::Finding, table::Matters},
    table_schema::TableForm,
};

type Look<T> = Result<T, PortError>;

const MATTERS: Matters = Matters {
    deletion: "one call deletes the table with the payloads of all messages in flight, which are lost then",
    capacity: "each payload takes a write unit for each begun KB when it is written, and when it is deleted",
    foreign_expiry: "payloads have none, and so those of attempts that died stay for ever",
    no_expiry: "the payloads of attempts that died stay for ever, and are paid for",
};

/// The answers of all looks at the payload table, and what endpoints must be allowed there and are not.
pub(super) struct PayloadTableLook<'a> {
    form: TableForm<'a>,
    table: Look<Option<TableDescription>>,
    expiry: Look<Option<String>>,
    permissions: Vec<Finding>,
}

impl Diagnosis {
    /// None if no table is set.
    pub(super) async fn look_at_payload_table(&self) -> Option<PayloadTableLook<'_>> {
        let form = self.aws.payload_table_form()?;
        let (table, expiry, permissions) = futures::join!(
            self.aws.table(form.name),
            self.aws.expiry_attribute(form.name),
            self.payload_table_permissions(form.name),
        );
        Some(PayloadTableLook { form, table, expiry, permissions })
    }

    /// `days_min`: how long a payload may be needed, by what the queues keep.
    pub(super) fn payload_table_findings(&self, look: PayloadTableLook<'_>, days_min: u64) -> Vec<Finding> {
        let PayloadTableLook { form, table, expiry, permissions } = look;
        let place = Place::PayloadTable;
        let mut findings = Vec::new();
        match self.told(place, table, &mut findings) {
            Some(Some(table)) => findings.extend(self.judge_table(place, form, &MATTERS, &table)),
            // Whatever else was asked of it says the same.
            Some(None) => return vec![self.missing(place)],
            None => {}
        }
        if let Some(attribute) = self.told(place, expiry, &mut findings) {
            findings.extend(self.judge_expiry(place, form, &MATTERS, attribute.as_deref()));
        }
        findings.extend(self.judge_payload_ttl(days_min));
        findings.into_iter().chain(permissions).collect()
    }

    fn judge_payload_ttl(&self, days_min: u64) -> Option<Finding> {
        let days = self.aws.settings.payload_ttl_days;
        if u64::from(days) >= days_min {
            return None;
        }
        let text = format!(
            "payloads are written to expire after {days} days; queues and dead-letter queues keep messages so long that \
             payloads are needed for {days_min} days, and a message whose payload is gone looks processed: it is lost"
        );
        let fix =
            format!("set `payload_ttl_days` of every endpoint, and `--payload-ttl-days` here, to {days_min} or more");
        Some(self.finding(Problem::LifecycleShort, Place::PayloadTable, text, fix))
    }
}
