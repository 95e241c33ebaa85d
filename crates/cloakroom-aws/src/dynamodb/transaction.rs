//! The transaction of a commit, and the meaning of its cancellation.

use std::collections::HashMap;

use aws_sdk_dynamodb::types::{
    AttributeValue, CancellationReason, ConditionCheck, Delete, Put, ReturnValuesOnConditionCheckFailure::AllOld,
    TransactWriteItem,
};
use cloakroom::{
    Condition, Partition,
    error::Retry,
    format::Item,
    ports::{
        Commit, ItemAction, Placement,
        placement::{self, Owner, Write, WriteCondition},
    },
    protocol::Version,
};

use crate::dynamodb::{attributes::to_sdk, items};

/// The writes of a commit: the state, the separate records, then the handlers' items.
pub(crate) fn writes(commit: &Commit<'_>) -> (Placement, Vec<Write>) {
    let (placement, mut writes) = placement::writes(commit);
    // DynamoDB refuses a check without a condition. Such a check has no effect, so it is left out.
    let demands_nothing = |write: &Write| {
        write.action == ItemAction::Check && matches!(write.condition, WriteCondition::Item(Condition::Any, _))
    };
    writes.retain(|write| !demands_nothing(write));
    (placement, writes)
}

/// Converts one write for a transaction.
pub(crate) fn item(table: &str, partition: &Partition, write: Write) -> TransactWriteItem {
    let Write { sort_key, action, condition } = write;
    let Expression { text, values } = Expression::of(&condition);
    let key = key(partition, &sort_key);
    let item = TransactWriteItem::builder();
    // The item that was found shows its owner. It is requested only if the condition is about an
    // owner. It is free.
    let found = matches!(condition, WriteCondition::Item(..)).then_some(AllOld);
    match action {
        ItemAction::Put(attributes) => item.put(put(table, partition, &sort_key, attributes, &condition)),
        ItemAction::Delete => {
            let delete = Delete::builder().table_name(table).set_key(Some(key)).set_condition_expression(text);
            let delete = delete.set_return_values_on_condition_check_failure(found);
            item.delete(delete.set_expression_attribute_values(values).build().expect(COMPLETE))
        }
        ItemAction::Check => {
            let check = ConditionCheck::builder().table_name(table).set_key(Some(key));
            let check = check.condition_expression(text.unwrap_or_else(|| EXISTS.to_owned()));
            let check = check.set_return_values_on_condition_check_failure(found);
            item.condition_check(check.set_expression_attribute_values(values).build().expect(COMPLETE))
        }
    }
    .build()
}

/// Converts a write that puts these attributes.
pub(crate) fn put(
    table: &str,
    partition: &Partition,
    sort_key: &str,
    attributes: Item,
    condition: &WriteCondition,
) -> Put {
    let Expression { text, values } = Expression::of(condition);
    let found = matches!(condition, WriteCondition::Item(..)).then_some(AllOld);
    let put = Put::builder().table_name(table).set_item(Some(to_sdk(items::sorted(partition, sort_key), attributes)));
    let put = put.set_condition_expression(text).set_expression_attribute_values(values);
    put.set_return_values_on_condition_check_failure(found).build().expect(COMPLETE)
}

const COMPLETE: &str = "table, key or item, and condition are set";

/// The key of an item.
pub(crate) fn key(partition: &Partition, sort_key: &str) -> HashMap<String, AttributeValue> {
    items::sorted(partition, sort_key).into()
}

const ABSENT: &str = "attribute_not_exists(pk)";
const EXISTS: &str = "attribute_exists(pk)";

struct Expression {
    text: Option<String>,
    values: Option<HashMap<String, AttributeValue>>,
}

