//! The benchmark, end to end, with few messages: its files, the options that it rejects, and the
//! errors that it reports.

use std::{
    ffi::OsStr,
    fs,
    io::{BufRead as _, BufReader, Read as _},
    path::Path,
    process::{Command, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

/// An account that does not exist, in a region that has list prices.
const ACCOUNT: [(&str, &str); 5] = [
    ("AWS_REGION", "us-east-1"),
    ("AWS_ACCESS_KEY_ID", "AKIDTEST"),
    ("AWS_SECRET_ACCESS_KEY", "SECRETTEST"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("AWS_CONFIG_FILE", "/dev/null"),
];

fn command(arguments: &[impl AsRef<OsStr>], out: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
    command.arg("bench").args(arguments).arg("--out").arg(out).stdin(Stdio::null()).envs(ACCOUNT);
    command
}

struct Ran {
    code: Option<i32>,
    report: Value,
    stderr: String,
}

fn bench(arguments: &[&str], out: &Path) -> Ran {
    let output = command(&[&["--json"], arguments].concat(), out).output().expect("it starts");
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    Ran { code: output.status.code(), report: serde_json::from_slice(&output.stdout).unwrap_or(Value::Null), stderr }
}

fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn every_contestant_is_measured_and_the_page_can_be_redrawn() {
    let folder = TempDir::new().expect("a folder");
    let out = folder.path().join("deep").join("report");
    let Ran { code, report, stderr } =
        bench(&["--messages", "50", "--entities", "20", "--workers", "2", "--skew", "1", "--compare"], &out);
    assert_eq!((code, &report["interrupted"]), (Some(0), &Value::Bool(false)), "{report}{stderr}");
    let measured = report["measured"].as_array().expect("contestants");
    assert!(measured.len() > 1 && measured.last().is_some_and(|last| last["contestant"] == "cloakroom"), "{report}");
    for one in measured {
        assert_eq!(one["messages"], 50, "{one}");
        let dollars = one["dollars_per_million"].as_object().expect("dollars by service");
        assert!(dollars["dynamodb"].as_f64() > Some(0.0) && dollars["sqs"].as_f64() > Some(0.0), "{one}");
    }

    let data = out.join("report.json");
    assert_eq!(serde_json::from_str::<Value>(&text(&data)).ok(), Some(report));
    let page = text(&out.join("report.html"));
    assert_eq!(page.matches("<svg ").count(), 4, "{page}");
    let mut again = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
    let again = again.args(["bench", "page"]).arg(&data).output().expect("it starts");
    assert_eq!((again.status.code(), again.stdout == page.as_bytes()), (Some(0), true));
}

#[test]
fn bench_with_unbalanced_books_exits_with_1() {
    let folder = TempDir::new().expect("a folder");
    let arguments = ["--messages", "100", "--strategy", "at-least-once", "--duplicates", "0.5"];
    let Ran { code, report, stderr } = bench(&arguments, folder.path());
    assert_eq!(code, Some(1), "{report}{stderr}");
    assert!(report["measured"][0]["audit"]["doubled"].as_u64() > Some(0), "{report}");
    assert!(text(&folder.path().join("report.html")).contains("do not balance: at-least-once."));
}

#[test]
fn unreachable_rate_is_reported_as_not_reached() {
    let folder = TempDir::new().expect("a folder");
    let Ran { report, stderr, .. } = bench(&["--rate", "1000000", "--messages", "200"], folder.path());
    let offered = report["measured"][0]["offered_per_s"].as_f64();
    assert!(offered.is_some_and(|offered| offered < 500_000.0), "{report}{stderr}");
    assert!(report["remarks"][0].as_str().is_some_and(|remark| remark.contains("could not offer")), "{report}");
    assert!(text(&folder.path().join("report.html")).contains("<small>not 1,000,000</small>"));
}

#[cfg(unix)]
#[test]
fn interrupted_run_writes_a_partial_report() {
    let folder = TempDir::new().expect("a folder");
    let mut bench = command(&["--json", "--progress", "--rate", "50", "--duration", "1h"], folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let mut stderr = BufReader::new(bench.stderr.take().expect("its errors")).lines().map_while(Result::ok);
    assert!(
        stderr.any(|line| line.contains("\"finished\"") && line.contains("1/1 cloakroom")),
        "it reports no progress"
    );
    let killed = Command::new("kill").args(["-INT", &bench.id().to_string()]).status();
    assert!(killed.is_ok_and(|killed| killed.success()), "it is interrupted");
    let mut report = String::new();
    bench.stdout.take().expect("its output").read_to_string(&mut report).expect("text");
    let stderr: Vec<String> = stderr.collect();
    let code = bench.wait().expect("it ends").code();
    let report: Value = serde_json::from_str(&report).unwrap_or_else(|error| panic!("{error}: {report}{stderr:?}"));
    assert_eq!((code, &report["interrupted"]), (Some(0), &Value::Bool(true)), "{report}{stderr:?}");
    assert!(report["measured"][0]["messages"].as_u64() > Some(0), "{report}");
    assert!(text(&folder.path().join("report.html")).contains("<strong>Partial:</strong>"));
}

#[test]
fn bench_rejects_invalid_options_before_the_run() {
    let folder = TempDir::new().expect("a folder");
    let prices = folder.path().join("prices.json");
    fs::write(&prices, r#"{"region":"here","dynamodb_write_unit":-1}"#).expect("a file");
    let prices = prices.to_str().expect("its name is text");
    for (arguments, named) in [
        (&["--rate", "0"][..], "`rate_per_s` is 0"),
        (&["--rate", "nan"], "`rate_per_s`"),
        (&["--messages", "0"], "`messages`"),
        (&["--messages", "5", "--duration", "1s"], "--duration"),
        (&["--entities", "0"], "`entities`"),
        (&["--skew", "-1"], "`skew` is -1"),
        (&["--size", "11MB"], "`payload_bytes`"),
        (&["--size", "2 cats"], "such as 100, 1KB or 10MB"),
        (&["--workers", "0"], "`workers`"),
        (&["--in-flight", "0"], "`in_flight_max`"),
        (&["--strategy", "unknown"], "there is no contestant `unknown`"),
        (&["--size", "2MB", "--messages", "9", "--strategy", "at-least-once"], "`at-least-once` cannot take payloads"),
        (&["--duplicates", "0.6"], "`--duplicates` is 0.6"),
        (&["--prices", prices], "`dynamodb_write_unit` of region \"here\" is -1"),
        (&["--prices", "/nowhere"], "`/nowhere` cannot be read"),
        (&["--region", "moon-1"], "`moon-1` is not among them"),
        (&["--endpoint-url", "localhost"], "`--endpoint-url` is `localhost`"),
        (&["--endpoint-url", "http://x", "--account"], "--account"),
        (&["--yes"], "--account"),
        (&["page", "/nowhere"], "`/nowhere` cannot be read"),
        (&["--account", "--duration", "1s"], "give `--rate` or `--messages`"),
    ] {
        let out = folder.path().join("out");
        let output = if arguments[0] == "page" {
            Command::new(env!("CARGO_BIN_EXE_cloakroom")).arg("bench").args(arguments).output()
        } else {
            command(arguments, &out).output()
        };
        let output = output.expect("it starts");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {stderr}");
        assert!(stderr.contains(named), "{arguments:?}: {stderr}");
        assert!(!out.join("report.json").exists(), "{arguments:?}");
    }
}

/// Standard input is not a terminal. So the command prints the estimated cost, and fails without a
/// run.
#[test]
fn account_run_needs_a_confirmation() {
    let folder = TempDir::new().expect("a folder");
    let Ran { code, stderr, .. } = bench(&["--account", "--messages", "1000000"], folder.path());
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("1 contestants with 1000000 messages each on AWS, us-east-1: about $"), "{stderr}");
    assert!(stderr.contains("give `--yes`"), "{stderr}");
}

#[test]
fn unwritable_folder_is_reported_before_the_run() {
    let folder = TempDir::new().expect("a folder");
    let file = folder.path().join("file");
    fs::write(&file, []).expect("a file");
    let Ran { code, stderr, .. } = bench(&["--messages", "1"], &file);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("cannot be written to") && stderr.contains("`--out`"), "{stderr}");
}
