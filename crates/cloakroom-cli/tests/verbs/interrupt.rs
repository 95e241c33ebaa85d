//! Signals that stop a command.

#![cfg(target_os = "linux")]

use std::{
    io::{BufRead as _, BufReader, Read as _},
    process::{Child, Command, Stdio},
};

/// Starts the command. Its standard input stays open and empty.
fn start(arguments: &[&str]) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cloakroom"));
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.spawn().expect("it starts")
}

fn signal(name: &str, process: &Child) {
    let sent = Command::new("kill").args([&format!("-{name}"), &process.id().to_string()]).status();
    assert!(sent.expect("`kill` runs").success());
}

/// Waits until the process has handlers for both signals. The kernel shows them as bits 1 and 14 of
/// `SigCgt`.
fn wait_for_handlers(process: &mut Child) {
    let path = format!("/proc/{}/status", process.id());
    loop {
        let status = std::fs::read_to_string(&path).expect("the process is there");
        let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("a line");
        let caught = u64::from_str_radix(caught.trim(), 16).expect("hexadecimal");
        if caught & (1 << 1) != 0 && caught & (1 << 14) != 0 {
            return;
        }
        assert_eq!(process.try_wait().expect("it can be asked"), None, "it ended");
        std::thread::yield_now();
    }
}

#[test]
fn local_ends_with_success_at_sigterm_and_at_sigint() {
    for name in ["TERM", "INT"] {
        let mut local = start(&["local", "--dynamodb-port", "0", "--s3-port", "0", "--sqs-port", "0"]);
        let mut lines = BufReader::new(local.stdout.take().expect("piped")).lines();
        let is_last = |line: &String| line.starts_with("export AWS_SECRET_ACCESS_KEY=");
        let running = lines.any(|line| is_last(&line.expect("a line")));
        assert!(running, "it does not print its variables");
        signal(name, &local);
        assert_eq!(local.wait().expect("it ends").code(), Some(0), "SIG{name}");
    }
}

/// Each of these commands would run for minutes or forever. They wait for input or for messages, or
/// only compute, as `model` does. `sim` and `fleet` also only compute.
#[test]
fn long_commands_end_with_an_error_at_sigterm() {
    for arguments in [
        &["demo", "--input", "-"][..],
        &["demo", "--calm", "--orders", "12000", "--json"],
        &["soak", "--minutes", "60", "--json"],
        &["model", "--large", "--threads", "1"],
    ] {
        let mut process = start(arguments);
        // `wait` would close standard input, and a command that reads orders from it would end.
        let _input = process.stdin.take();
        wait_for_handlers(&mut process);
        signal("TERM", &process);
        let code = process.wait().expect("it ends").code();
        let mut stderr = String::new();
        process.stderr.take().expect("piped").read_to_string(&mut stderr).expect("text");
        assert_eq!((code, stderr.contains("interrupted")), (Some(2), true), "{arguments:?}: {stderr}");
    }
}
