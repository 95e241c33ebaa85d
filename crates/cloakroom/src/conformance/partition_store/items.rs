//! Laws about a handler's own items. The port does not read items, so the laws check them with
//! conditions.

use crate::{
    conformance::partition_store::subject::{Subject, TrialCommit, text_item},
    ports::commit::{Committed, Condition, Conflict, ItemAction, ItemWrite, Placement, Sharing},
};

impl Subject<'_> {
    /// Commits `items` on the partition's current version.
    pub(super) async fn commit_items(&self, message: &str, items: &[ItemWrite]) -> (TrialCommit, Committed) {
        self.commit_items_of("orders", message, items).await
    }

    /// Like `commit_items`, for another endpoint.
    async fn commit_items_of(&self, endpoint: &str, message: &str, items: &[ItemWrite]) -> (TrialCommit, Committed) {
        let attempt = TrialCommit { endpoint: endpoint.to_owned(), items: items.to_vec(), ..self.attempt(message) };
        let attempt = TrialCommit { expected: self.read_state(&attempt).await.version, ..attempt };
        let committed = self.commit(&attempt).await;
        (attempt, committed)
    }

    async fn must_write(&self, message: &str, items: &[ItemWrite]) {
        self.law.same(
            "the commit",
            &self.commit_items(message, items).await.1,
            &Committed::Applied(Placement::Separate),
        );
    }

    /// Requires, by a commit, that the items in `exist` exist and the items in `absent` do not.
    async fn must_exist(&self, message: &str, exist: &[&str], absent: &[&str]) {
        let exist = exist.iter().map(|key| check(key, Condition::Exists));
        let absent = absent.iter().map(|key| check(key, Condition::Absent));
        self.must_write(message, &exist.chain(absent).collect::<Vec<_>>()).await;
    }
}

fn write(sort_key: &str, action: ItemAction, condition: Condition) -> ItemWrite {
    ItemWrite { sort_key: sort_key.to_owned(), action, condition, sharing: Sharing::Owned }
}

fn put(sort_key: &str, condition: Condition) -> ItemWrite {
    write(sort_key, ItemAction::Put(text_item(sort_key)), condition)
}

fn delete(sort_key: &str, condition: Condition) -> ItemWrite {
    write(sort_key, ItemAction::Delete, condition)
}

fn check(sort_key: &str, condition: Condition) -> ItemWrite {
    write(sort_key, ItemAction::Check, condition)
}

fn shared(item: ItemWrite) -> ItemWrite {
    ItemWrite { sharing: Sharing::Shared, ..item }
}

/// Puts, replacements, deletes and checks whose conditions hold are all applied, also a delete of a
/// missing item.
pub(super) async fn items_are_written_and_deleted_with_the_commit(s: &Subject<'_>) {
    use Condition::{Absent, Any, Exists};
    s.must_write("1", &[put("a", Any), put("b", Absent), delete("c", Any), check("d", Absent), check("e", Any)]).await;
    s.must_exist("2", &["a", "b"], &["c", "d", "e"]).await;
    s.must_write("3", &[put("a", Exists), delete("b", Exists), delete("c", Absent), check("a2", Absent)]).await;
    s.must_exist("4", &["a"], &["b", "c", "d", "e"]).await;
}

/// The conflict names the item, for every position in the list and for every action.
pub(super) async fn failed_item_condition_conflicts_and_names_the_item(s: &Subject<'_>) {
    use Condition::{Absent, Any, Exists};
    s.must_write("make", &[put("there", Any)]).await;
    let wrong = [
        put("there", Absent),
        put("not there", Exists),
        delete("there", Absent),
        delete("not there", Exists),
        check("there", Absent),
        check("not there", Exists),
    ];
    for item in wrong {
        for items in [vec![item.clone()], vec![put("new", Any), item.clone(), put("newer", Absent)]] {
            let (_, committed) = s.commit_items("m", &items).await;
            let expected = Committed::Conflict(Conflict::Item(item.sort_key.clone()));
            s.law.same(&format!("the commit with {item:?}"), &committed, &expected);
        }
    }
}

