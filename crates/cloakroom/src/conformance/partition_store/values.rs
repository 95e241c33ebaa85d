//! Laws about the values that can be stored: types of attributes, keys, and sizes.

use std::collections::HashMap;

use serde_dynamo::{AttributeValue, Item};

use crate::{
    conformance::{
        law::ODD,
        partition_store::subject::{Subject, TrialCommit, text_item},
    },
    error::LimitError,
    format::name::{MessageId, Partition},
    ports::{
        commit::{Committed, Condition, ItemAction, ItemWrite, Placement, Sharing, StateWrite},
        limits::Limits,
    },
    protocol::version::Version,
};

/// Numbers of 38 digits, binary values, empty texts and lists, nested maps, and sets in any order
/// are read unchanged.
pub(super) async fn every_type_of_attribute_is_read_unchanged(s: &Subject<'_>) {
    let attempt = TrialCommit { state: StateWrite::Put(all_types()), ..s.attempt("m") };
    s.must_apply(&attempt).await;
    let seen = s.read_state(&attempt).await.state.unwrap_or_default();
    for (name, value) in all_types().iter() {
        s.law.same(&format!("attribute `{name}`"), &seen.get(name).map(sorted).as_ref(), &Some(value));
    }
    s.law.same("the number of attributes", &seen.len(), &all_types().len());
}

fn all_types() -> Item {
    use AttributeValue::{B, Bool, Bs, L, M, N, Ns, Null, S, Ss};
    let texts = |texts: [&str; 3]| texts.map(str::to_owned).to_vec();
    let inner = HashMap::from([("ä€😀 .#:".to_owned(), L(vec![M(HashMap::new()), N("0".to_owned())]))]);
    let values = [
        ("text", S("ä€😀\n\"\\\u{0}".to_owned())),
        ("empty text", S(String::new())),
        ("integer", N("-42".to_owned())),
        ("fraction", N("0.000001".to_owned())),
        ("38 digits", N("12345678901234567890123456789012345679".to_owned())),
        ("true", Bool(true)),
        ("false", Bool(false)),
        ("null", Null(true)),
        ("binary", B((0..=u8::MAX).collect())),
        ("empty binary", B(Vec::new())),
        ("list", L(vec![S("a".to_owned()), Null(true), L(Vec::new()), S("a".to_owned())])),
        ("map", M(HashMap::from([("name".to_owned(), M(inner)), ("flag".to_owned(), Bool(false))]))),
        ("texts", Ss(texts(["a", "b", "ä"]))),
        ("numbers", Ns(texts(["-1", "0.5", "12345678901234567890123456789012345679"]))),
        ("binaries", Bs(vec![vec![0], vec![0, 255], vec![255]])),
    ];
    Item::from(values.map(|(name, value)| (name.to_owned(), value)).into_iter().collect::<HashMap<_, _>>())
}

/// Sorts the elements of a set, because a set has no order. The sets of the laws are sorted.
fn sorted(value: &AttributeValue) -> AttributeValue {
    let mut value = value.clone();
    if let AttributeValue::Ss(set) | AttributeValue::Ns(set) = &mut value {
        set.sort();
    }
    if let AttributeValue::Bs(set) = &mut value {
        set.sort();
    }
    value
}

/// Any text is a valid partition, message id or sort key, and different texts are different keys.
pub(super) async fn unusual_keys_are_distinct(s: &Subject<'_>) {
    for odd in ODD {
        let partition = Partition::new(format!("{odd}{}", s.law.key(odd)));
        let message = MessageId::new(format!("{odd}{}", s.law.key(odd)));
        let attempt = TrialCommit { partition, message, items: vec![put(odd, text_item(odd))], ..s.attempt(odd) };
        s.must_have_state(&attempt, 0, None).await;
        s.must_apply(&attempt).await;
        s.must_have_state(&attempt, 1, attempt.state()).await;
        s.must_have_record(&attempt, Some(&attempt.record)).await;
    }
    // All in one partition. "Item absent" proves that no key was confused with another.
    for (odd, version) in ODD.iter().zip(0..) {
        let condition = Condition::Absent;
        let item = ItemWrite { condition, ..put(odd, text_item(odd)) };
        let attempt = TrialCommit { items: vec![item], ..s.attempt(odd) }.at(version);
        s.must_have_record(&attempt, None).await;
        s.must_apply(&attempt).await;
    }
}

