//! The AWS operations that the code calls, read from its source, so that no list has to be
//! maintained by hand.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::LazyLock,
};

use serde_json::Value;

use crate::path;

/// Operations by file.
pub(crate) type Calls = BTreeMap<String, BTreeSet<String>>;

/// The crates that may call the SDK. `arrows.rs` asserts that no other crate depends on it.
const CRATES: [&str; 3] = ["crates/cloakroom-aws/src", "crates/cloakroom-cli/src", "crates/cloakroom-shop/src"];
const SDKS: [&str; 3] = ["aws-sdk-dynamodb", "aws-sdk-s3", "aws-sdk-sqs"];
/// The actions inside a transaction. Each needs its own permission.
const IN_TRANSACTIONS: [&str; 4] = ["Put", "Delete", "Update", "ConditionCheck"];

/// Returns the operations that each file calls. Files without calls are left out.
pub(crate) fn calls() -> &'static Calls {
    static CALLS: LazyLock<Calls> = LazyLock::new(read);
    &CALLS
}

fn read() -> Calls {
    let operations = operations();
    let mut files = Vec::new();
    CRATES.iter().for_each(|root| sources(&path(root), &mut files));
    let root = path("");
    let called = |file: &PathBuf| {
        let text = fs::read_to_string(file).expect("a source file");
        let name = file.strip_prefix(&root).expect("a file of the repository").to_string_lossy().into_owned();
        (name, called_in(&text, &operations))
    };
    files.iter().map(called).filter(|(_, called)| !called.is_empty()).collect()
}

/// Returns the operations that a module calls. A module is the file of that name and the folder of
/// that name.
pub(crate) fn called_by(module: &str) -> BTreeSet<String> {
    let files = calls().iter().filter(|(file, _)| is_in(file, module));
    files.flat_map(|(_, operations)| operations.iter().cloned()).collect()
}

/// Whether a file belongs to a module.
pub(crate) fn is_in(file: &str, module: &str) -> bool {
    file.strip_prefix(module).is_some_and(|rest| rest == ".rs" || rest.starts_with('/'))
}

/// Returns the operations that a source text calls, by their AWS names.
fn called_in(text: &str, operations: &BTreeSet<String>) -> BTreeSet<String> {
    let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
    let code: String = code.flat_map(str::chars).filter(|c| !c.is_whitespace()).collect();
    let is_called = |operation: &&String| {
        let call = format!(".{operation}()");
        // A method on `self` may have the name of an operation.
        code.match_indices(&call).any(|(at, _)| !ends_with_word(&code[..at], "self"))
    };
    let mut called: BTreeSet<String> = operations.iter().filter(is_called).map(|name| camel_case(name)).collect();
    if code.contains("TransactWriteItem") {
        let is_built = |kind: &&&str| {
            let build = format!("{kind}::builder()");
            code.match_indices(&build).any(|(at, _)| !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'))
        };
        called.extend(IN_TRANSACTIONS.iter().filter(is_built).map(|kind| format!("TransactWriteItems.{kind}")));
    }
    called
}

/// Returns the platform that this cargo builds for, such as `x86_64-unknown-linux-gnu`.
fn platform() -> String {
    let version = cargo(&["-vV"]);
    let version = String::from_utf8(version).expect("cargo writes text");
    let host = version.lines().find_map(|line| line.strip_prefix("host: "));
    host.unwrap_or_else(|| panic!("`cargo -vV` does not name its host: {version}")).to_owned()
}

/// Runs cargo. Returns its standard output.
fn cargo(arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(env!("CARGO")).args(arguments).output().expect("cargo runs");
    assert!(output.status.success(), "cargo {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

/// Returns every operation of the SDK, by its method name, such as `get_item`.
///
/// SUBTLE: the metadata is filtered by the platform that these tests were built for. The build has
/// downloaded the crates of that platform only. Without the filter, cargo would need the crates of
/// all platforms, and fail offline on a machine that never downloaded them.
fn operations() -> BTreeSet<String> {
    let platform = platform();
    let arguments = ["metadata", "--offline", "--locked", "--format-version", "1", "--filter-platform", &platform];
    let metadata: Value = serde_json::from_slice(&cargo(&arguments)).expect("cargo writes JSON");
    let packages = metadata["packages"].as_array().expect("packages").iter();
    let sdks = packages.filter(|package| SDKS.iter().any(|sdk| package["name"] == *sdk));
    let folders = sdks.map(|sdk| Path::new(sdk["manifest_path"].as_str().expect("a path")).with_file_name("src"));
    let files = folders.flat_map(|folder| fs::read_dir(folder.join("operation")).expect("the SDK's operations"));
    let files = files.map(|file| file.expect("a file").path()).filter(|path| path.extension().is_some());
    let operations: BTreeSet<String> = files.filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned())).collect();
    for known in ["get_item", "put_object", "receive_message"] {
        assert!(operations.contains(known), "`{known}` was not found in the SDK's sources: has their layout changed?");
    }
    operations
}

fn sources(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
        let path = entry.expect("an entry").path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if path.is_dir() && name != "tests" {
            sources(&path, files);
        } else if name.ends_with(".rs") && name != "tests.rs" {
            files.push(path);
        }
    }
    files.sort();
}

fn ends_with_word(text: &str, word: &str) -> bool {
    let before = text.strip_suffix(word);
    before.is_some_and(|before| !before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '.')))
}

fn camel_case(name: &str) -> String {
    let capital = |word: &str| word[..1].to_uppercase() + &word[1..];
    name.split('_').map(capital).collect()
}

#[test]
fn calls_in_any_notation_are_found() {
    let operations = ["get_item", "list_objects_v2", "transact_write_items", "scan"].map(str::to_owned).into();
    let text = "
        let a = self.client
            .get_item().table_name(x);
        // client.scan()
        self.scan().await; this.list_objects_v2().into_paginator();
        TransactWriteItem::builder().put(types::Put::builder()); LifecycleDelete::builder();
        #[cfg(test)]\nmod tests {\n client.transact_write_items() }";
    let text: Vec<&str> = text.lines().map(str::trim_start).collect();
    let called = called_in(&text.join("\n"), &operations);
    assert_eq!(called.iter().collect::<Vec<_>>(), ["GetItem", "ListObjectsV2", "TransactWriteItems.Put"]);
}
