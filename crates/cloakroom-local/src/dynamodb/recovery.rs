//! Point-in-time recovery. Whether it is enabled is kept until the process ends. Nothing can be
//! restored.

use std::collections::BTreeSet;

use dynoxide::Database;
use serde::Deserialize;
use serde_json::json;

use crate::dynamodb::errors;

/// The tables for which point-in-time recovery is enabled.
#[derive(Debug, Default)]
pub(super) struct Recovery {
    tables: BTreeSet<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Request {
    table_name: String,
    #[serde(default)]
    point_in_time_recovery_specification: Specification,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Specification {
    #[serde(default)]
    point_in_time_recovery_enabled: bool,
}

impl Recovery {
    /// Performs an operation on recovery. `None` if it is another operation.
    pub(super) fn run(
        &mut self,
        database: &Database,
        operation: &str,
        body: &[u8],
    ) -> Option<dynoxide::Result<String>> {
        match operation {
            "UpdateContinuousBackups" => Some(self.answer(database, operation, body, true)),
            "DescribeContinuousBackups" => Some(self.answer(database, operation, body, false)),
            _ => None,
        }
    }

    fn answer(&mut self, database: &Database, operation: &str, body: &[u8], update: bool) -> dynoxide::Result<String> {
        let request: Request = serde_json::from_slice(body).map_err(|error| errors::unreadable(operation, &error))?;
        let (table, wanted) = (request.table_name, request.point_in_time_recovery_specification);
        // Fails if the table does not exist.
        let describe = serde_json::from_value(json!({ "TableName": table }));
        database.describe_table(describe.map_err(|error| errors::unreadable(operation, &error))?)?;
        if update && wanted.point_in_time_recovery_enabled {
            self.tables.insert(table.clone());
        } else if update {
            self.tables.remove(&table);
        }
        let status = if self.tables.contains(&table) { "ENABLED" } else { "DISABLED" };
        let recovery = json!({ "PointInTimeRecoveryStatus": status });
        let backups = json!({ "ContinuousBackupsStatus": "ENABLED", "PointInTimeRecoveryDescription": recovery });
        Ok(json!({ "ContinuousBackupsDescription": backups }).to_string())
    }
}