/// Long keys that differ only in their last byte are different keys.
pub(super) async fn long_keys_are_distinct(s: &Subject<'_>) {
    let attempt = |partition: char, message: char| TrialCommit {
        partition: Partition::new(format!("{:x<2000}{partition}", s.law.key(""))),
        message: MessageId::new(format!("{:x<990}{message}", s.law.key(""))),
        ..s.attempt("m")
    };
    let first = attempt('1', '1');
    s.must_apply(&first).await;
    s.must_have_state(&attempt('2', '1'), 0, None).await;
    s.must_have_record(&attempt('2', '1'), None).await;
    s.must_have_record(&attempt('1', '2'), None).await;
    s.must_apply(&attempt('1', '2').at(1)).await;
    s.must_have_record(&first, Some(&first.record)).await;
}

fn put(sort_key: &str, item: Item) -> ItemWrite {
    let (action, condition, sharing) = (ItemAction::Put(item), Condition::Any, Sharing::Owned);
    ItemWrite { sort_key: sort_key.to_owned(), action, condition, sharing }
}

fn many(count: usize, item: &Item) -> Vec<ItemWrite> {
    (0..count).map(|number| put(&format!("item {number}"), item.clone())).collect()
}

impl Subject<'_> {
    /// Requires that the commit is refused with an error that names `what`, and that nothing is
    /// written.
    async fn must_be_too_large(&self, attempt: &TrialCommit, what: &str, unit: &str, size_max: usize) {
        let committed = self.commit(attempt).await;
        let Committed::TooLarge(error) = &committed else {
            self.law.broken(format_args!("a commit must be refused because `{what}` is too large: found {committed:?}"))
        };
        let LimitError { what: named, size, .. } = error;
        self.law.check(&format!("the error must name `{what}`"), named.contains(what), error);
        self.law.same("the limit", &(error.unit, error.size_max), &(unit, size_max));
        self.law.check("the size must exceed the limit", *size > size_max, error);
        if attempt.partition.as_str().len() <= Limits::default().partition_key_bytes_max {
            self.must_have_state(attempt, attempt.expected.number(), None).await;
        }
    }
}

/// State, record and 98 items are the maximum of a transaction.
pub(super) async fn a_hundred_items_are_written(s: &Subject<'_>) {
    s.must_apply(&TrialCommit { items: many(98, &text_item("x")), ..s.attempt("m") }).await;
    let (_, committed) = s.commit_items("again", &many(98, &text_item("y"))).await;
    s.law.same("the commit", &committed, &Committed::Applied(Placement::Separate));
}

/// One more item is refused.
pub(super) async fn refusal_of_too_many_items_names_their_number(s: &Subject<'_>) {
    let attempt = TrialCommit { items: many(99, &text_item("x")), ..s.attempt("m") };
    s.must_be_too_large(&attempt, attempt.partition.as_str(), "items", 100).await;
    s.must_have_record(&attempt, None).await;
}

/// A state just below the size limit of an item is stored.
pub(super) async fn a_large_state_is_written(s: &Subject<'_>) {
    let attempt = TrialCommit { state: StateWrite::Put(text_item(&"x".repeat(399 * 1024))), ..s.attempt("m") };
    s.must_apply(&attempt).await;
    s.must_have_state(&attempt, Version::ABSENT.next().number(), attempt.state()).await;
}

/// The error names the state's key.
pub(super) async fn refusal_of_a_too_large_state_names_its_key(s: &Subject<'_>) {
    let attempt = TrialCommit { state: StateWrite::Put(text_item(&"x".repeat(400 * 1024))), ..s.attempt("m") };
    s.must_be_too_large(&attempt, "state#orders", "bytes", 400 * 1024).await;
    s.must_have_record(&attempt, None).await;
}

/// The error names the item's key.
pub(super) async fn refusal_of_a_too_large_item_names_its_key(s: &Subject<'_>) {
    let items = vec![put("small", text_item("x")), put("large one", text_item(&"x".repeat(400 * 1024)))];
    let attempt = TrialCommit { items, ..s.attempt("m") };
    s.must_be_too_large(&attempt, "large one", "bytes", 400 * 1024).await;
    s.must_have_record(&attempt, None).await;
}

/// Items that are each within the limit may exceed the limit of a commit together.
pub(super) async fn a_commit_that_is_too_large_is_refused(s: &Subject<'_>) {
    let attempt = TrialCommit { items: many(11, &text_item(&"x".repeat(390 * 1024))), ..s.attempt("m") };
    s.must_be_too_large(&attempt, attempt.partition.as_str(), "bytes", 4 * 1024 * 1024).await;
    s.must_have_record(&attempt, None).await;
}

