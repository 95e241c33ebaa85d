//! The audit: do the books balance? It compares the stored state with the orders, and does not know how the state
//! was made.

mod reading;

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

pub use reading::QueueDepths;

use crate::{
    billing::Account,
    orders::{Order, PlaceOrder, Status},
    stock::{STOCK_AT_FIRST, Stock},
};

/// The state of an entity and its version. Each processed message increases the version by 1.
#[derive(Debug)]
pub struct Entry<S> {
    /// The state.
    pub state: S,
    /// The version.
    pub version: u64,
}

/// Everything that is stored at the end of a run.
#[derive(Debug, Default)]
pub struct Books {
    /// By id.
    pub orders: BTreeMap<String, Entry<Order>>,
    /// By SKU.
    pub stock: BTreeMap<String, Entry<Stock>>,
    /// By customer.
    pub accounts: BTreeMap<String, Entry<Account>>,
    /// Sort keys of outbox records that are left.
    pub records: Vec<String>,
    /// Messages left in queues, by queue.
    pub messages: BTreeMap<String, u64>,
    /// Payloads that are left. If no message and no record is left, nothing refers to them.
    pub payloads: u64,
}

/// The result of the audit.
#[derive(Debug, Default, Serialize)]
pub struct Verdict {
    /// True if nothing is lost, doubled, off, left or parked.
    pub balanced: bool,
    /// Orders that were shipped.
    pub shipped: u64,
    /// Orders that were cancelled, for lack of stock or money.
    pub cancelled: u64,
    /// Orders that were placed and are missing, or did not reach a final state.
    pub lost: u64,
    /// Messages that were processed more than once, according to the versions of orders, SKUs and customers.
    pub doubled: u64,
    /// Orders, SKUs and customers with wrong numbers.
    pub off: u64,
    /// Outbox records.
    pub records_left: u64,
    /// Messages in the queues of the services.
    pub messages_left: u64,
    /// Messages in dead-letter queues.
    pub messages_parked: u64,
    /// Payloads of attempts that did not commit. Nothing refers to them, and the bucket's lifecycle deletes them.
    pub orphan_payloads: u64,
    /// The first findings, in words.
    pub findings: Vec<String>,
}

/// Further findings are counted, but not listed.
const FINDINGS_MAX: usize = 10;

impl Books {
    /// Returns how many times messages were processed, duplicates included.
    pub fn commits(&self) -> u64 {
        let orders = self.orders.values().map(|entry| entry.version);
        let stock = self.stock.values().map(|entry| entry.version);
        let accounts = self.accounts.values().map(|entry| entry.version);
        orders.chain(stock).chain(accounts).sum()
    }

