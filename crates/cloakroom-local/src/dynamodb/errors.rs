//! DynamoDB's wire format of errors, for requests that cannot be parsed and for injected faults.

use dynoxide::DynoxideError;
use http::StatusCode;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::json;

use crate::faults::Fault;

/// Returns the JSON of an error.
pub(super) fn body(kind: &str, message: &str) -> String {
    json!({ "__type": kind, "message": message }).to_string()
}

/// Returns the error for a request that cannot be parsed. The messages of the engine's parsers
/// start with a marker for the class of the error.
pub(super) fn unreadable(operation: &str, error: &serde_json::Error) -> DynoxideError {
    let message = error.to_string();
    let message = match message.rsplit_once(" at line ") {
        Some((message, position)) if position.contains("column") => message,
        _ => &message,
    };
    let markers = ["VALIDATION_AS_READ:", "VALIDATION:"];
    if let Some(text) = markers.iter().find_map(|m| message.strip_prefix(m)) {
        return DynoxideError::ValidationException(text.into());
    }
    if let Some(text) = message.strip_prefix("VALIDATION_REQUEST:") {
        let envelope = match operation {
            "PutItem" | "UpdateItem" | "DeleteItem" => "1 validation error detected: ",
            _ => "",
        };
        return DynoxideError::ValidationException(format!("{envelope}{text}"));
    }
    let markers = ["SERIALIZATION_AS_READ:", "SERIALIZATION:"];
    if let Some(text) = markers.iter().find_map(|m| message.strip_prefix(m)) {
        return DynoxideError::SerializationException(text.into());
    }
    let incomplete = ["missing field", "unknown variant", "null", "AttributeValue"];
    if error.is_data() && incomplete.iter().any(|part| message.contains(part)) {
        DynoxideError::ValidationException(message.into())
    } else {
        DynoxideError::SerializationException(message.into())
    }
}

const DYNAMODB: &str = "com.amazonaws.dynamodb.v20120810";

/// Returns the status and the JSON of the response to a fault.
pub(super) fn injected(fault: Fault, operation: &str, request: &[u8]) -> (StatusCode, String) {
    match fault {
        Fault::Throttled(pick) => (StatusCode::BAD_REQUEST, throttled(pick)),
        Fault::TransactionConflict(pick) => (StatusCode::BAD_REQUEST, conflict(operation, request, pick)),
        Fault::ServerError(pick) if pick % 2 == 1 => (
            StatusCode::SERVICE_UNAVAILABLE,
            body(
                "com.amazon.coral.availability#ServiceUnavailableException",
                "The service is temporarily unavailable. (injected: the request was not performed)",
            ),
        ),
        Fault::ServerError(_) => internal("The request was not performed. (injected)"),
        Fault::ResponseReplaced | Fault::ResponseDropped | Fault::Silence { .. } => {
            internal("The response was lost. (injected)")
        }
    }
}

fn internal(message: &str) -> (StatusCode, String) {
    let kind = format!("{DYNAMODB}#InternalServerError");
    (StatusCode::INTERNAL_SERVER_ERROR, body(&kind, message))
}

fn throttled(pick: u64) -> String {
    if pick % 2 == 1 {
        return body(
            "com.amazon.coral.availability#ThrottlingException",
            "Throughput exceeds the current capacity of your table or index. (injected)",
        );
    }
    body(
        &format!("{DYNAMODB}#ProvisionedThroughputExceededException"),
        "The level of configured provisioned throughput for the table was exceeded. Consider \
         increasing your provisioning level with the UpdateTable API. (injected)",
    )
}

const ONGOING: &str = "Transaction is ongoing for the item";

fn conflict(operation: &str, request: &[u8], pick: u64) -> String {
    if !operation.starts_with("Transact") {
        return body(&format!("{DYNAMODB}#TransactionConflictException"), ONGOING);
    }
    let items = items_of_transaction(request).max(1);
    let conflicting = usize::try_from(pick).unwrap_or_default() % items;
    let codes = (0..items).map(|item| match item {
        item if item == conflicting => "TransactionConflict",
        _ => "None",
    });
    let codes: Vec<&str> = codes.collect();
    let reasons = codes.iter().map(|code| match *code {
        "None" => json!({ "Code": "None" }),
        code => json!({ "Code": code, "Message": ONGOING }),
    });
    json!({
        "__type": format!("{DYNAMODB}#TransactionCanceledException"),
        "Message": format!(
            "Transaction cancelled, please refer cancellation reasons for specific reasons [{}]",
            codes.join(", ")
        ),
        "CancellationReasons": reasons.collect::<Vec<_>>(),
    })
    .to_string()
}

fn items_of_transaction(request: &[u8]) -> usize {
    #[derive(Deserialize)]
    struct Transaction {
        #[serde(rename = "TransactItems")]
        items: Vec<IgnoredAny>,
    }
    serde_json::from_slice::<Transaction>(request).map_or(0, |transaction| transaction.items.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn injected_conflict_has_one_cancellation_reason_for_each_item() {
        let request = br#"{"TransactItems":[{"Put":{}},{"Put":{}},{"Update":{}}]}"#;
        let body = conflict("TransactWriteItems", request, 4);
        let body: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let codes: Vec<_> = body["CancellationReasons"]
            .as_array()
            .expect("reasons")
            .iter()
            .map(|reason| reason["Code"].as_str().unwrap_or_default())
            .collect();
        assert_eq!(codes, ["None", "TransactionConflict", "None"]);
        let message = body["Message"].as_str().unwrap_or_default();
        assert!(message.ends_with("[None, TransactionConflict, None]"), "{message}");
    }

    #[test]
    fn injected_conflict_of_a_plain_write_has_its_own_error() {
        assert!(conflict("PutItem", b"{}", 0).contains("#TransactionConflictException"));
    }
}
