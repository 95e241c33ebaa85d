//! Runs the commands that the README shows for operators, exactly as they are shown.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use cloakroom_local::LocalAws;

/// Returns the command lines of the block that contains this text, without their prompts.
fn block(readme: &str, text: &str) -> Vec<String> {
    let blocks = readme.split("```").skip(1).step_by(2);
    let block = blocks.into_iter().find(|block| block.contains(text)).expect("the README has the block");
    block.lines().filter_map(|line| line.strip_prefix("$ ")).map(str::to_owned).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_of_the_readme_for_production_work_as_printed() {
    let aws = LocalAws::start().await.expect("started");
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let lines = block(&fs::read_to_string(readme).expect("the README"), "$ cloakroom provision");
    assert!(lines.len() >= 7, "{lines:?}");
    let mut script = String::new();
    for line in &lines {
        script += &format!("{line}\necho \"exit code $? of\" '{line}'\n");
    }
    let command = Path::new(env!("CARGO_BIN_EXE_cloakroom")).parent().expect("a folder");
    let mut shell = Command::new("/bin/sh");
    shell.arg("-c").arg(script).env_clear().envs(aws.environment()).stdin(Stdio::null());
    shell.env("PATH", command).env("AWS_EC2_METADATA_DISABLED", "true");
    let output = tokio::task::spawn_blocking(move || shell.output()).await.expect("no panic").expect("a shell");
    let (stdout, errors) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    for line in &lines {
        // Exit code 1 means findings: the new resources have two warnings.
        let codes: &[i32] = if line.starts_with("cloakroom doctor") { &[0, 1] } else { &[0] };
        let is_good = codes.iter().any(|code| stdout.contains(&format!("exit code {code} of {line}\n")));
        assert!(is_good, "`{line}` fails:\n{stdout}\n{errors}");
    }
    assert_eq!(errors, "", "progress was reported although standard error is not a terminal");
}