    /// Compares the books with the orders that were placed.
    pub fn audit<'a>(&self, placed: impl IntoIterator<Item = &'a PlaceOrder>) -> Verdict {
        let mut verdict = Verdict {
            shipped: self.orders_that(|status| status == Status::Shipped).count() as u64,
            cancelled: self.orders_that(|status| status.is_final() && status != Status::Shipped).count() as u64,
            records_left: self.records.len() as u64,
            messages_left: self.left(false),
            messages_parked: self.left(true),
            orphan_payloads: self.payloads,
            ..Verdict::default()
        };
        for placed in placed {
            self.audit_placed(placed, &mut verdict);
        }
        self.audit_orders(&mut verdict);
        self.audit_stock(&mut verdict);
        self.audit_accounts(&mut verdict);
        for record in &self.records {
            verdict.report(format!("record `{record}` was left"));
        }
        for (queue, left) in self.messages.iter().filter(|(_, left)| **left > 0) {
            verdict.report(format!("{left} messages were left in queue `{queue}`"));
        }
        let Verdict { lost, doubled, off, records_left, messages_left, messages_parked, .. } = verdict;
        verdict.balanced = [lost, doubled, off, records_left, messages_left, messages_parked] == [0; 6];
        verdict
    }

    fn orders_that(&self, has: impl Fn(Status) -> bool) -> impl Iterator<Item = &Order> {
        self.orders.values().map(|entry| &entry.state).filter(move |order| has(order.state))
    }

    fn left(&self, parked: bool) -> u64 {
        self.messages.iter().filter(|(queue, _)| queue.ends_with("-dead") == parked).map(|(_, left)| left).sum()
    }

    /// Checks that the order exists as it was placed.
    fn audit_placed(&self, placed: &PlaceOrder, verdict: &mut Verdict) {
        let PlaceOrder { order: id, customer, sku, quantity, unit_price_cents } = placed;
        let Some(Entry { state: order, .. }) = self.orders.get(id) else {
            verdict.lost += 1;
            return verdict.report(format!("order `{id}` was placed and is missing"));
        };
        let is_same = (&order.customer, &order.sku, order.quantity, order.amount_cents)
            == (customer, sku, *quantity, quantity * unit_price_cents);
        verdict.off += u64::from(!is_same);
        if !is_same {
            verdict.report(format!(
                "order `{id}` differs from what was placed: was another order placed under this id before?"
            ));
        }
    }

    /// Checks that every order reached a final state once, after the right number of messages.
    fn audit_orders(&self, verdict: &mut Verdict) {
        for (id, Entry { state: Order { state, ended, .. }, version }) in &self.orders {
            if !state.is_final() {
                verdict.lost += 1;
                verdict.report(format!("order `{id}` has no final state: it is {state:?}"));
            } else if *ended != 1 {
                verdict.off += 1;
                verdict.report(format!("order `{id}` ended {ended} times"));
            }
            verdict.compare(&format!("order `{id}`"), *version, state.own_messages());
        }
    }

    /// Checks that no unit appeared or vanished, and that the units shipped are those of shipped orders.
    fn audit_stock(&self, verdict: &mut Verdict) {
        let shipped = sums(self.orders_that(|status| status == Status::Shipped), |order| (&order.sku, order.quantity));
        let messages = sums(self.orders_that(|_| true), |order| (&order.sku, order.state.stock_messages()));
        for sku in self.stock.keys().chain(messages.keys().copied()).collect::<BTreeSet<_>>() {
            let nothing = Entry { state: Stock::default(), version: 0 };
            let Entry { state: stock, version } = self.stock.get(sku).unwrap_or(&nothing);
            let reserved: u64 = stock.reserved.values().sum();
            let (available, left) = (stock.available, stock.shipped);
            let ordered = shipped.get(sku).copied().unwrap_or(0);
            if available + reserved + left != STOCK_AT_FIRST || left != ordered || reserved > 0 {
                verdict.off += 1;
                verdict.report(format!(
                    "stock of `{sku}`: {STOCK_AT_FIRST} at first, now {available} available, {reserved} reserved and \
                     {left} shipped; orders shipped {ordered}"
                ));
            }
            verdict.compare(&format!("stock of `{sku}`"), *version, messages.get(sku).copied().unwrap_or(0));
        }
    }

    /// Checks that each customer was charged for the shipped orders, and refused the payments of unpaid ones.
    fn audit_accounts(&self, verdict: &mut Verdict) {
        let owed =
            sums(self.orders_that(|status| status == Status::Shipped), |order| (&order.customer, order.amount_cents));
        let refused = sums(self.orders_that(|status| status == Status::Unpaid), |order| (&order.customer, 1));
        let messages = sums(self.orders_that(|_| true), |order| (&order.customer, order.state.billing_messages()));
        for customer in self.accounts.keys().chain(messages.keys().copied()).collect::<BTreeSet<_>>() {
            let nothing = Entry { state: Account::default(), version: 0 };
            let Entry { state: account, version } = self.accounts.get(customer).unwrap_or(&nothing);
            let of = |sums: &BTreeMap<&String, u64>| sums.get(customer).copied().unwrap_or(0);
            if (account.charged_cents, account.refused) != (of(&owed), of(&refused)) {
                verdict.off += 1;
                verdict.report(format!(
                    "customer `{customer}` was charged {} cents and refused {} payments; owed are {} and {}",
                    account.charged_cents,
                    account.refused,
                    of(&owed),
                    of(&refused)
                ));
            }
            verdict.compare(&format!("customer `{customer}`"), *version, of(&messages));
        }
    }
}

fn sums<'a>(
    orders: impl Iterator<Item = &'a Order>,
    of: impl Fn(&'a Order) -> (&'a String, u64),
) -> BTreeMap<&'a String, u64> {
    let mut sums = BTreeMap::new();
    for (key, amount) in orders.map(of) {
        *sums.entry(key).or_default() += amount;
    }
    sums
}

impl Verdict {
    /// Compares how many messages an entity processed with how many it should have.
    fn compare(&mut self, what: &str, processed: u64, messages: u64) {
        if processed == messages {
            return;
        }
        self.doubled += processed.saturating_sub(messages);
        self.lost += messages.saturating_sub(processed);
        self.report(format!("{what}: {messages} messages, processed {processed} times"));
    }

    fn report(&mut self, finding: String) {
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

#[cfg(test)]
mod tests;
