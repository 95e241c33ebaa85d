use std::collections::BTreeSet;

use serde_json::json;

use crate::lambda::report::failures;
use crate::lambda::settings::FunctionSettings;

#[test]
fn function_responses_are_interpreted_as_by_lambda() {
    let batch = BTreeSet::from(["a", "b"]);
    let failed =
        |response| failures(&response, &batch).map(|ids| ids.into_iter().map(str::to_owned).collect::<Vec<_>>());
    for success in [
        json!(null),
        json!({}),
        json!({ "batchItemFailures": null }),
        json!({ "batchItemFailures": [] }),
        json!({ "statusCode": 200, "body": "done" }),
    ] {
        assert_eq!(failed(success), Ok(Vec::new()));
    }
    let one = json!({ "batchItemFailures": [{ "itemIdentifier": "b" }] });
    assert_eq!(failed(one), Ok(vec!["b".to_owned()]));
    for failure in [
        json!({ "batchItemFailures": [{ "itemIdentifier": "" }] }),
        json!({ "batchItemFailures": [{ "itemIdentifier": null }] }),
        json!({ "batchItemFailures": [{ "itemIdentifier": "c" }] }),
        json!({ "batchItemFailures": [{ "itemIdentifier": "a" }, { "messageId": "b" }] }),
        json!({ "batchItemFailures": "a" }),
        json!({ "batchItemFailures": {} }),
        json!({ "batchItemFailures": false }),
        json!({ "batchItemFailures": ["a"] }),
        json!({ "batchItemFailures": [null] }),
        json!("done"),
        json!(""),
        json!(1),
        json!(true),
        json!([]),
        json!([{ "itemIdentifier": "a" }]),
    ] {
        assert!(failed(failure.clone()).is_err(), "{failure}");
    }
}

#[test]
fn function_settings_that_aws_rejects_are_rejected_by_name() {
    let complaint = |queue: &str, settings: FunctionSettings| settings.validate(queue).err().unwrap_or_default();
    let default = FunctionSettings::default;
    assert_eq!(complaint("orders", default()), "");
    assert!(complaint("orders", FunctionSettings { timeout_s: 901, ..default() }).contains("`timeout_s` is 901"));
    assert!(complaint("orders", FunctionSettings { batch_size: 11, ..default() }).contains("`batch_size` is 11"));
    assert_eq!(complaint("orders", FunctionSettings { batch_size: 11, batch_window_s: 1, ..default() }), "");
    let window = FunctionSettings { batch_window_s: 1, ..default() };
    assert!(complaint("orders.fifo", window).contains("`batch_window_s` is 1"));
    assert!(complaint("orders", FunctionSettings { name: "a b".into(), ..default() }).contains("`a b`"));
}