/// If one condition fails, nothing is written: neither state, record nor other items.
pub(super) async fn a_conflict_writes_nothing(s: &Subject<'_>) {
    use Condition::{Any, Exists};
    let (made, committed) = s.commit_items("make", &[put("there", Any)]).await;
    s.law.same("the commit", &committed, &Committed::Applied(Placement::Separate));
    let items = [put("new", Any), delete("there", Any), check("not there", Exists)];
    let (lost, committed) = s.commit_items("m", &items).await;
    s.law.check("the commit must conflict", matches!(committed, Committed::Conflict(_)), &committed);
    s.must_have_state(&made, 1, made.state()).await;
    s.must_have_record(&lost, None).await;
    let stale = TrialCommit { items: vec![put("new", Any), delete("there", Any)], ..s.attempt("m") };
    s.must_conflict(&stale).await;
    s.must_exist("look", &["there"], &["new", "not there"]).await;
}

impl Subject<'_> {
    async fn must_write_as(&self, endpoint: &str, message: &str, item: ItemWrite) {
        let (_, committed) = self.commit_items_of(endpoint, message, std::slice::from_ref(&item)).await;
        let expected = Committed::Applied(Placement::Separate);
        self.law.same(&format!("the commit of `{endpoint}` with {item:?}"), &committed, &expected);
    }

    /// Requires that a commit of this endpoint with this item is refused, that the error contains
    /// `reason`, and that nothing is written.
    async fn must_be_refused_as(&self, endpoint: &str, item: ItemWrite, reason: &str) {
        for items in [vec![item.clone()], vec![put("new", Condition::Any), item.clone()]] {
            let (attempt, committed) = self.commit_items_of(endpoint, "m", &items).await;
            let names_it = |text: &String| text.contains(&format!("item `{}`", item.sort_key)) && text.contains(reason);
            let is_refused = matches!(&committed, Committed::Refused(text) if names_it(text));
            self.law.check(
                &format!("the refusal of the commit of `{endpoint}` with {item:?} must contain `{reason}`"),
                is_refused,
                &committed,
            );
            self.must_have_record(&attempt, None).await;
            let version = attempt.expected.number();
            self.law.same("the version", &self.read_state(&attempt).await.version.number(), &version);
        }
    }
}

/// An item that another endpoint owns cannot be written, under any condition, and its existence
/// cannot be checked. The owner can still write the item. After the owner deletes it, another
/// endpoint can create it.
pub(super) async fn refusal_of_the_item_of_another_endpoint_names_both(s: &Subject<'_>) {
    use Condition::{Absent, Any, Exists};
    s.must_write_as("orders", "make", put("taken", Absent)).await;
    for condition in [Any, Exists, Absent] {
        s.must_be_refused_as("stock", put("taken", condition), "endpoint `orders`").await;
        s.must_be_refused_as("stock", delete("taken", condition), "endpoint `orders`").await;
        s.must_be_refused_as("stock", shared(put("taken", condition)), "endpoint `orders`").await;
    }
    for condition in [Exists, Absent] {
        s.must_be_refused_as("stock", check("taken", condition), "endpoint `orders`").await;
    }
    s.must_write_as("orders", "again", put("taken", Exists)).await;
    s.must_write_as("orders", "delete", delete("taken", Exists)).await;
    s.must_write_as("stock", "make", put("taken", Absent)).await;
    s.must_be_refused_as("orders", put("taken", Any), "endpoint `stock`").await;
}

/// Every endpoint that writes a shared item must declare that it is shared. The owner of an item
/// can begin to share it.
pub(super) async fn shared_item_is_written_by_the_endpoints_that_share_it(s: &Subject<'_>) {
    use Condition::{Absent, Any, Exists};
    s.must_write_as("orders", "make", put("both", Absent)).await;
    s.must_write_as("orders", "share", shared(put("both", Exists))).await;
    s.must_write_as("stock", "write", shared(put("both", Exists))).await;
    s.must_write_as("orders", "check", shared(check("both", Exists))).await;
    for condition in [Any, Exists, Absent] {
        s.must_be_refused_as("stock", put("both", condition), "shared").await;
        s.must_be_refused_as("orders", delete("both", condition), "shared").await;
    }
    s.must_write_as("stock", "delete", shared(delete("both", Exists))).await;
    s.must_write_as("orders", "gone", check("both", Absent)).await;
}
