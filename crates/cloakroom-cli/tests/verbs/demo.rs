//! The demonstration, end to end: over real HTTP, with faults and crashes, and with few orders.

mod soak;

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, Command, Output, Stdio},
};

use serde_json::Value;

fn cloakroom(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the demonstration and returns its exit code and report.
fn demo(arguments: &[&str]) -> (Option<i32>, Value) {
    let output = cloakroom(&[&["demo", "--json"], arguments].concat()).output().expect("it starts");
    (output.status.code(), report(&output))
}

fn report(output: &Output) -> Value {
    let text = String::from_utf8_lossy(&output.stdout);
    serde_json::from_str(&text).unwrap_or_else(|error| {
        panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr));
    })
}

#[track_caller]
fn must_balance((code, report): &(Option<i32>, Value), orders: u64) {
    let verdict = &report["verdict"];
    assert_eq!((code, &verdict["balanced"]), (&Some(0), &Value::Bool(true)), "{report}");
    assert_eq!(verdict["shipped"].as_u64().zip(verdict["cancelled"].as_u64()).map(|(a, b)| a + b), Some(orders));
}

/// The faults of these tests: more than by default, because the runs are short.
const FAULTS: [&str; 8] = ["--faults", "0.03", "--duplicates", "0.3", "--late", "0.3", "--crash-every-ms", "600"];

#[test]
fn the_books_balance_in_spite_of_trouble() {
    let run = demo(&[&FAULTS[..], &["--orders", "30"]].concat());
    must_balance(&run, 30);
    let (_, report) = run;
    for seen in ["/events/duplicate", "/crashes", "/usage/faults/lost_responses", "/usage/faults/transaction_conflicts"]
    {
        assert!(report.pointer(seen).and_then(Value::as_u64) > Some(0), "no faults at {seen}: {report}");
    }
}

#[test]
fn demo_books_balance_with_check_in_after_the_commit() {
    must_balance(&demo(&[&FAULTS[..], &["--orders", "10", "--check-in", "after-commit"]].concat()), 10);
}

#[test]
fn demo_books_balance_when_worker_processes_are_killed() {
    let run = demo(&["--orders", "30", "--duplicates", "0.3", "--processes"]);
    must_balance(&run, 30);
    assert!(run.1["crashes"].as_u64() > Some(0), "{}", run.1);
}

#[test]
fn naive_consumer_fails_the_same_audit_under_the_same_faults() {
    let (code, report) = demo(&[&FAULTS[..], &["--orders", "10", "--naive"]].concat());
    assert_eq!(code, Some(1), "{report}");
    assert_eq!(report["verdict"]["balanced"], Value::Bool(false));
    assert!(report["verdict"]["doubled"].as_u64() > Some(0), "{report}");
}

#[test]
fn naive_consumer_passes_the_audit_without_faults() {
    must_balance(&demo(&["--orders", "20", "--naive", "--calm"]), 20);
}

#[test]
fn a_calm_run_balances_without_any_duplicate() {
    let run = demo(&["--orders", "20", "--calm"]);
    must_balance(&run, 20);
    assert_eq!((&run.1["events"]["duplicate"], &run.1["crashes"]), (&Value::from(0), &Value::from(0)));
    // Only a commit that is lost to another worker leaves payloads behind.
    let orphans = run.1["verdict"]["orphan_payloads"].as_u64();
    assert!(orphans == Some(0) || run.1["events"]["conflict"].as_u64() > Some(0), "{}", run.1);
}

