//! A soak, end to end, limited by a number of orders instead of minutes.

use std::process::{Command, Stdio};

use serde_json::Value;

fn soak(arguments: &[&str]) -> (Option<i32>, Value, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
    let output = command.args(["soak", "--json"]).args(arguments).stdin(Stdio::null()).output().expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output.status.code(), serde_json::from_slice(&output.stdout).unwrap_or(Value::Null), stderr)
}

fn number(report: &Value, path: &str) -> u64 {
    report.pointer(path).and_then(Value::as_u64).unwrap_or_else(|| panic!("no number at {path}: {report}"))
}

#[test]
fn soak_books_balance_after_kills_and_losses() {
    let (code, report, stderr) =
        soak(&["--orders", "80", "--kill-every-ms", "1500", "--faults", "0.03", "--silence-every-ms", "0"]);
    assert_eq!((code, &report["verdict"]["balanced"]), (Some(0), &Value::Bool(true)), "{report}{stderr}");
    assert_eq!(number(&report, "/verdict/shipped") + number(&report, "/verdict/cancelled"), 80, "{report}");
    assert_eq!((number(&report, "/orders"), &report["stuck"]), (80, &Value::Null), "{report}");
    assert!(number(&report, "/kills") >= 3, "{report}");
    // Responses of each of the three services were lost after the effect of the most important
    // calls.
    for effect in ["DynamoDB/Commit", "S3/CheckIn", "SQS/Send"] {
        assert!(number(&report, &format!("/losses/{effect}/unanswered")) > 0, "{effect}: {report}");
    }
    for seen in ["/events/duplicate", "/events/resumed", "/usage/faults/lost_responses", "/losses/DynamoDB/Commit/late"]
    {
        assert!(number(&report, seen) > 0, "{seen}: {report}");
    }
}

#[test]
fn soak_books_balance_after_silences_and_no_standstill_is_long() {
    let (code, report, stderr) =
        soak(&["--orders", "40", "--silence-every-ms", "6000", "--kill-every-ms", "5000", "--faults", "0"]);
    assert_eq!((code, &report["verdict"]["balanced"]), (Some(0), &Value::Bool(true)), "{report}{stderr}");
    assert_eq!(&report["stuck"], &Value::Null, "{report}");
    assert!(number(&report, "/silences") > 0, "{report}");
    assert!(number(&report, "/usage/faults/silences") > 0, "{report}");
    let standstill = report["standstill_seconds"].as_f64();
    assert!(standstill.is_some_and(|seconds| seconds <= 15.0), "{report}");
}

#[test]
fn soak_audit_fails_for_a_naive_consumer() {
    let (code, report, stderr) =
        soak(&["--orders", "20", "--kill-every-ms", "1500", "--faults", "0", "--silence-every-ms", "0", "--naive"]);
    assert_eq!((code, &report["verdict"]["balanced"]), (Some(1), &Value::Bool(false)), "{report}{stderr}");
}

#[test]
fn an_option_out_of_range_is_named() {
    for (arguments, named) in [
        (["--minutes", "0"], "`--minutes` is 0"),
        (["--kill-every-ms", "1"], "`--kill-every-ms` is 1"),
        (["--silence-every-ms", "1"], "`--silence-every-ms` is 1"),
        (["--faults", "2"], "`--faults` is 2"),
        (["--workers", "0"], "`--workers` is 0"),
    ] {
        let (code, _, stderr) = soak(&arguments);
        assert_eq!(code, Some(2));
        assert!(stderr.contains(named), "{stderr}");
    }
}
