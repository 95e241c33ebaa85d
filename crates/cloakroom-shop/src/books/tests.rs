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
    let account = Account { charged_cents: 10, refused: 0 };
    Books {
        orders: BTreeMap::from([("o".to_owned(), Entry { state: order, version: 3 })]),
        stock: BTreeMap::from([("s".to_owned(), Entry { state: stock, version: 2 })]),
        accounts: BTreeMap::from([("c".to_owned(), Entry { state: account, version: 1 })]),
        payloads: 3,
        ..Books::default()
    }
}

fn order(books: &mut Books) -> &mut Entry<Order> {
    books.orders.get_mut("o").expect("the order")
}

fn stock(books: &mut Books) -> &mut Entry<Stock> {
    books.stock.get_mut("s").expect("the stock")
}

fn account(books: &mut Books) -> &mut Entry<Account> {
    books.accounts.get_mut("c").expect("the account")
}

#[test]
fn balanced_books_are_balanced() {
    let verdict = books().audit([&placed()]);
    assert!(verdict.balanced, "{verdict:?}");
    assert_eq!((verdict.shipped, verdict.orphan_payloads, books().commits()), (1, 3, 6));
}

#[test]
fn each_wrong_number_is_found() {
    type Change = fn(&mut Books);
    let changes: [(&str, Change); 16] = [
        ("is missing", |books| books.orders.clear()),
        ("has no final state", |books| order(books).state.state = Status::Reserved),
        ("ended 2 times", |books| order(books).state.ended = 2),
        ("differs from what was placed", |books| order(books).state.customer = "d".to_owned()),
        ("differs from what was placed", |books| order(books).state.amount_cents = 11),
        ("order `o`: 3 messages, processed 4 times", |books| order(books).version = 4),
        ("order `o`: 3 messages, processed 2 times", |books| order(books).version = 2),
        ("stock of `s`: 2000 at first", |books| stock(books).state.available -= 1),
        ("stock of `s`: 2000 at first", |books| {
            stock(books).state.available -= 2;
            stock(books).state.shipped += 2;
        }),
        ("stock of `s`: 2 messages", |books| stock(books).version += 1),
        ("stock of `s`: 2 messages, processed 0 times", |books| books.stock.clear()),
        ("was charged 20", |books| account(books).state.charged_cents = 20),
        ("refused 1 payments", |books| account(books).state.refused = 1),
        ("customer `c`: 1 messages", |books| account(books).version += 1),
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
