//! The commands `provision`, `doctor` and `cost`, with text and with JSON output.

use std::{
    io::Write as _,
    process::{Command, Output, Stdio},
};

use cloakroom_local::LocalAws;
use serde_json::Value;

const SITE: &[&str] = &[
    "--table",
    "things",
    "--bucket",
    "coats",
    "--queue-prefix",
    "test-",
    "--queue",
    "orders",
    "--queue",
    "audit.fifo",
];

/// Returns the command with the variables of this AWS, and without those of this machine.
fn cloakroom(aws: &LocalAws, verb: &str, arguments: &[&str]) -> Command {
    command(aws.environment(), verb, arguments)
}

fn command<V: AsRef<std::ffi::OsStr>>(
    environment: impl IntoIterator<Item = (&'static str, V)>,
    verb: &str,
    arguments: &[&str],
) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("AWS_") || name.starts_with("CLOAKROOM_")) {
        command.env_remove(name);
    }
    let nowhere = concat!(env!("CARGO_TARGET_TMPDIR"), "/nowhere");
    command.env("AWS_CONFIG_FILE", nowhere).env("AWS_SHARED_CREDENTIALS_FILE", nowhere).envs(environment);
    command.env("AWS_EC2_METADATA_DISABLED", "true").arg(verb).args(arguments).stdin(Stdio::null());
    command
}

/// Waits for a command on a thread of its own, because this process serves its requests.
async fn output(mut command: Command) -> Output {
    tokio::task::spawn_blocking(move || command.output()).await.expect("no panic").expect("it starts")
}

