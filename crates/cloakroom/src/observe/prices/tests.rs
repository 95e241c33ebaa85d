use super::*;
use crate::observe::consumption::Consumed;

const ONE: &str = r#"{ "region": "here", "dynamodb_write_unit": 1, "dynamodb_read_unit": 0.5, "s3_put_class": 3,
    "s3_get_class": 0, "s3_express": { "put_class": 0.5, "get_class": 0.25, "gb_put": 64, "gb_got": 16 },
    "sqs_request": 2, "sqs_fifo_request": 4 }"#;

const MB: u64 = 1 << 20;

fn one() -> Prices {
    Prices::read(ONE, "one", None).unwrap()
}

fn refusal(text: &str, region: Option<&str>) -> String {
    Prices::read(text, "`prices.json`", region).unwrap_err().to_string()
}

/// Returns the cost of this consumption.
fn dollars<const N: usize>(prices: &Prices, consumed: [(Service, &'static str, Used); N]) -> Dollars {
    let mut consumption = Consumption::default();
    for (service, operation, used) in consumed {
        consumption.add(Consumed { service, operation, used });
    }
    prices.of(&consumption)
}

fn requests(requests: u64) -> Used {
    Used { requests, bytes: 16 * MB, ..Used::default() }
}

#[test]
fn every_service_is_priced() {
    let units = Used { requests: 9, write_units: 6.0, read_units: 4.0, ..Used::default() };
    let dollars = dollars(
        &one(),
        [
            (Service::DynamoDb, "PutItem", units),
            (Service::S3, "PutObject", requests(10)),
            (Service::Sqs, "ReceiveMessage", requests(7)),
            (Service::SqsFifo, "ReceiveMessage", requests(1)),
        ],
    );
    assert_eq!(dollars, Dollars { dynamodb: 8.0, s3: 30.0, sqs: 18.0 });
    assert_eq!(dollars.per_million(1_000).total(), 56_000.0);
    assert_eq!(dollars.by_service().map(|(service, dollars)| (service.name(), dollars))[1], ("s3", 30.0));
}

#[test]
fn s3_requests_are_priced_by_their_operation() {
    let priced =
        |operation| dollars(&Prices { s3_get_class: 1.0, ..one() }, [(Service::S3, operation, requests(2))]).s3;
    for (operation, each) in [
        ("PutObject", 3.0),
        ("ListObjectsV2", 3.0),
        ("CopyObject", 3.0),
        ("other", 3.0),
        ("GetObject", 1.0),
        ("HeadObject", 1.0),
        ("DeleteObject", 0.0),
        ("DeleteObjects", 0.0),
    ] {
        assert_eq!(priced(operation), 2.0 * each, "{operation}");
    }
}

#[test]
fn s3_express_bills_bytes_and_is_priced_as_s3_where_it_has_no_prices() {
    let all = ["PutObject", "GetObject", "DeleteObject"];
    let priced =
        |prices: &Prices| all.map(|operation| dollars(prices, [(Service::S3Express, operation, requests(2))]).s3);
    assert_eq!(priced(&one()), [2.0, 0.75, 0.0]);
    assert_eq!(priced(&Prices { s3_express: None, ..one() }), [6.0, 0.0, 0.0]);
}

#[test]
fn error_names_the_invalid_price() {
    let without = |part: &str| ONE.replace(part, "");
    assert!(refusal(&without(", \"sqs_fifo_request\": 4"), None).contains("`sqs_fifo_request`"));
    assert!(refusal(&without(", \"gb_got\": 16"), None).contains("`gb_got`"));
    assert!(refusal(&without("\"region\": \"here\","), None).contains("`region`"));
    assert!(refusal(&ONE.replace(": 0,", ": -1,"), None).contains("`s3_get_class` of region \"here\" is -1"));
    assert!(refusal(&ONE.replace(": 64,", ": -1,"), None).contains("`s3_express.gb_put` of region \"here\" is -1"));
    assert!(refusal(&ONE.replace(": 0,", ": \"x\","), None).contains("`s3_get_class` of region \"here\" is \"x\""));
    assert!(refusal(&ONE.replace(": 0,", ": null,"), None).contains("`s3_get_class` of region \"here\" is null"));
    assert!(refusal("7", None).contains("`7` is no object"));
    assert!(refusal(&ONE.replace("sqs_request", "sqs_requests"), None).contains("`sqs_requests`"));
    assert!(refusal(&ONE.replace("gb_put", "gb"), None).contains("`gb`"));
    assert!(refusal("{", None).contains("`prices.json` cannot be used"));
    assert!(refusal(ONE, Some("there")).contains("(here), and `there` is not among them"));
}

#[test]
fn price_file_may_have_several_regions_but_each_only_once() {
    let two = format!("[{ONE}, {}]", ONE.replace("here", "there"));
    assert_eq!(Prices::read(&two, "two", Some("there")).unwrap().region(), "there");
    assert!(refusal(&two, None).contains("2 regions (here, there)"));
    assert!(refusal(&format!("[{ONE}, {ONE}]"), Some("here")).contains("region \"here\" twice"));
}

#[test]
fn list_prices_can_be_read() {
    assert_eq!(Prices::list(None).unwrap(), Prices::list(Some("us-east-1")).unwrap());
    let unknown = Prices::list(Some("mars")).unwrap_err().to_string();
    assert!(unknown.contains("us-east-1") && unknown.contains("`mars` is not among them"), "{unknown}");
}

/// AWS keeps these ratios in all regions, apart from rounding. So this test finds a mistyped digit.
#[test]
fn list_prices_keep_the_ratios_of_aws() {
    let is_near = |one: f64, other: f64| (one / other - 1.0).abs() < 0.02;
    let all: Vec<Value> = serde_json::from_str(LIST_PRICES).unwrap();
    assert!(all.len() >= 7, "{} regions", all.len());
    for region in all.iter().filter_map(|prices| prices["region"].as_str()) {
        let prices = Prices::list(Some(region)).unwrap();
        assert!(is_near(prices.dynamodb_write_unit, 5.0 * prices.dynamodb_read_unit), "{prices:?}");
        assert!(is_near(prices.s3_put_class, 12.5 * prices.s3_get_class), "{prices:?}");
        assert!(is_near(prices.sqs_fifo_request, 1.25 * prices.sqs_request), "{prices:?}");
        let markup = prices.dynamodb_write_unit / 0.625e-6;
        assert!((1.0..1.5).contains(&markup), "{prices:?}");
    }
}

/// Prices of a million payloads. With 4 KB, DynamoDB costs 8 write units and a read unit, $5.125.
/// With 5 KB it costs $6.5. A PUT and a GET cost $5.4.
#[test]
fn payload_is_small_if_it_is_cheaper_in_dynamodb() {
    let prices = Prices::list(None).unwrap();
    assert_eq!(prices.small_payload_bytes_max(), 4 * 1024);
    let with = |s3_put_class| Prices { s3_put_class, ..prices.clone() }.small_payload_bytes_max();
    assert_eq!(with(0.0), 0);
    assert_eq!(with(6.2e-6), 5 * 1024);
    assert_eq!(with(1.0), 400 * 1024);
}