/// The demonstration's own reads of the queue depths are not part of the cost of a message. Each
/// worker has one message in flight, so it requests the URL of each queue once.
#[test]
fn reads_of_queue_depths_are_not_priced() {
    let (_, report) = demo(&["--orders", "20", "--calm", "--in-flight", "1"]);
    let requests = |name: &str| report["usage"]["sqs"]["requests"][name].as_u64().expect("a number");
    assert!(requests("GetQueueAttributes") > 0);
    // Two workers of each service: its own queue, its dead-letter queue, and the queues it sends
    // to. And one request of the website.
    assert!(requests("GetQueueUrl") <= 2 * (4 + 3 + 3) + 1, "{report}");
    let billed = report["usage"]["sqs"]["billed_requests"].as_u64().expect("a number");
    let priced = report["per_message"]["sqs_requests"].as_f64().zip(report["messages"].as_f64()).map(|(a, b)| a * b);
    assert_eq!(priced.map(f64::round), Some((billed - requests("GetQueueAttributes")) as f64), "{report}");
    for operation in ["receive", "send", "delete"] {
        let fill = report["per_message"]["fill"][operation].as_f64().expect("a number");
        assert!(fill > 0.0 && fill <= 10.0, "{operation}: {fill}");
    }
}

#[test]
fn demo_continues_after_its_process_was_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    // Only few crashes: on a slow machine, many crashes would use up the receives of a message.
    let (data, crashes) = (folder.path().to_str().expect("a path"), ["--crash-every-ms", "2000"]);
    let arguments = [&["--orders", "40", "--data", data], &crashes[..]].concat();
    for messages in [30, 40, 50] {
        let demo = cloakroom(&[&["demo", "--json", "--progress"], &arguments[..]].concat()).spawn().expect("it starts");
        kill_after(Running(demo), messages);
    }
    let run = demo(&arguments);
    must_balance(&run, 40);
    let messages = run.1["messages"].as_u64().expect("a number");
    assert!((1..220).contains(&messages), "{messages} of about 240 messages were left to the last run");
}

/// A process that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Kills the demonstration with SIGKILL after it has finished this number of messages.
fn kill_after(mut demo: Running, messages: u64) {
    let stderr = BufReader::new(demo.0.stderr.take().expect("its errors"));
    let finished = |line: String| serde_json::from_str::<Value>(&line).ok()?["finished"].as_u64();
    let reached = stderr.lines().map_while(Result::ok).filter_map(finished).any(|finished| finished >= messages);
    assert!(reached, "it ended before it finished {messages} messages");
}

#[test]
fn demo_reports_bad_lines_by_number_and_processes_the_others() {
    let good = |id: &str| format!(r#"{{"order":"{id}","customer":"c","sku":"s","quantity":1,"unit_price_cents":100}}"#);
    let lines = [good("a"), "{".to_owned(), good("a"), good("b"), good("c").replace("\"s\"", "\"\"")].join("\n");
    let mut child =
        cloakroom(&["demo", "--json", "--calm", "--input", "-"]).stdin(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("its input").write_all(lines.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    let report = report(&output);
    assert_eq!(report["lines_skipped"], Value::from(3));
    must_balance(&(output.status.code(), report), 2);
    let stderr = String::from_utf8_lossy(&output.stderr);
    for line in ["line 2: not an order", "line 3: order `a` is in line 1 already", "line 5: `sku` must have"] {
        assert!(stderr.contains(line), "{stderr}");
    }
}

#[test]
fn an_option_out_of_range_is_named() {
    for (arguments, named) in [
        (["--workers", "0"], "`--workers` is 0"),
        (["--in-flight", "0"], "`--in-flight` is 0"),
        (["--orders", "0"], "`--orders` is 0"),
        (["--crash-every-ms", "1"], "`--crash-every-ms` is 1"),
        (["--faults", "2"], "`--faults` is 2"),
        (["--region", "mars"], "`mars` is not among them"),
        (["--prices", "no-such-file"], "`no-such-file` cannot be read"),
        (["--input", "no-such-file"], "reading orders from no-such-file failed"),
        (["--orders", "99999999"], "the sample has 12000 orders, but `--orders` is 99999999"),
    ] {
        let output = cloakroom(&[&["demo"], &arguments[..]].concat()).output().expect("it starts");
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(named), "{output:?}");
    }
}
