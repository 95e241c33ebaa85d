use cloakroom::ports::{ItemAction, placement::Write};

use super::*;

fn four_writes() -> Vec<Write> {
    ["state#orders", "outbox#orders#m", "line#1", "line#2"]
        .map(|sort_key| Write {
            sort_key: sort_key.to_owned(),
            action: ItemAction::Delete,
            condition: WriteCondition::Record(Condition::Exists),
        })
        .into()
}

fn read(codes: &[&str]) -> Cancelled {
    Cancelled::read(codes.iter().copied().map(Some))
}

#[test]
fn each_cancellation_reason_has_its_result() {
    for (codes, expected) in [
        (["ConditionalCheckFailed", "None", "None", "None"], Cancelled::Lost(0)),
        (["None", "ConditionalCheckFailed", "None", "None"], Cancelled::Lost(1)),
        (["None", "None", "ConditionalCheckFailed", "None"], Cancelled::Lost(2)),
        (["None", "None", "None", "ConditionalCheckFailed"], Cancelled::Lost(3)),
        (["TransactionConflict", "None", "None", "None"], Cancelled::Busy(Retry::TransactionConflict)),
        (["None", "None", "ThrottlingError", "None"], Cancelled::Busy(Retry::Throttled)),
        (["None", "ProvisionedThroughputExceeded", "None", "None"], Cancelled::Busy(Retry::Throttled)),
        (["ItemCollectionSizeLimitExceeded", "None", "None", "None"], Cancelled::Refused),
        (["None", "None", "None", "ValidationError"], Cancelled::Refused),
        (["None", "NewerThanThisLibrary", "None", "None"], Cancelled::Unknown),
        (["None", "None", "None", "None"], Cancelled::Unknown),
    ] {
        assert_eq!(read(&codes), expected, "{codes:?}");
    }
}

#[test]
fn lost_condition_wins_over_unknown_over_permanent_over_temporary_reasons() {
    let (lost, busy, refused, newer) =
        ("ConditionalCheckFailed", "TransactionConflict", "ValidationError", "NewerThanThisLibrary");
    assert_eq!(read(&[lost, "None", lost, lost]), Cancelled::Lost(0));
    assert_eq!(read(&[busy, refused, newer, lost]), Cancelled::Lost(3));
    assert_eq!(read(&[busy, refused, newer, "None"]), Cancelled::Unknown);
    assert_eq!(read(&[busy, refused, busy, "None"]), Cancelled::Refused);
    assert_eq!(read(&[busy, busy, "None", "None"]), Cancelled::Busy(Retry::TransactionConflict));
}

#[test]
fn cancellation_without_reasons_leaves_the_outcome_unknown() {
    assert_eq!(read(&[]), Cancelled::Unknown);
    assert_eq!(Cancelled::read([None, None]), Cancelled::Unknown);
}

#[test]
fn cancellation_text_names_the_refused_items() {
    let reason = |code: &str| CancellationReason::builder().code(code).message("why").build();
    let reasons = [reason("None"), reason("TransactionConflict"), reason("None"), reason("ValidationError")];
    assert_eq!(
        reasons_text(&reasons, &four_writes()),
        "`outbox#orders#m`: TransactionConflict: why; `line#2`: ValidationError: why"
    );
    assert_eq!(reasons_text(&[], &four_writes()), "cancelled without a reason");
}