/// Returns the exit code, standard output and standard error.
async fn run(aws: &LocalAws, verb: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let output = output(cloakroom(aws, verb, &[SITE, more].concat())).await;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

/// Returns the exit code of `doctor`, and the ids and severities of its findings.
async fn doctor(aws: &LocalAws, more: &[&str]) -> (Option<i32>, Vec<(String, String)>) {
    let (code, stdout, error) = run(aws, "doctor", &[more, &["--json"]].concat()).await;
    let findings: Value = serde_json::from_str(&stdout).unwrap_or_else(|problem| panic!("{problem}: {stdout}{error}"));
    let findings = findings["findings"].as_array().expect("a list").iter();
    let text = |finding: &Value, field: &str| finding[field].as_str().expect("a text").to_owned();
    let checked = findings.inspect(|finding| {
        assert!(["on", "text", "fix"].iter().all(|field| !text(finding, field).is_empty()), "{finding}");
    });
    (code, checked.map(|finding| (text(finding, "id"), text(finding, "severity"))).collect())
}

fn pairs(findings: &[(&str, &str)]) -> Vec<(String, String)> {
    findings.iter().map(|(id, severity)| ((*id).to_owned(), (*severity).to_owned())).collect()
}

#[tokio::test]
async fn provisioned_resources_have_only_the_expected_findings() {
    let aws = LocalAws::start().await.expect("started");
    let (code, stdout, _) = run(&aws, "provision", &["--dry-run"]).await;
    assert_eq!((code, stdout.lines().count()), (Some(0), 9), "{stdout}");
    assert!(
        stdout.lines().all(|line| line.starts_with("would ")) && stdout.contains("would create queue `test-orders`")
    );
    let missing = ["table-missing", "bucket-missing", "queue-missing", "dead-letter-queue-missing"];
    let (code, findings) = doctor(&aws, &[]).await;
    assert_eq!(code, Some(1));
    assert!(missing.iter().all(|id| findings.iter().any(|(found, _)| found == id)), "{findings:?}");

    let (code, stdout, _) = run(&aws, "provision", &["--point-in-time-recovery", "--visibility-s", "180"]).await;
    assert_eq!((code, stdout.lines().count()), (Some(0), 10), "{stdout}");
    assert!(stdout.contains("done: turn point-in-time recovery on for table `things`"), "{stdout}");
    let again = run(&aws, "provision", &["--point-in-time-recovery", "--visibility-s", "180"]).await;
    assert_eq!((again.0, again.1.as_str()), (Some(0), "nothing to do\n"));

    let notes = [("bucket-plain-http", "note"), ("fifo-slow", "note"), ("not-tried", "note")];
    let (code, findings) = doctor(&aws, &["--lambda-timeout-s", "30"]).await;
    assert_eq!((code, findings), (Some(1), pairs(&[&[("table-unprotected", "warning")], &notes[..]].concat())));
    let (code, findings) = doctor(&aws, &["--lambda-timeout-s", "30", "--accept", "table-unprotected"]).await;
    assert_eq!((code, findings), (Some(0), pairs(&[&[("table-unprotected", "note")], &notes[..]].concat())));
}

#[tokio::test]
async fn findings_are_grouped_each_with_its_fix() {
    let aws = LocalAws::start().await.expect("started");
    run(&aws, "provision", &[]).await;
    let (code, stdout, _) = run(&aws, "doctor", &["--lambda-timeout-s", "60", "--attempts-max", "16"]).await;
    assert_eq!(code, Some(1), "{stdout}");
    let lines: Vec<_> = stdout.lines().collect();
    let subjects: Vec<_> = lines.iter().filter(|line| !line.starts_with(' ')).collect();
    let expected = ["table `things`", "bucket `coats`", "queue `test-orders`", "queue `test-audit.fifo`", "queues"];
    assert_eq!(subjects.len(), expected.len() + 1, "{stdout}");
    assert!(subjects.iter().zip(expected).all(|(found, expected)| **found == expected), "{stdout}");
    for (number, line) in lines.iter().enumerate().filter(|(_, line)| line.ends_with(']')) {
        assert!(line.starts_with("  ") && lines[number + 1].starts_with("    fix: "), "{stdout}");
    }
    assert!(
        stdout.contains("[visibility-short]")
            && stdout.contains("--queue-prefix test-")
            && stdout.contains("[receives-low]")
    );
    assert!(stdout.ends_with("errors: 2, warnings: 3, notes: 3\n"), "{stdout}");
}

#[tokio::test]
async fn printed_fix_runs_unchanged_and_lowers_no_queue_setting() {
    let aws = LocalAws::start().await.expect("started");
    run(&aws, "provision", &["--visibility-s", "1800", "--receives-max", "1000"]).await;
    let environment = aws.environment();
    let region = environment.iter().find(|(name, _)| *name == "AWS_REGION").map(|(_, region)| region.as_str());
    let (_, stdout, error) = run(&aws, "doctor", &["--json", "--region", region.expect("a region")]).await;
    let findings: Value = serde_json::from_str(&stdout).unwrap_or_else(|problem| panic!("{problem}: {stdout}{error}"));
    let mut findings = findings["findings"].as_array().expect("a list").iter();
    let finding = findings.find(|finding| finding["id"] == "table-recovery-off").expect("it is off");
    let fix = finding["fix"].as_str().expect("a text").trim_matches('`');
    assert!(fix.starts_with("cloakroom provision --region "), "{fix}");
    let words: Vec<_> = fix.split(' ').skip(2).chain(["--dry-run"]).collect();
    let output = output(cloakroom(&aws, "provision", &words)).await;
    let (stdout, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(stdout, "would turn point-in-time recovery on for table `things`\n", "{error}");
}

#[tokio::test]
async fn doctor_reports_a_bucket_in_another_region() {
    let aws = LocalAws::start().await.expect("started");
    run(&aws, "provision", &[]).await;
    let (code, findings) = doctor(&aws, &["--region", "eu-central-1"]).await;
    assert_eq!(code, Some(1));
    assert!(findings.contains(&("bucket-elsewhere".to_owned(), "error".to_owned())), "{findings:?}");
}

/// Starts a server that accepts connections and never responds. Returns its address.
async fn silent_server() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        let mut connections = Vec::new();
        while let Ok((connection, _)) = listener.accept().await {
            connections.push(connection);
        }
    });
    format!("http://{address}")
}

