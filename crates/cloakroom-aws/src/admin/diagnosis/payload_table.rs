//! Checks of the table for small payloads.

use aws_sdk_dynamodb::types::TableDescription;
use cloakroom::PortError;

use crate::admin::{
    diagnosis::{Diagnosis, Problem, Resource, finding::Finding, table::Consequences},
    table_schema::TableSchema,
};

type Answer<T> = Result<T, PortError>;

const CONSEQUENCES: Consequences = Consequences {
    deletion: "a single call can delete the table and with it all payloads; messages in flight are lost then",
    capacity: "each payload takes one write unit for each started KB when it is written, and again when deleted",
    foreign_expiry: "payloads do not have it, so the payloads of failed attempts stay forever",
    no_expiry: "the payloads of failed attempts stay forever, and you pay for their storage",
};

/// The answers of all calls about the payload table, and the findings about permissions that
/// endpoints lack there.
pub(super) struct PayloadTableAnswers<'a> {
    schema: TableSchema<'a>,
    table: Answer<Option<TableDescription>>,
    expiry: Answer<Option<String>>,
    permissions: Vec<Finding>,
}

impl Diagnosis {
    /// Returns `None` if no payload table is set.
    pub(super) async fn payload_table_answers(&self) -> Option<PayloadTableAnswers<'_>> {
        let schema = self.aws.payload_table_schema()?;
        let (table, expiry, permissions) = futures::join!(
            self.aws.table(schema.name),
            self.aws.expiry_attribute(schema.name),
            self.payload_table_permissions(schema.name),
        );
        Some(PayloadTableAnswers { schema, table, expiry, permissions })
    }

    /// Returns the findings about the payload table. `days_min`: for how many days a payload may be
    /// needed, given the retention of the queues.
    pub(super) fn payload_table_findings(&self, answers: PayloadTableAnswers<'_>, days_min: u64) -> Vec<Finding> {
        let PayloadTableAnswers { schema, table, expiry, permissions } = answers;
        let resource = Resource::PayloadTable;
        let mut findings = Vec::new();
        match self.answer_of(resource, table, &mut findings) {
            Some(Some(table)) => findings.extend(self.judge_table(resource, schema, &CONSEQUENCES, &table)),
            // Every other call about the table failed for the same reason.
            Some(None) => return vec![self.missing(resource)],
            None => {}
        }
        if let Some(attribute) = self.answer_of(resource, expiry, &mut findings) {
            findings.extend(self.judge_expiry(resource, schema, &CONSEQUENCES, attribute.as_deref()));
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
            "payloads are set to expire after {days} days, but the retention of queues and dead-letter queues requires \
             payloads for {days_min} days. A message whose payload has expired is treated as processed, so it is \
             lost"
        );
        let fix =
            format!("set `payload_ttl_days` of every endpoint, and `--payload-ttl-days` here, to {days_min} or more");
        Some(self.finding(Problem::LifecycleShort, Resource::PayloadTable, text, fix))
    }
}