/// This holds for the key of an item, a key with a message id, and the key of the partition.
pub(super) async fn refusal_of_a_too_long_key_names_the_key(s: &Subject<'_>) {
    let item = TrialCommit { items: vec![put(&"sort".repeat(257), text_item("x"))], ..s.attempt("m") };
    s.must_be_too_large(&item, "sortsort", "bytes", 1024).await;
    let message = TrialCommit { message: MessageId::new("m".repeat(1024)), ..s.attempt("m") };
    s.must_be_too_large(&message, "outbox#orders#mmm", "bytes", 1024).await;
    let partition = TrialCommit { partition: Partition::new("part".repeat(513)), ..s.attempt("m") };
    s.must_be_too_large(&partition, "partpart", "bytes", 2048).await;
}

fn value_item(value: AttributeValue) -> Item {
    Item::from(HashMap::from([("value".to_owned(), value)]))
}

fn nested(wraps: usize) -> AttributeValue {
    let wrap = |inner, number| match number % 2 {
        0 => AttributeValue::L(vec![inner]),
        _ => AttributeValue::M(HashMap::from([("n".to_owned(), inner)])),
    };
    (0..wraps).fold(AttributeValue::Bool(true), wrap)
}

impl Subject<'_> {
    /// Requires that a commit is refused, that the error contains `reason`, and that nothing is
    /// written.
    async fn must_be_refused(&self, attempt: &TrialCommit, reason: &str) {
        let committed = self.commit(attempt).await;
        let is_refused = matches!(&committed, Committed::Refused(text) if text.contains(reason));
        self.law.check(&format!("the refusal of the commit must contain `{reason}`"), is_refused, &committed);
        if !attempt.partition.as_str().is_empty() {
            self.must_have_state(attempt, attempt.expected.number(), None).await;
            self.must_have_record(attempt, None).await;
        }
    }
}

/// This holds for the state and for an item. The error shows the path of the value.
pub(super) async fn refusal_of_an_unsupported_value_names_its_path(s: &Subject<'_>) {
    use AttributeValue::{Bs, L, M, N, Ns, Null, Ss};
    let text = |text: &str| text.to_owned();
    let map = |name: &str, value| M(HashMap::from([(text(name), value)]));
    for (value, path) in [
        (Ss(vec![]), "`value`"),
        (Ns(vec![]), "`value`"),
        (Bs(vec![]), "`value`"),
        (L(vec![Null(true), map("tags", Ss(vec![]))]), "`value[1].tags`"),
        (Ss(vec![text("a"), text("a")]), "`value`"),
        (Ns(vec![text("1"), text("1.0")]), "`value`"),
        (map("", Null(true)), "`value.\"\"`"),
        (N(text("1e126")), "`value`"),
        (N(text("-1e126")), "`value`"),
        (map("small", N(text("1e-131"))), "`value.small`"),
        (Ns(vec![text("9e-131")]), "`value`"),
        (N("1".repeat(39)), "`value`"),
        (N(text("NaN")), "`value`"),
        (Null(false), "`value`"),
        (nested(32), "`value"),
    ] {
        let item = value_item(value);
        s.must_be_refused(&TrialCommit { state: StateWrite::Put(item.clone()), ..s.attempt("state") }, path).await;
        s.must_be_refused(&TrialCommit { items: vec![put("line", item)], ..s.attempt("item") }, path).await;
    }
    let nameless = Item::from(HashMap::from([(String::new(), Null(true))]));
    s.must_be_refused(&TrialCommit { state: StateWrite::Put(nameless), ..s.attempt("state") }, "`\"\"`").await;
}

/// Values just within the limits are stored.
pub(super) async fn value_at_the_limits_is_stored(s: &Subject<'_>) {
    let number = |digits: String| AttributeValue::N(digits);
    let nines = "9".repeat(38);
    let values = [
        number(format!("{nines}{}", "0".repeat(88))),
        number(format!("-{nines}e88")),
        number("1e-130".to_owned()),
        number(format!("0.{}1", "0".repeat(129))),
        AttributeValue::Ss(vec![String::new(), "a".to_owned()]),
        nested(31),
        AttributeValue::M(HashMap::from([("n".repeat(65_535), AttributeValue::Null(true))])),
    ];
    for (value, version) in values.into_iter().zip(0..) {
        let attempt = TrialCommit { state: StateWrite::Put(value_item(value)), ..s.attempt(&version.to_string()) };
        s.must_apply(&attempt.at(version)).await;
    }
}

/// DynamoDB refuses an empty key.
pub(super) async fn empty_key_is_refused(s: &Subject<'_>) {
    s.must_be_refused(&TrialCommit { items: vec![put("", text_item("x"))], ..s.attempt("m") }, "empty key").await;
    s.must_be_refused(&TrialCommit { partition: Partition::new(""), ..s.attempt("m") }, "empty key").await;
}