#[tokio::test]
async fn commands_name_the_service_that_did_not_respond() {
    let address = silent_server().await;
    let environment = [
        ("AWS_ENDPOINT_URL", &*address),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "key"),
        ("AWS_SECRET_ACCESS_KEY", "secret"),
        // Retries of the SDK would only make the test slower.
        ("AWS_MAX_ATTEMPTS", "1"),
    ];
    let run = |arguments: &'static [&'static str], service: &'static str| {
        let verb = command(
            environment,
            arguments[0],
            &[&arguments[1..], &["--table", "things", "--bucket", "coats"]].concat(),
        );
        async move { (arguments, service, output(verb).await) }
    };
    let verbs = [
        run(&["doctor", "--queue", "orders"], "dynamodb"),
        run(&["pending"], "dynamodb"),
        run(&["sweep"], "dynamodb"),
        run(&["inspect", "order#1"], "dynamodb"),
        run(&["dlq", "list", "orders"], "sqs"),
    ];
    for (arguments, service, output) in futures::future::join_all(verbs).await {
        let text = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(!output.status.success(), "{arguments:?}: {text}");
        assert!(text.contains(&format!("`{service}` did not answer")), "{arguments:?}: {text}");
    }
}

#[tokio::test]
async fn invalid_option_values_are_rejected_with_exit_code_2() {
    let aws = LocalAws::start().await.expect("started");
    for (verb, more, word) in [
        ("doctor", &["--queue", "a b"][..], "`queues` is `a b`"),
        ("doctor", &["--accept", "table"], "table-missing"),
        ("doctor", &["--lambda-timeout-s", "901"], "`lambda_timeout_s` is `901`"),
        ("provision", &["--expiry-days", "45"], "`expiry_days` is `45`"),
        ("provision", &["--receives-max", "8"], "a fresh copy after 8 receives"),
    ] {
        let (code, stdout, error) = run(&aws, verb, more).await;
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{error}");
        assert!(error.contains(word), "{error}");
    }
}

/// Runs `cost` with a use on its standard input. Returns the exit code, standard output and
/// standard error.
fn cost(usage: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
    command.args(["cost", "-"]).args(more).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut cost = command.spawn().expect("it starts");
    // The command may fail before it reads.
    let _ = cost.stdin.take().expect("its input").write_all(usage.as_bytes());
    let output = cost.wait_with_output().expect("it ends");
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

const USAGE: &str = r#"{"messages":1000,"dynamodb":{"units":{"write":5000,"read":2000}},
    "s3":{"put_class":1000,"get_class":1000},"sqs":{"billed_requests":500}}"#;

#[test]
fn use_is_priced_by_service_and_per_million_messages() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("prices.json");
    let prices = r#"{"region":"mars","dynamodb_write_unit":0.001,"dynamodb_read_unit":0.0005,"s3_put_class":0.002,
                     "s3_get_class":0,"sqs_request":0.004,"sqs_fifo_request":0}"#;
    std::fs::write(&file, prices).expect("written");
    let file = file.to_str().expect("a plain name");
    let (code, stdout, error) = cost(USAGE, &["--prices", file, "--json"]);
    assert_eq!(code, Some(0), "{error}");
    let bill: Value = serde_json::from_str(&stdout).expect("JSON");
    assert_eq!(bill["price_region"], "mars");
    assert_eq!(bill["dollars"], serde_json::json!({ "dynamodb": 6.0, "s3": 2.0, "sqs": 2.0 }));
    assert_eq!((&bill["dollars_total"], &bill["dollars_per_million_total"]), (&10.0.into(), &10_000.0.into()));
    let (_, stdout, _) = cost(USAGE, &["--prices", file]);
    assert!(stdout.contains("mars") && stdout.ends_with("10000.00\n"), "{stdout}");

    std::fs::write(file, prices.replace("0.004", "-0.004")).expect("written");
    let (code, _, error) = cost(USAGE, &["--prices", file]);
    assert!(code == Some(2) && error.contains("`sqs_request` of region \"mars\" is -0.004"), "{error}");
    std::fs::write(file, prices.replace("\"s3_get_class\":0,", "")).expect("written");
    let (code, _, error) = cost(USAGE, &["--prices", file]);
    assert!(code == Some(2) && error.contains("missing field `s3_get_class`"), "{error}");
}

