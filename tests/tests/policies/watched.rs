//! Every count has a metric, and every alarm names its runbook.

use std::collections::{BTreeMap, BTreeSet};

use cloakroom::observe::Counts;
use serde_json::Value;

use crate::{
    template::{Template, names, plain},
    text,
};

const RUNBOOKS: [&str; 6] =
    ["dead letters", "loss alarm", "oldest message", "throttles", "conflicts", "parked messages"];

fn read(name: &str) -> Template {
    Template::read(name, &[("Application", "shop"), ("Service", "orders"), ("Queue", "orders"), ("Cluster", "shop")])
}

fn counts() -> BTreeSet<String> {
    let counts = serde_json::to_value(Counts::default()).expect("plain data");
    counts.as_object().expect("fields").keys().cloned().collect()
}

#[test]
fn every_count_becomes_a_metric() {
    let watch = read("watch.yaml");
    let filters = watch.of_type("AWS::Logs::MetricFilter").into_iter().map(|(_, filter)| filter);
    let metrics = filters.map(|filter| {
        assert_eq!(filter["FilterPattern"], r#"{ $.target = "cloakroom::counts" }"#);
        assert_eq!(filter["LogGroupName"], "/cloakroom/shop/orders");
        let metric = filter["MetricTransformations"][0].clone();
        assert_eq!(metric["MetricNamespace"], "Cloakroom/shop/orders");
        assert_eq!(metric["MetricValue"], format!("$.{}", plain(&metric["MetricName"])));
        plain(&metric["MetricName"])
    });
    assert_eq!(metrics.collect::<BTreeSet<_>>(), counts());
}

/// Functions and services log to the log group that the metric filters read.
#[test]
fn functions_and_services_log_to_the_group_of_the_metric_filters() {
    for name in ["function.yaml", "service.yaml"] {
        assert_eq!(read(name).properties("Logs")["LogGroupName"], "/cloakroom/shop/orders", "{name}");
    }
}

/// Returns the namespace and the name of each metric that an alarm uses.
fn metrics_of(alarm: &Value) -> Vec<(String, String)> {
    let whole = [alarm].into_iter().filter(|alarm| alarm.get("MetricName").is_some());
    let parts = alarm["Metrics"].as_array().into_iter().flatten().map(|part| &part["MetricStat"]["Metric"]);
    let metrics = whole.chain(parts).filter(|metric| !metric.is_null());
    metrics.map(|metric| (plain(&metric["Namespace"]), plain(&metric["MetricName"]))).collect()
}

#[test]
fn every_alarm_names_its_runbook_and_notifies_its_topic() {
    let mut named = BTreeMap::new();
    for name in names() {
        for (alarm, properties) in read(&name).of_type("AWS::CloudWatch::Alarm") {
            let text = plain(&properties["AlarmDescription"]);
            let runbooks =
                RUNBOOKS.iter().filter(|runbook| text.contains(&format!("\"Runbook: {runbook}\" in OPERATIONS")));
            let runbooks: Vec<_> = runbooks.collect();
            assert_eq!(runbooks.len(), 1, "{name}: {alarm}: {text}");
            named.insert(**runbooks.first().expect("a runbook"), alarm.clone());
            let topic = Template::read(&name, &[("Application", "shop"), ("AlarmTopic", "arn:aws:sns:topic")]);
            let actions = &topic.properties(&alarm)["AlarmActions"];
            assert_eq!(actions[0], "arn:aws:sns:topic", "{name}: {alarm}");
            assert!(properties.get("AlarmActions").is_none(), "{name}: {alarm} has an action without a topic");
            for (namespace, metric) in metrics_of(&properties) {
                assert!(namespace != "Cloakroom/shop/orders" || counts().contains(&metric), "{alarm}: {metric}");
            }
        }
    }
    assert_eq!(named.keys().copied().collect::<BTreeSet<_>>(), RUNBOOKS.into(), "{named:?}");
}

#[test]
fn every_runbook_is_written() {
    let operations = text("crates/cloakroom/src/docs/OPERATIONS.md");
    for runbook in RUNBOOKS {
        assert!(operations.contains(&format!("\n# Runbook: {runbook}\n")), "OPERATIONS has no runbook for {runbook}");
    }
}

#[test]
fn the_dashboard_is_json_and_shows_every_count() {
    let body = plain(&read("watch.yaml").properties("Dashboard")["DashboardBody"]);
    let body: Value = serde_json::from_str(&body).unwrap_or_else(|error| panic!("{error}: {body}"));
    let metrics = body["widgets"].as_array().expect("widgets").iter();
    let metrics = metrics.flat_map(|widget| widget["properties"]["metrics"].as_array().expect("metrics"));
    let shown = metrics.filter(|metric| metric[0] == "Cloakroom/shop/orders").map(|metric| plain(&metric[1]));
    assert_eq!(shown.collect::<BTreeSet<_>>(), counts());
}

#[test]
fn parameters_are_documented() {
    let readme = text("infra/README.md");
    for name in names() {
        let template = read(&name);
        for parameter in template.parameters() {
            let description = template.parameter(&parameter, "Description").as_str();
            assert!(description.is_some_and(|text| text.len() > 20), "{name}: {parameter} has no description");
            assert!(readme.contains(&format!("`{parameter}`")), "{name}: {parameter} is not in the README");
        }
    }
}

/// The example reads every environment variable that its template sets.
#[test]
fn example_reads_every_variable_of_its_template() {
    let documented = text("crates/cloakroom-shop/src/bin/shop-service/main.rs");
    let containers = read("service.yaml").properties("Task")["ContainerDefinitions"].clone();
    for variable in containers[0]["Environment"].as_array().expect("variables") {
        let name = plain(&variable["Name"]);
        assert!(documented.contains(&format!("//! | `{name}` |")), "the example does not read {name}");
    }
}
