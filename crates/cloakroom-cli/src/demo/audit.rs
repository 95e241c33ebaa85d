//! The audit: do the books balance? It knows the stored state and what was ordered, and nothing of how
//! it came about.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::shop::{
    billing::Account,
    orders::{Order, PlaceOrder, Status},
    stock::{STOCK_AT_FIRST, Stock},
};

/// Everything that is stored when all is said and done.
#[derive(Debug, Default)]
pub(crate) struct Books {
    pub(crate) orders: BTreeMap<String, Order>,
    pub(crate) stock: BTreeMap<String, Stock>,
    pub(crate) accounts: BTreeMap<String, Account>,
    /// The sum of all versions: every message that was processed moved one by one.
    pub(crate) commits: u64,
    /// Sort keys of outbox records that were left.
    pub(crate) records: Vec<String>,
    /// Messages left in queues, by queue.
    pub(crate) messages: BTreeMap<String, u64>,
    /// Payloads left. With no message and no record left, nothing refers to them.
    pub(crate) payloads: u64,
}

/// What the audit found.
#[derive(Debug, Serialize)]
pub(crate) struct Verdict {
    pub(crate) balanced: bool,
    pub(crate) shipped: u64,
    pub(crate) cancelled: u64,
    /// Orders that were placed and did not end.
    pub(crate) lost: u64,
    /// Orders that ended more than once, SKUs and customers whose numbers are off, commits too many.
    pub(crate) doubled: u64,
    pub(crate) records_left: u64,
    pub(crate) messages_left: u64,
    pub(crate) messages_parked: u64,
    /// Payloads of attempts that died: unreachable, and expired by the bucket's lifecycle.
    pub(crate) orphan_payloads: u64,
    /// The first findings, in words.
    pub(crate) findings: Vec<String>,
}

/// More findings are counted but not told.
const FINDINGS_MAX: usize = 10;

impl Books {
    /// Compares the books with what was ordered.
    pub(crate) fn audit<'a>(&self, placed: impl IntoIterator<Item = &'a PlaceOrder>) -> Verdict {
        let mut verdict = Verdict {
            balanced: false,
            shipped: self.count(Status::Shipped),
            cancelled: self.count(Status::OutOfStock) + self.count(Status::Unpaid),
            lost: 0,
            doubled: 0,
            records_left: self.records.len() as u64,
            messages_left: self.left(false),
            messages_parked: self.left(true),
            orphan_payloads: self.payloads,
            findings: Vec::new(),
        };
        self.audit_orders(placed, &mut verdict);
        self.audit_stock(&mut verdict);
        self.audit_money(&mut verdict);
        self.audit_commits(&mut verdict);
        for record in &self.records {
            verdict.finding(format!("record `{record}` was left"));
        }
        for (queue, left) in self.messages.iter().filter(|(_, left)| **left > 0) {
            verdict.finding(format!("{left} messages were left in queue `{queue}`"));
        }
        let Verdict { lost, doubled, records_left, messages_left, messages_parked, .. } = verdict;
        verdict.balanced = [lost, doubled, records_left, messages_left, messages_parked] == [0; 5];
        verdict
    }

    fn count(&self, status: Status) -> u64 {
        self.orders.values().filter(|order| order.state == status).count() as u64
    }

    fn left(&self, parked: bool) -> u64 {
        self.messages.iter().filter(|(queue, _)| queue.ends_with("-dead") == parked).map(|(_, left)| left).sum()
    }

    /// Every order that was placed ended, and every order there is ended once.
    fn audit_orders<'a>(&self, placed: impl IntoIterator<Item = &'a PlaceOrder>, verdict: &mut Verdict) {
        for PlaceOrder { order: id, .. } in placed {
            if !self.orders.contains_key(id) {
                verdict.lost += 1;
                verdict.finding(format!("order `{id}` was placed and is not there"));
            }
        }
        for (id, Order { state, ended, .. }) in &self.orders {
            match ended {
                1 if state.is_final() => {}
                0 | 1 => {
                    verdict.lost += 1;
                    verdict.finding(format!("order `{id}` did not end: it is {state:?}"));
                }
                times => {
                    verdict.doubled += 1;
                    verdict.finding(format!("order `{id}` ended {times} times"));
                }
            }
        }
    }

    /// No unit came from nowhere or vanished; what left is what orders shipped.
    fn audit_stock(&self, verdict: &mut Verdict) {
        let shipped = self.sum_of_shipped(|order| (order.sku.clone(), order.quantity));
        for (sku, Stock { available, reserved, shipped: left }) in &self.stock {
            let reserved: u64 = reserved.values().sum();
            let ordered = shipped.get(sku).copied().unwrap_or(0);
            if available + reserved + left != STOCK_AT_FIRST || *left != ordered || reserved > 0 {
                verdict.doubled += 1;
                verdict.finding(format!(
                    "stock of `{sku}`: {STOCK_AT_FIRST} at first, now {available} available, {reserved} reserved and \
                     {left} shipped; orders shipped {ordered}"
                ));
            }
        }
        for sku in shipped.keys().filter(|sku| !self.stock.contains_key(*sku)) {
            verdict.doubled += 1;
            verdict.finding(format!("orders shipped `{sku}`, of which there is no stock"));
        }
    }

    /// Every customer was charged what the shipped orders cost.
    fn audit_money(&self, verdict: &mut Verdict) {
        let owed = self.sum_of_shipped(|order| (order.customer.clone(), order.amount_cents));
        let nobody = Account::default();
        let customers: std::collections::BTreeSet<_> = self.accounts.keys().chain(owed.keys()).collect();
        for customer in customers {
            let charged = self.accounts.get(customer).unwrap_or(&nobody).charged_cents;
            let owed = owed.get(customer).copied().unwrap_or(0);
            if charged != owed {
                verdict.doubled += 1;
                verdict.finding(format!("customer `{customer}` was charged {charged} cents and owes {owed}"));
            }
        }
    }

    /// Every message moved a version, once.
    fn audit_commits(&self, verdict: &mut Verdict) {
        let messages: u64 = self.orders.values().map(|order| order.state.messages()).sum();
        if self.commits != messages {
            verdict.doubled += self.commits.saturating_sub(messages);
            verdict.lost += messages.saturating_sub(self.commits);
            verdict.finding(format!("{} commits were made for {messages} messages", self.commits));
        }
    }

    fn sum_of_shipped(&self, what: impl Fn(&Order) -> (String, u64)) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for (key, amount) in self.orders.values().filter(|order| order.state == Status::Shipped).map(what) {
            *sums.entry(key).or_default() += amount;
        }
        sums
    }
}

