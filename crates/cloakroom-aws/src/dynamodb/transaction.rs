//! The transaction of a commit, and what its cancellation means.

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

/// The writes of a commit: the state, the records that go beside it, then the handlers' items.
pub(crate) fn writes(commit: &Commit<'_>) -> (Placement, Vec<Write>) {
    let (placement, mut writes) = placement::writes(commit);
    // DynamoDB refuses a check without a condition. It would demand nothing, so it is left out.
    let demands_nothing = |write: &Write| {
        write.action == ItemAction::Check && matches!(write.condition, WriteCondition::Item(Condition::Any, _))
    };
    writes.retain(|write| !demands_nothing(write));
    (placement, writes)
}

/// One write of a transaction as DynamoDB takes it.
pub(crate) fn item(table: &str, partition: &Partition, write: Write) -> TransactWriteItem {
    let Write { sort_key, action, condition } = write;
    let Expression { text, values } = Expression::of(&condition);
    let key = key(partition, &sort_key);
    let item = TransactWriteItem::builder();
    // What was found tells whose item it is. It costs nothing, and is asked for where it can tell something.
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

/// A write that puts these attributes.
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
            // Nobody owns what is not there.
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

    /// The item has no owner, as one that is absent has none, or one of those that let this endpoint write it.
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

/// Why a transaction was cancelled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Cancelled {
    /// The condition of the write with this number failed.
    Lost(usize),
    /// It would be refused again.
    Refused,
    /// Another transaction, or too many requests.
    Busy(Retry),
    /// For a reason that is not known here.
    Unknown,
}

impl Cancelled {
    /// Reads the reasons, which stand in the order of the writes.
    ///
    /// If there are several:
    /// - A lost condition wins. The attempt is over then: to repeat it cannot help, and the next one reads
    ///   everything anew. The first one counts, so the state and the record win over a handler's item; that
    ///   item was judged by a handler that saw an old state.
    /// - A reason that is not known comes next, since what it means for the effect is not known either.
    /// - A reason that lasts wins over one that passes: to wait for the latter would be in vain.
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

/// The reasons in words, each with the item that it is about.
pub(crate) fn told(reasons: &[CancellationReason], writes: &[Write]) -> String {
    let told = writes.iter().zip(reasons).filter(|(_, reason)| Reason::of(reason.code()) != Reason::None);
    let told = told.map(|(write, reason)| {
        let code = reason.code().unwrap_or_default();
        format!("`{}`: {code}: {}", write.sort_key, reason.message().unwrap_or("without a message"))
    });
    let told: Vec<String> = told.collect();
    if told.is_empty() { "cancelled without a reason".to_owned() } else { told.join("; ") }
}

#[cfg(test)]
mod tests;
