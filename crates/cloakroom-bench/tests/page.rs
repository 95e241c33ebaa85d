//! The page, for valid reports and for some invalid ones.

use std::collections::BTreeMap;

use cloakroom::observe::{Consumed, Consumption, Service, Used};
use cloakroom_bench::{
    page::html,
    report::{Audit, FORMAT, Latency, Measured, Report, Workload},
};

fn measured(name: &str) -> Measured {
    let mut consumption = Consumption::default();
    let used = Used { requests: 3_000, write_units: 4_000.0, ..Used::default() };
    consumption.add(Consumed { service: Service::DynamoDb, operation: "TransactWriteItems", used });
    Measured {
        contestant: name.to_owned(),
        promise: "exactly once".to_owned(),
        messages: 1_000,
        seconds: 4.5,
        offered_per_s: Some(250.0),
        ended_by_second: vec![100, 250, 250, 300, 100],
        latency: Latency {
            p50_us: 900,
            p90_us: 1_500,
            p99_us: 9_000,
            p999_us: 70_000,
            max_us: 80_000,
            curve: Vec::new(),
        },
        consumption,
        dollars_per_million: BTreeMap::from([("dynamodb".to_owned(), 2.5), ("sqs".to_owned(), 0.12)]),
        cpu_seconds: 2.0,
        counts: BTreeMap::from([("conflicts".to_owned(), 7), ("duplicates".to_owned(), 4_321)]),
        audit: Audit::default(),
    }
}

fn report(measured: Vec<Measured>) -> Report {
    Report {
        format: FORMAT,
        began: "2026-03-01T12:00:00Z".to_owned(),
        target: "embedded AWS".to_owned(),
        workload: Workload {
            rate_per_s: Some(250.0),
            messages: 1_000,
            entities: 100,
            skew: 1.1,
            payload_bytes: 1024,
            in_flight_max: 48,
            workers: 2,
        },
        price_region: "us-east-1".to_owned(),
        measured,
        interrupted: false,
        remarks: Vec::new(),
    }
}

/// Asserts that every element is closed in the right order, and that no text is outside of the
/// elements.
fn must_be_well_formed(page: &str) {
    let (mut open, mut rest) = (Vec::new(), page.strip_prefix("<!doctype html>").expect("a page of HTML"));
    while let Some((text, tail)) = rest.split_once('<') {
        assert!(!text.contains('>') || open.last() == Some(&"style"), "{text}");
        let (tag, tail) = tail.split_once('>').expect("a tag ends");
        assert_eq!(tag.matches('"').count() % 2, 0, "<{tag}>");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "in <{tag}>");
        } else if !tag.ends_with('/') {
            open.push(tag.split([' ', '\n']).next().unwrap_or(tag));
        }
        rest = tail;
    }
    assert_eq!((open, rest.trim()), (Vec::new(), ""));
}

/// Draws a page, and asserts what must hold for every page.
fn drawn(report: &Report) -> String {
    let page = html(report);
    must_be_well_formed(&page);
    let foreign = page.replace("xmlns=\"http://www.w3.org/2000/svg\"", "");
    for reference in ["http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link"] {
        assert!(!foreign.contains(reference), "the page refers to something else by `{reference}`");
    }
    for nonsense in ["NaN", "inf", "-0.00", "could not be drawn"] {
        let found = page.find(nonsense).map(|at| &page[at.saturating_sub(80)..at + nonsense.len()]);
        assert_eq!(found, None, "{nonsense}");
    }
    page
}

fn figures(page: &str) -> usize {
    page.matches("<svg ").count()
}

#[test]
fn page_shows_all_measurements() {
    let page = drawn(&report(vec![measured("cloakroom"), measured("at-least-once")]));
    assert_eq!(figures(&page), 4);
    for text in [
        "2 contestants on embedded AWS",
        "Began 2026-03-01T12:00:00Z. Prices of us-east-1.",
        "1,000 messages of 1 KB for each contestant, for 100 entities, spread by Zipf’s law with exponent 1.10.",
        "Intended rate: 250 messages per second, independent of their processing (an open loop).",
        "2 workers with at most 48 messages in flight each.",
        "The books balance",
        "<td>250</td><td class=\"main\">222</td><td>900 µs</td><td>9.00 ms</td><td>70.0 ms</td><td>3.00</td>",
        "<td>2.50</td><td>0.12</td><td class=\"main\">2.62</td><td>2.00</td><td>4,321</td><td>7</td></tr>",
        "<th>DynamoDB</th><th>SQS</th><th>all</th>",
        "DynamoDB TransactWriteItems</th><td>3.000</td>",
        "DynamoDB write units</th><td>4.00</td>",
        "4,321 + 7.00",
        "99.9 %",
    ] {
        assert!(page.contains(text), "`{text}` is missing");
    }
    assert!(!page.contains("class=\"banner\"") && !page.contains("not 250"));
}