impl Expression {
    fn of(condition: &WriteCondition) -> Self {
        let plain = |text: &str| Self { text: Some(text.to_owned()), values: None };
        match condition {
            WriteCondition::Record(Condition::Any) => Self { text: None, values: None },
            WriteCondition::Record(Condition::Exists) => plain(EXISTS),
            // An absent item has no owner.
            WriteCondition::Record(Condition::Absent)
            | WriteCondition::Item(Condition::Absent, _)
            | WriteCondition::VersionIs(Version::ABSENT) => plain(ABSENT),
            WriteCondition::Item(Condition::Any, owner) => Self::owned(owner, ""),
            WriteCondition::Item(Condition::Exists, owner) => Self::owned(owner, "attribute_exists(pk) AND "),
            WriteCondition::VersionIs(version) => {
                let version = AttributeValue::N(version.number().to_string());
                Self {
                    text: Some("cloakroom_version = :version".to_owned()),
                    values: Some(HashMap::from([(":version".to_owned(), version)])),
                }
            }
        }
    }

    /// A condition that the item has no owner, or one that lets this endpoint write it. An absent
    /// item has no owner.
    fn owned(owner: &Owner, more: &str) -> Self {
        let marks = owner.marks().into_iter().enumerate();
        let values = marks.map(|(number, mark)| (format!(":owner{number}"), AttributeValue::S(mark.to_owned())));
        let values: HashMap<String, AttributeValue> = values.collect();
        let mut names: Vec<&str> = values.keys().map(String::as_str).collect();
        names.sort_unstable();
        let names = names.join(", ");
        let text = format!("{more}(attribute_not_exists(cloakroom_owner) OR cloakroom_owner IN ({names}))");
        Self { text: Some(text), values: Some(values) }
    }
}

/// The reason why a transaction was cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// The condition of the write with this number failed.
    Lost(usize),
    /// DynamoDB would refuse the transaction again.
    Refused,
    /// Another transaction holds an item, or there were too many requests.
    Busy(Retry),
    /// The reason is not known here.
    Unknown,
}

impl Cancelled {
    /// Reads the reasons, which are in the order of the writes.
    ///
    /// If there are several:
    /// - A failed condition wins. The attempt is over then: a retry cannot help, and the next
    ///   attempt reads everything again. The first failed condition counts, so the state and the
    ///   record win over a handler's item. A handler that saw an old state wrote that item.
    /// - An unknown reason comes next, since its effect is unknown, too.
    /// - A permanent reason wins over a temporary one: waiting for the latter would not help.
    pub(crate) fn read<'a>(codes: impl IntoIterator<Item = Option<&'a str>>) -> Self {
        let reasons: Vec<Reason> = codes.into_iter().map(Reason::of).collect();
        if let Some(number) = reasons.iter().position(|reason| *reason == Reason::Lost) {
            return Self::Lost(number);
        }
        if reasons.contains(&Reason::Unknown) {
            Self::Unknown
        } else if reasons.contains(&Reason::Refused) {
            Self::Refused
        } else if reasons.contains(&Reason::Contended) {
            Self::Busy(Retry::TransactionConflict)
        } else if reasons.contains(&Reason::Throttled) {
            Self::Busy(Retry::Throttled)
        } else {
            Self::Unknown
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    None,
    Lost,
    Refused,
    Contended,
    Throttled,
    Unknown,
}

impl Reason {
    fn of(code: Option<&str>) -> Self {
        match code {
            None | Some("None") => Self::None,
            Some("ConditionalCheckFailed") => Self::Lost,
            Some("ItemCollectionSizeLimitExceeded" | "ValidationError") => Self::Refused,
            Some("TransactionConflict") => Self::Contended,
            Some("ThrottlingError" | "ProvisionedThroughputExceeded") => Self::Throttled,
            Some(_) => Self::Unknown,
        }
    }
}

/// The reasons as text, each with the sort key of its item.
pub(crate) fn reasons_text(reasons: &[CancellationReason], writes: &[Write]) -> String {
    let texts = writes.iter().zip(reasons).filter(|(_, reason)| Reason::of(reason.code()) != Reason::None);
    let texts = texts.map(|(write, reason)| {
        let code = reason.code().unwrap_or_default();
        format!("`{}`: {code}: {}", write.sort_key, reason.message().unwrap_or("without a message"))
    });
    let texts: Vec<String> = texts.collect();
    if texts.is_empty() { "cancelled without a reason".to_owned() } else { texts.join("; ") }
}

#[cfg(test)]
mod tests;
