//! The commands that find and finish a stranded outbox, on embedded AWS.

use super::stranded;

use std::process::{Command, Stdio};

use cloakroom_aws::AwsSettings;
use serde_json::{Value, json};
use stranded::{Stranded, run};
use tokio::io::{AsyncBufReadExt as _, BufReader};

/// Runs `pending` for records of any age.
async fn pending(site: &Stranded) -> (i32, Value) {
    run(site, &["pending", "--older-than", "0s"]).await
}

/// Two messages are stranded after their commits. One is moved to the dead-letter queue, and one is
/// purged. Each is found, finished and counted once.
#[tokio::test(flavor = "multi_thread")]
async fn a_stranded_outbox_is_found_and_finished_and_the_books_balance() {
    let site = Stranded::start().await;
    site.strand("dead").await;
    site.move_to_dead_letter_queue("dead").await;
    site.strand("purged").await;
    site.purge().await;

    let (code, found) = pending(&site).await;
    assert_eq!((code, found["records"].as_array().map(Vec::len)), (1, Some(2)), "{found}");
    assert_eq!(found["records"][0]["queues"], json!({ "receivers": 1 }));
    assert!(found["read_units"].as_f64() > Some(0.0), "{found}");
    let (code, findings) = run(&site, &["doctor", "--queue", "senders", "--records-older-than", "0s"]).await;
    let stranded =
        findings["findings"].as_array().and_then(|all| all.iter().find(|one| one["id"] == "records-stranded"));
    assert!(code == 1 && stranded.is_some_and(|one| one["fix"].to_string().contains("cloakroom sweep")), "{findings}");
    let (code, young) = run(&site, &["pending"]).await;
    assert_eq!((code, &young["records"]), (0, &json!([])), "messages of young records are probably in flight");

    let (code, seen) = run(&site, &["inspect", "sender#dead"]).await;
    assert_eq!((code, &seen["states"]["senders"]["version"]), (1, &json!(1)), "{seen}");
    assert_eq!(seen["records"][0]["still_to_do"], json!(["dispatch", "settle", "clear"]), "{seen}");
    assert_eq!(seen["records"][0]["messages"][0]["payload"], json!("in_bucket"), "{seen}");

    let (code, listed) = run(&site, &["dlq", "list", "senders"]).await;
    assert_eq!((code, &listed["letters"][0]["standing"]), (1, &json!("committed")), "{listed}");
    let (_, dry) = run(&site, &["dlq", "finish", "senders", "--dry-run"]).await;
    assert_eq!(dry["counts"], json!({ "finished": 1 }), "{dry}");
    let (code, finished) = run(&site, &["dlq", "finish", "senders"]).await;
    assert_eq!((code, &finished["counts"]), (0, &json!({ "finished": 1 })), "{finished}");
    assert_eq!(run(&site, &["dlq", "list", "senders"]).await.0, 0, "a message is left in the dead-letter queue");

    let sweep = ["sweep", "--older-than", "0s", "--endpoint", "senders"];
    let (code, dry) = run(&site, &[&sweep[..], &["--dry-run"]].concat()).await;
    assert_eq!((code, &dry["finished"], dry["due"].as_array().map(Vec::len)), (1, &json!(0), Some(1)), "{dry}");
    let (code, swept) = run(&site, &sweep).await;
    assert_eq!((code, &swept["finished"]), (0, &json!(1)), "{swept}");

    assert_eq!(pending(&site).await.0, 0);
    assert_eq!(run(&site, &["inspect", "sender#dead"]).await.0, 0);
    site.must_balance(&["dead", "purged"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn redrive_puts_unprocessed_messages_back_and_leaves_foreign_ones() {
    let site = Stranded::start().await;
    site.send("fresh").await;
    site.move_to_dead_letter_queue("fresh").await;
    site.strand("dead").await;
    site.move_to_dead_letter_queue("dead").await;
    site.put("senders-dead", "not ours").await;

    let (_, dry) = run(&site, &["dlq", "redrive", "senders", "--dry-run"]).await;
    assert_eq!(dry["counts"], json!({ "finished": 1, "left": 1, "put_back": 1 }), "{dry}");
    let (code, redriven) = run(&site, &["dlq", "redrive", "senders"]).await;
    assert_eq!((code, &redriven["counts"]), (1, &dry["counts"]), "{redriven}");
    let (_, left) = run(&site, &["dlq", "list", "senders"]).await;
    assert_eq!(left["letters"].as_array().map(Vec::len), Some(1), "{left}");
    assert_eq!(left["letters"][0]["standing"], json!("unreadable"), "{left}");
    site.must_balance(&["fresh", "dead"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn selected_message_is_parked_and_its_payload_can_be_read() {
    let site = Stranded::start().await;
    let claim = site.send("culprit").await;
    site.send("neighbour").await;
    let park = ["dlq", "park", "senders", "--id", "culprit", "--reason", "it kills its workers"];
    let (code, dry) = run(&site, &[&park[..], &["--dry-run"]].concat()).await;
    assert_eq!((code, &dry["counts"]), (0, &json!({ "parked": 1 })), "{dry}");
    let (code, parked) = run(&site, &park).await;
    assert_eq!((code, &parked["counts"]), (0, &json!({ "parked": 1 })), "{parked}");
    let (_, listed) = run(&site, &["dlq", "list", "senders"]).await;
    let letter = &listed["letters"][0];
    assert_eq!((&letter["id"], &letter["reason"]), (&json!("culprit"), &json!("it kills its workers")), "{listed}");
    assert_eq!(run(&site, &park).await.0, 1, "the message was already moved");

    let payload = stranded::output(&site, &["payload", "get", &claim]).await;
    assert_eq!(String::from_utf8_lossy(&payload.stdout), r#"{"name":"culprit"}"#);
    let missing = stranded::output(&site, &["payload", "get", &claim.replace(&claim[..8], "00000000")]).await;
    assert_eq!(missing.status.code(), Some(1), "{missing:?}");
    let elsewhere = stranded::output(&site, &["payload", "get", "00.elsewhere"]).await;
    assert_eq!(elsewhere.status.code(), Some(2), "{elsewhere:?}");
    assert!(String::from_utf8_lossy(&elsewhere.stderr).contains("--bucket elsewhere"), "{elsewhere:?}");
}

/// Without `--payload-table`, the commands name the missing table, and treat no message as
/// processed.
#[tokio::test(flavor = "multi_thread")]
async fn commands_find_small_payloads_in_the_payload_table() {
    let settings = AwsSettings { payload_table: Some("slips".to_owned()), ..AwsSettings::new("things", "coats") };
    let site = Stranded::start_as(settings).await;
    let claim = site.strand("dead").await;
    site.move_to_dead_letter_queue("dead").await;
    let with_table = |arguments: &[&'static str]| [arguments, &["--payload-table", "slips"]].concat();

    let get = ["payload", "get", &claim];
    let payload = stranded::output(&site, &[&get[..], &["--payload-table", "slips"]].concat()).await;
    assert_eq!(String::from_utf8_lossy(&payload.stdout), r#"{"name":"dead"}"#);
    let without = stranded::output(&site, &get).await;
    let text = String::from_utf8_lossy(&without.stderr);
    assert!(without.status.code() == Some(2) && text.contains("`--payload-table slips`"), "{text}");

    let payload_of = |seen: &Value| seen["records"][0]["messages"][0]["payload"].clone();
    let (_, seen) = run(&site, &with_table(&["inspect", "sender#dead"])).await;
    assert_eq!((payload_of(&seen), &seen["records"][0]["settled"]), (json!("in_bucket"), &json!(false)), "{seen}");
    let (_, seen) = run(&site, &["inspect", "sender#dead"]).await;
    assert_eq!((payload_of(&seen), &seen["records"][0]["settled"]), (json!("in_another_bucket"), &Value::Null));

    let (code, left) = run(&site, &["dlq", "finish", "senders"]).await;
    assert!(code != 0 && left.to_string().contains("slips"), "{left}");
    let (code, finished) = run(&site, &with_table(&["dlq", "finish", "senders"])).await;
    assert_eq!((code, &finished["counts"]), (0, &json!({ "finished": 1 })), "{finished}");
    site.must_balance(&["dead"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unreferenced_payloads_are_listed_and_not_deleted() {
    let site = Stranded::start().await;
    site.strand("dead").await;
    let orphan = site.check_in("orphan").await;
    let orphans = ["payload", "orphans", "--older-than", "0s"];
    for _ in 0..2 {
        let (code, found) = run(&site, &orphans).await;
        assert_eq!((code, &found["payloads"]), (0, &json!(1)), "records refer to the other payloads: {found}");
        assert_eq!(found["orphans"][0]["claim"], json!(orphan), "{found}");
    }
    let (_, young) = run(&site, &orphans[..2]).await;
    assert_eq!((&young["payloads"], &young["objects_listed"]), (&json!(0), &json!(3)), "{young}");
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_commands_print_what_to_do() {
    let site = Stranded::start().await;
    for (arguments, part) in [
        (&["dlq", "list", "nowhere"][..], "queue `nowhere-dead` does not exist"),
        (&["pending", "--table", "nowhere"], "table `nowhere` does not exist"),
        (&["sweep", "--resume", "7"], "no cursor"),
        (&["sweep", "--segments", "0"], "`segments` is 0"),
        (&["dlq", "park", "senders"], "--id"),
        (&["dlq", "list", "senders-dead"], "name the queue that it belongs to, `senders`"),
        (&["provision", "--queue", "senders-dead", "--dry-run"], "not a dead-letter queue"),
        (&["payload", "get", "00"], "is not a complete claim"),
        (&["payload", "get", "a/b"], "is not a claim"),
    ] {
        let output = stranded::output(&site, arguments).await;
        let text = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(part), "`{text}` does not contain `{part}`");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn dlq_list_reports_messages_in_flight_elsewhere_as_unseen() {
    let site = Stranded::start().await;
    site.strand("dead").await;
    site.move_to_dead_letter_queue("dead").await;
    let held = site.hold("senders-dead").await;
    let (code, listed) = run(&site, &["dlq", "list", "senders"]).await;
    assert_eq!((code, &listed["complete"], &listed["unseen"]), (1, &json!(false), &json!(1)), "{listed}");
    site.give_back("senders-dead", &held).await;
    let (_, listed) = run(&site, &["dlq", "list", "senders"]).await;
    assert_eq!((&listed["complete"], &listed["standings"]), (&json!(true), &json!({ "committed": 1 })), "{listed}");
}

/// The signal arrives while the command waits for another message, up to a second after the last
/// one.
#[tokio::test(flavor = "multi_thread")]
async fn interrupted_dlq_list_reports_what_it_has_received() {
    let site = Stranded::start().await;
    for _ in 0..100 {
        site.put("senders-dead", "not ours").await;
    }
    let mut command = stranded::command(&site, &["dlq", "list", "senders", "--json", "--progress"]);
    let mut process = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut progress = BufReader::new(process.stderr.take().expect("piped")).lines();
    loop {
        let line = progress.next_line().await.expect("text").expect("it receives all messages");
        if line.contains("100 messages received") {
            break;
        }
    }
    let id = process.id().expect("it runs").to_string();
    assert!(Command::new("kill").args(["-INT", &id]).status().expect("`kill` runs").success());
    let output = process.wait_with_output().await.expect("it ends");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"));
    assert_eq!(report["letters"].as_array().map(Vec::len), Some(100), "{report}");
    assert_ne!(output.status.code(), Some(0), "there are dead-letter messages, and the command was interrupted");
}

/// A message type with characters that control a terminal and change the direction of text.
const HOSTILE: &str = "order\u{202e}\u{1b}[2J\u{9b}1m\n\u{200b}x";

#[tokio::test(flavor = "multi_thread")]
async fn dlq_list_prints_the_original_reason_and_only_printable_characters() {
    let site = Stranded::start().await;
    site.park_of_type(HOSTILE).await;
    let shown = stranded::output(&site, &["dlq", "list", "senders"]).await;
    let text = String::from_utf8_lossy(&shown.stdout);
    assert!(text.contains(r#"there are handlers for ["ask"]"#), "the endpoint has a handler: {text}");
    assert!(text.contains(r"order\u{202e}"), "the reason is readable: {text}");
    must_be_printable(&text, 2);

    let shown = stranded::output(&site, &["dlq", "list", "senders", "--json"]).await;
    let text = String::from_utf8_lossy(&shown.stdout);
    must_be_printable(&text, 1);
    let listed: Value = serde_json::from_str(&text).expect("JSON");
    assert!(listed["letters"][0]["reason"].as_str().is_some_and(|reason| reason.contains('\u{202e}')), "{listed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_escape_unprintable_characters_from_messages() {
    let site = Stranded::start().await;
    let name = HOSTILE.replace(['#', '/'], "");
    site.strand(&name).await;
    let partition = format!("sender#{name}");
    for arguments in [
        &["pending", "--older-than", "0s"][..],
        &["inspect", &partition],
        &["sweep", "--older-than", "0s", "--dry-run"],
        &["payload", "get", &format!("{HOSTILE}.coats")],
        &["dlq", "list", HOSTILE],
    ] {
        for json in [&[][..], &["--json"]] {
            if arguments[0] == "payload" && !json.is_empty() {
                continue;
            }
            let shown = stranded::output(&site, &[arguments, json].concat()).await;
            let text = [&shown.stdout[..], &shown.stderr].concat();
            let text = String::from_utf8_lossy(&text);
            assert!(text.contains("202e"), "{arguments:?} does not print the hostile text: {text}");
            must_be_printable(&text, usize::MAX);
        }
    }
}

/// Asserts that a text has only printable characters, and at most `lines_max` lines before its last
/// one.
#[track_caller]
fn must_be_printable(text: &str, lines_max: usize) {
    let is_bad = |c: char| c.is_control() && c != '\n' || matches!(c, '\u{200b}' | '\u{202e}');
    assert!(!text.contains(is_bad), "{text:?}");
    assert!(text.lines().count() <= lines_max.saturating_add(1), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_printed_only_to_a_terminal_or_on_request() {
    let site = Stranded::start().await;
    for _ in 0..100 {
        site.put("senders-dead", "not ours").await;
    }
    for (arguments, line) in [
        (&["dlq", "list", "senders"][..], "100 messages received"),
        (&["pending"], "items read"),
        (&["sweep", "--dry-run"], "items read"),
        (&["payload", "orphans"], "objects listed"),
    ] {
        let error = |output: std::process::Output| String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(error(stranded::output(&site, arguments).await), "", "{arguments:?}");
        let asked = error(stranded::output(&site, &[arguments, &["--progress"]].concat()).await);
        assert!(asked.contains(line), "{arguments:?}: {asked}");
    }
}

#[tokio::test]
async fn payload_digest_prints_the_digest_and_the_claim() {
    let site = Stranded::start().await;
    let claim = "00000000000000000000000000000007.orders-payloads";
    let output = stranded::output(&site, &["payload", "digest", claim, "x"]).await;
    let text = String::from_utf8_lossy(&output.stdout);
    let digest = cloakroom::format::Claim::from(claim).digest();
    assert_eq!(text.lines().next(), Some(&*format!("{digest} {claim}")));
    assert_eq!(text.lines().count(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn output_without_json_is_a_table() {
    let site = Stranded::start().await;
    site.strand("dead").await;
    for (arguments, part) in [
        (&["pending", "--older-than", "0s"][..], "senders   sender#dead  "),
        (&["inspect", "sender#dead"], "dispatch, settle, clear"),
        (&["dlq", "list", "senders"], "queue `senders`: no messages"),
    ] {
        let output = stranded::output(&site, arguments).await;
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(text.contains(part), "`{text}` does not contain `{part}`");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn sweep_continues_from_a_printed_cursor() {
    let site = Stranded::start().await;
    site.strand("dead").await;
    let sweep = ["sweep", "--older-than", "0s", "--dry-run", "--progress"];
    let output = stranded::output(&site, &sweep).await;
    let text = String::from_utf8_lossy(&output.stderr);
    let cursors: Vec<&str> = text.lines().filter_map(|line| line.split_once("--resume ")).map(|(_, c)| c).collect();
    assert_eq!(cursors.len(), 3, "not one cursor for each segment except the last: {text}");
    let (mut due, mut units) = (Vec::new(), Vec::new());
    for cursor in cursors {
        let (_, rest) = run(&site, &[&sweep[..], &["--resume", cursor]].concat()).await;
        due.push(rest["due"].as_array().map_or(0, Vec::len));
        units.push(rest["read_units"].as_f64().unwrap_or(0.0));
    }
    assert!(due.is_sorted_by(|more, less| more >= less), "{due:?}");
    assert!(units.is_sorted_by(|more, less| more > less), "a later cursor does not leave fewer units: {units:?}");
}