#[test]
fn page_marks_an_interrupted_run_as_partial() {
    let page = drawn(&Report { interrupted: true, ..report(vec![measured("cloakroom")]) });
    assert!(page.contains("class=\"banner\"") && page.contains("Partial:"));
}

#[test]
fn page_starts_with_unbalanced_books() {
    let mut wrong = measured("at-least-once");
    wrong.audit = Audit { lost: 1, doubled: 1_200, unsent: 0, sent_twice: 3 };
    let page = drawn(&report(vec![measured("cloakroom"), wrong]));
    assert!(page.contains("✗ The books of 1 of 2 do not balance: at-least-once."));
    assert!(page.contains("✗ 1 lost,<br/>1,200 doubled,<br/>3 sent twice"));
}

/// The page never shows the intended rate as the reached one.
#[test]
fn page_marks_a_rate_that_was_not_reached() {
    let slow = Measured { offered_per_s: Some(120.0), ..measured("cloakroom") };
    assert!(drawn(&report(vec![slow])).contains("<td class=\"bad\">120<br/><small>not 250</small></td>"));
    let unknown = Measured { offered_per_s: None, ..measured("cloakroom") };
    assert!(drawn(&report(vec![unknown])).contains("<td class=\"bad\">–<br/>"));
}

#[test]
fn page_escapes_texts_of_the_report() {
    let evil = "</title><script>alert(1)</script>&\u{0}\"'";
    let mut one = measured(evil);
    one.promise = evil.to_owned();
    one.counts = BTreeMap::from([(evil.to_owned(), 1)]);
    one.dollars_per_million = BTreeMap::from([(evil.to_owned(), 1.0)]);
    one.audit.lost = 1;
    let mut report = report(vec![one]);
    report.remarks = vec![evil.to_owned()];
    (report.began, report.target, report.price_region) = (evil.to_owned(), evil.to_owned(), evil.to_owned());
    let page = drawn(&report);
    assert!(page.contains("&lt;script&gt;") && !page.contains('\0'));
}

#[test]
fn page_draws_missing_values_and_values_that_are_not_numbers() {
    let nothing = drawn(&report(Vec::new()));
    assert!(nothing.contains("Nothing was measured.") && nothing.contains("0 contestants") && figures(&nothing) == 0);

    let mut empty = measured("empty");
    (empty.messages, empty.seconds, empty.offered_per_s) = (0, 0.0, Some(f64::NAN));
    (empty.ended_by_second, empty.latency, empty.cpu_seconds) = (Vec::new(), Latency::default(), f64::INFINITY);
    empty.consumption = Consumption::default();
    empty.dollars_per_million = BTreeMap::new();
    empty.counts = BTreeMap::new();
    let page = drawn(&report(vec![empty.clone()]));
    assert!(figures(&page) == 4 && page.contains("<td>–</td>"));

    let mut odd = measured("odd");
    odd.dollars_per_million = [f64::NAN, f64::INFINITY, -1.0].iter().map(|cost| (cost.to_string(), *cost)).collect();
    odd.latency.curve = vec![(f64::NAN, 1), (100.0, u64::MAX), (-5.0, 0), (99.999_999_999, 3), (50.0, 2)];
    odd.ended_by_second = vec![u64::MAX / 4; 3];
    // Replaces the names, which contain the numbers.
    odd.dollars_per_million = odd
        .dollars_per_million
        .into_values()
        .zip(["a", "b", "c"])
        .map(|(cost, name)| (name.to_owned(), cost))
        .collect();
    let mut strange = report(vec![odd, empty]);
    (strange.workload.rate_per_s, strange.workload.skew) = (Some(f64::NAN), f64::NAN);
    let page = drawn(&strange);
    assert_eq!((figures(&page), page.contains("99.9999 %"), page.contains("99.99999 %")), (4, true, false));
}

#[test]
fn page_draws_one_or_twenty_contestants_and_a_whole_day() {
    let mut day = measured("day");
    day.ended_by_second = vec![50; 86_400];
    let page = drawn(&report(vec![day]));
    assert!(page.len() < 60_000, "{} bytes: a day has too many points", page.len());
    let twenty = (0..20).map(|number| measured(&format!("contestant {number} with a name that is much too long")));
    let page = drawn(&report(twenty.collect()));
    assert!(
        page.contains("contestant 19 with a name tha…")
            && page.contains(">20</span> contestant 19 with a name that is much")
    );
}
