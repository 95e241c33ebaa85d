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
fn one_reason_is_judged_by_itself() {
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
fn of_several_reasons_the_strongest_wins() {
    let (lost, busy, refused, newer) =
        ("ConditionalCheckFailed", "TransactionConflict", "ValidationError", "NewerThanThisLibrary");
    assert_eq!(read(&[lost, "None", lost, lost]), Cancelled::Lost(0));
    assert_eq!(read(&[busy, refused, newer, lost]), Cancelled::Lost(3));
    assert_eq!(read(&[busy, refused, newer, "None"]), Cancelled::Unknown);
    assert_eq!(read(&[busy, refused, busy, "None"]), Cancelled::Refused);
    assert_eq!(read(&[busy, busy, "None", "None"]), Cancelled::Busy(Retry::TransactionConflict));
}

#[test]
fn missing_reasons_leave_the_outcome_open() {
    assert_eq!(read(&[]), Cancelled::Unknown);
    assert_eq!(Cancelled::read([None, None]), Cancelled::Unknown);
}

#[test]
fn the_text_names_the_items_at_fault() {
    let reason = |code: &str| CancellationReason::builder().code(code).message("why").build();
    let reasons = [reason("None"), reason("TransactionConflict"), reason("None"), reason("ValidationError")];
    assert_eq!(
        told(&reasons, &four_writes()),
        "`outbox#orders#m`: TransactionConflict: why; `line#2`: ValidationError: why"
    );
    assert_eq!(told(&[], &four_writes()), "cancelled without a reason");
}
