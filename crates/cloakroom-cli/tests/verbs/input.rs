//! The reader of orders with random input: every line is accepted or reported, and nothing panics.

use std::{
    io::Write as _,
    process::{Command, Stdio},
};

use serde_json::Value;

const GOOD: &str = r#"{"order":"o","customer":"c","sku":"s","quantity":1,"unit_price_cents":100}"#;

/// Returns a random line: an order, nearly an order, or something else.
fn line(random: &mut fastrand::Rng) -> Vec<u8> {
    let number = ["0", "-1", "1e3", "1.5", "18446744073709551616", "null", "[[[[]]]]", "\"1\""][random.usize(..8)];
    let name = ["", "\\u0000", "\\ud800", "\u{1F9E5}", "x\"", &"long".repeat(100)][random.usize(..6)].to_owned();
    let text = match random.u8(..8) {
        0 => GOOD.replace(":1,", &format!(":{number},")),
        1 => GOOD.replace(":100", &format!(":{number}")),
        2 => GOOD.replace("\"c\"", &format!("\"{name}\"")),
        3 => GOOD.replace("\"sku\":\"s\",", ""),
        4 => GOOD.replace('{', &format!("{{\"{name}\":{number},")),
        5 => "[".repeat(random.usize(1..1_000)),
        6 => "x".repeat(65_530 + random.usize(..10)),
        _ => GOOD.to_owned(),
    };
    let mut bytes = text.into_bytes();
    for _ in 0..random.usize(..4) {
        let position = random.usize(..bytes.len());
        match random.u8(..3) {
            0 => bytes[position] = random.u8(..),
            1 => bytes.truncate(position.max(1)),
            _ => bytes.insert(position, random.u8(..)),
        }
    }
    bytes.retain(|byte| *byte != b'\n');
    bytes
}

#[test]
fn every_input_line_is_accepted_or_reported() {
    let mut random = fastrand::Rng::with_seed(2026);
    let lines: Vec<_> = (0..2_000).map(|_| line(&mut random)).collect();
    let count = lines.iter().filter(|line| !line.trim_ascii().is_empty()).count() as u64;
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
    command.args(["demo", "--calm", "--json", "--input", "-"]);
    let mut demo =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    let mut input = demo.stdin.take().expect("its input");
    let write = move || lines.iter().try_for_each(|line| input.write_all(&[line, &b"\n"[..]].concat()));
    // On a thread of its own, because the demonstration may write before it has read everything.
    let writer = std::thread::spawn(write);
    let output = demo.wait_with_output().expect("it ends");
    writer.join().expect("no panic").expect("it reads everything");

    let stderr = String::from_utf8_lossy(&output.stderr);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {stderr}"));
    let (orders, skipped) = (report["orders"].as_u64().unwrap_or(0), report["lines_skipped"].as_u64().unwrap_or(0));
    assert_eq!((output.status.code(), orders + skipped), (Some(0), count), "{stderr}");
    assert!(orders > 0 && skipped > 100, "{orders} orders, {skipped} skipped");
    // The first 100 lines are reported one by one, and of the others only the number.
    assert_eq!(stderr.lines().filter(|line| line.starts_with("skipped line ")).count(), 100, "{stderr}");
    assert!(stderr.contains(&format!("skipped {} more lines", skipped - 100)), "{stderr}");
}