impl Verdict {
    fn finding(&mut self, text: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(text);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placed() -> PlaceOrder {
        PlaceOrder {
            order: "o".to_owned(),
            customer: "c".to_owned(),
            sku: "s".to_owned(),
            quantity: 2,
            unit_price_cents: 5,
        }
    }

    /// One order of two, shipped and paid.
    fn books() -> Books {
        let order = Order {
            order: "o".to_owned(),
            customer: "c".to_owned(),
            sku: "s".to_owned(),
            quantity: 2,
            amount_cents: 10,
            state: Status::Shipped,
            ended: 1,
        };
        let stock = Stock { available: STOCK_AT_FIRST - 2, shipped: 2, ..Stock::default() };
        Books {
            orders: BTreeMap::from([("o".to_owned(), order)]),
            stock: BTreeMap::from([("s".to_owned(), stock)]),
            accounts: BTreeMap::from([("c".to_owned(), Account { charged_cents: 10, refused: 0 })]),
            payloads: 3,
            commits: 6,
            ..Books::default()
        }
    }

    #[test]
    fn balanced_books_are_balanced() {
        let verdict = books().audit([&placed()]);
        assert!(verdict.balanced, "{verdict:?}");
        assert_eq!((verdict.shipped, verdict.orphan_payloads), (1, 3));
    }

    #[test]
    fn whatever_is_off_is_found() {
        type Change = fn(&mut Books);
        let changes: [(&str, Change); 10] = [
            ("7 commits were made for 6 messages", |books| books.commits += 1),
            ("is not there", |books| books.orders.clear()),
            ("did not end", |books| books.orders.values_mut().for_each(|order| order.state = Status::Reserved)),
            ("ended 2 times", |books| books.orders.values_mut().for_each(|order| order.ended = 2)),
            ("stock of `s`", |books| books.stock.values_mut().for_each(|stock| stock.available -= 1)),
            ("stock of `s`", |books| {
                books.stock.values_mut().for_each(|stock| {
                    stock.available -= 2;
                    stock.shipped += 2;
                });
            }),
            ("no stock", |books| books.stock.clear()),
            ("was charged 20", |books| books.accounts.values_mut().for_each(|account| account.charged_cents = 20)),
            ("was left", |books| books.records.push("outbox#orders#m".to_owned())),
            ("queue `orders-dead`", |books| books.messages.extend([("orders-dead".to_owned(), 1)])),
        ];
        for (finding, change) in changes {
            let mut books = books();
            change(&mut books);
            let verdict = books.audit([&placed()]);
            assert!(!verdict.balanced, "{finding}");
            assert!(verdict.findings.iter().any(|text| text.contains(finding)), "{finding}: {verdict:?}");
        }
    }
}