#[test]
fn prices_depend_on_the_region() {
    let total = |more: &[&str]| {
        let (code, stdout, error) = cost(USAGE, &[&["--json"], more].concat());
        assert_eq!(code, Some(0), "{error}");
        let bill: Value = serde_json::from_str(&stdout).expect("JSON");
        (bill["price_region"].clone(), bill["dollars_per_million_total"].as_f64().expect("a price"))
    };
    let (virginia, frankfurt) = (total(&[]), total(&["--region", "eu-central-1"]));
    assert_eq!((&virginia.0, &frankfurt.0), (&"us-east-1".into(), &"eu-central-1".into()));
    // 5 write units, 2 read units, a PUT, a GET, and half a request to SQS.
    assert!((virginia.1 - 8.975).abs() < 1e-9 && (frankfurt.1 - 10.1475).abs() < 1e-9, "{virginia:?} {frankfurt:?}");
}

#[test]
fn consumption_of_an_observer_is_priced() {
    let consumption = r#"{"dynamodb":{"TransactWriteItems":{"requests":1000,"write_units":4000},
        "DeleteItem":{"requests":1000,"write_units":1000},"GetItem":{"requests":2000,"read_units":2000}},
        "s3":{"PutObject":{"requests":1000},"GetObject":{"requests":1000},"DeleteObject":{"requests":1000}},
        "sqs":{"SendMessageBatch":{"requests":500}}}"#;
    let (code, stdout, error) = cost(consumption, &["--messages", "1000", "--json"]);
    assert_eq!(code, Some(0), "{error}");
    assert_eq!(stdout, cost(USAGE, &["--json"]).1);
}

/// The demonstration and `cost` calculate in the same way.
#[test]
fn cost_of_a_demonstration_report_equals_its_own_cost() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
    let demo = command.args(["demo", "--calm", "--orders", "50", "--json"]).stdin(Stdio::null()).output();
    let report = String::from_utf8_lossy(&demo.expect("it runs").stdout).into_owned();
    let (code, stdout, error) = cost(&report, &["--json"]);
    assert_eq!(code, Some(0), "{error}");
    let (report, bill): (Value, Value) =
        (serde_json::from_str(&report).expect("a report"), serde_json::from_str(&stdout).expect("a bill"));
    let reported = report["per_message"]["dollars_per_million"].as_f64().expect("a price");
    let billed = bill["dollars_per_million_total"].as_f64().expect("a price");
    assert!((reported - billed).abs() < 1e-9 && reported > 1.0, "{reported} is not {billed}");
}

#[test]
fn use_without_a_price_is_rejected_with_exit_code_2() {
    for (usage, more, word) in [
        (USAGE.replace("put_class", "puts"), &[][..], "`s3.puts`"),
        (USAGE.replace("1000,\"dyn", "0,\"dyn"), &[], "no messages"),
        ("nonsense".to_owned(), &[], "standard input is not JSON"),
        (USAGE.to_owned(), &["--region", "mars"], "`mars` is not among them"),
        (USAGE.to_owned(), &["--prices", "-"], "cannot be both"),
        (USAGE.to_owned(), &["--prices", "/nowhere"], "`/nowhere` cannot be read"),
    ] {
        let (code, stdout, error) = cost(&usage, more);
        assert_eq!((code, stdout.as_str()), (Some(2), ""), "{error}");
        assert!(error.contains(word), "{error}");
    }
}
