//! Runs the shop's handlers in the crash kit: their effects count once, with every crash and duplicate.

use cloakroom_sim::{CrashKit, crash_kit::Report};

use crate::{
    billing::{self, ChargePayment, PaymentAccepted, PaymentRefused},
    orders::{self, PlaceOrder},
    stock::{self, ReleaseStock, ReserveStock, STOCK_AT_FIRST, ShipStock, StockRefused, StockReserved},
};

/// Keeps all of these tests within some seconds.
const RUNS_MAX: usize = 30;

#[track_caller]
fn passes(report: &Report, messages: usize) {
    assert!(report.passed(), "{report}");
    // A lower bound, for each combination of check-in timing and identity.
    assert!(report.crash_points() >= 4 * 10 * messages, "{report}");
}

fn place(unit_price_cents: u64) -> PlaceOrder {
    let [order, customer, sku] = ["1", "ada", "lamp"].map(str::to_owned);
    PlaceOrder { order, customer, sku, quantity: 3, unit_price_cents }
}

fn order() -> String {
    "1".to_owned()
}

#[test]
fn an_order_is_placed_once() {
    let kit = CrashKit::new(|_| orders::endpoint()).runs_max(RUNS_MAX);
    passes(&kit.message(place(700)).refused(place(u64::MAX)).run(), 2);
    passes(&CrashKit::new(|_| orders::endpoint()).given(place(700)).refused(place(700)).run(), 1);
}

#[test]
fn stock_is_reserved_for_an_order_or_refused_to_it_once() {
    let kit = CrashKit::new(|_| orders::endpoint()).runs_max(RUNS_MAX).given(place(700));
    passes(&kit.message(StockReserved { order: order() }).message(StockRefused { order: order() }).run(), 2);
}

#[test]
fn an_order_is_paid_or_not_once() {
    let kit = CrashKit::new(|_| orders::endpoint())
        .given(place(700))
        .given(StockReserved { order: order() })
        .runs_max(RUNS_MAX);
    passes(&kit.message(PaymentAccepted { order: order() }).message(PaymentRefused { order: order() }).run(), 2);
}

#[test]
fn stock_is_counted_once() {
    let reserve = |order: &str, quantity| ReserveStock { sku: "lamp".to_owned(), order: order.to_owned(), quantity };
    let report = CrashKit::new(|_| stock::endpoint())
        .runs_max(RUNS_MAX)
        .given(reserve("1", 3))
        .message(reserve("2", 4))
        .message(reserve("3", STOCK_AT_FIRST))
        .message(ShipStock { sku: "lamp".to_owned(), order: order() })
        .message(ReleaseStock { sku: "lamp".to_owned(), order: order() })
        .run();
    passes(&report, 4);
}

#[test]
fn a_customer_is_charged_once() {
    let charge =
        |order: &str, amount_cents| ChargePayment { customer: "ada".to_owned(), order: order.to_owned(), amount_cents };
    let report = CrashKit::new(|_| billing::endpoint())
        .runs_max(RUNS_MAX)
        .given(charge("1", 40_000))
        .given(charge("2", 40_000))
        .given(charge("3", 40_000))
        .message(charge("4", 30_000))
        .message(charge("5", 100_000))
        .message(charge("6", 20_000))
        .run();
    passes(&report, 3);
}
