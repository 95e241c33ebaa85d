//! The demonstration, end to end: over real HTTP, with faults and crashes, at a small size.
#![expect(clippy::disallowed_methods, reason = "a killed process is watched in real time")]

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
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

/// The trouble of these tests: more of everything than by default, since the runs are short.
const TROUBLE: [&str; 8] = ["--faults", "0.03", "--duplicates", "0.3", "--late", "0.3", "--crash-every-ms", "300"];

#[test]
fn the_books_balance_in_spite_of_trouble() {
    let run = demo(&[&TROUBLE[..], &["--orders", "60"]].concat());
    must_balance(&run, 60);
    let (_, report) = run;
    for seen in ["/events/duplicate", "/crashes", "/usage/faults/lost_responses", "/usage/faults/transaction_conflicts"]
    {
        assert!(report.pointer(seen).and_then(Value::as_u64) > Some(0), "no trouble at {seen}: {report}");
    }
}

#[test]
fn the_books_balance_when_payloads_are_checked_in_after_the_commit() {
    must_balance(&demo(&[&TROUBLE[..], &["--orders", "40", "--check-in", "after-commit"]].concat()), 40);
}

#[test]
fn the_books_balance_when_processes_are_killed() {
    let run = demo(&[&TROUBLE[..], &["--orders", "40", "--processes"]].concat());
    must_balance(&run, 40);
    assert!(run.1["crashes"].as_u64() > Some(0), "{}", run.1);
}

#[test]
fn a_naive_consumer_fails_the_same_audit_under_the_same_trouble() {
    let (code, report) = demo(&[&TROUBLE[..], &["--orders", "60", "--naive"]].concat());
    assert_eq!(code, Some(1), "{report}");
    assert_eq!(report["verdict"]["balanced"], Value::Bool(false));
    assert!(report["verdict"]["doubled"].as_u64() > Some(0), "{report}");
}

#[test]
fn a_calm_run_balances_without_any_duplicate() {
    let run = demo(&["--orders", "30", "--calm"]);
    must_balance(&run, 30);
    assert_eq!((&run.1["events"]["duplicate"], &run.1["crashes"]), (&Value::from(0), &Value::from(0)));
    assert_eq!(run.1["verdict"]["orphan_payloads"], Value::from(0));
}

#[test]
fn it_goes_on_after_the_whole_of_it_was_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let arguments = ["--orders", "60", "--data", folder.path().to_str().expect("a path")];
    for grown_to in [300_000, 700_000, 1_100_000] {
        let child = cloakroom(&[&["demo", "--json"], &arguments[..]].concat()).spawn().expect("it starts");
        kill_when_stored(child, folder.path(), grown_to);
    }
    must_balance(&demo(&arguments), 60);
}

/// Kills the process once its folder has grown to so many bytes, so that something is half done.
fn kill_when_stored(mut child: Child, folder: &Path, bytes: u64) {
    let began = Instant::now();
    while stored(folder) < bytes && child.try_wait().expect("it can be asked").is_none() {
        assert!(began.elapsed() < Duration::from_secs(120), "the folder does not grow");
        std::thread::yield_now();
    }
    child.kill().expect("it can be killed");
    let status = child.wait().expect("it ends");
    assert!(status.code().is_none(), "it was done before it was killed: {status}");
}

fn stored(folder: &Path) -> u64 {
    let files = fs::read_dir(folder).expect("the folder").filter_map(Result::ok);
    files.filter_map(|file| file.metadata().ok()).map(|file| file.len()).sum()
}

#[test]
fn bad_lines_are_told_by_number_and_the_rest_goes_on() {
    let good = |id: &str| format!(r#"{{"order":"{id}","customer":"c","sku":"s","quantity":1,"unit_price_cents":100}}"#);
    let lines = [good("a"), "{".to_owned(), good("a"), good("b"), good("c").replace("\"s\"", "\"\"")].join("\n");
    let mut child =
        cloakroom(&["demo", "--json", "--calm", "--input", "-"]).stdin(Stdio::piped()).spawn().expect("it starts");
    child.stdin.take().expect("its input").write_all(lines.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    must_balance(&(output.status.code(), report(&output)), 2);
    let told = String::from_utf8_lossy(&output.stderr);
    for line in ["line 2: not an order", "line 3: order `a` is in line 1 already", "line 5: `sku` must have"] {
        assert!(told.contains(line), "{told}");
    }
}

#[test]
fn an_option_out_of_range_is_named() {
    for (arguments, named) in [
        (["--workers", "0"], "`--workers` is 0"),
        (["--faults", "2"], "`--faults` is 2"),
        (["--input", "no-such-file"], "reading orders from no-such-file failed"),
        (["--orders", "99999999"], "the sample has 12000 orders"),
    ] {
        let output = cloakroom(&[&["demo"], &arguments[..]].concat()).output().expect("it starts");
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8_lossy(&output.stderr).contains(named), "{output:?}");
    }
}
