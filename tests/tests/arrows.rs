//! The arrows between the crates: which may know which.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

/// Every member, and the members that it may depend on. Tests and benchmarks may depend on any.
const ARROWS: &[(&str, &[&str])] = &[
    ("cloakroom", &[]),
    ("cloakroom-aws", &["cloakroom"]),
    ("cloakroom-local", &[]),
    ("cloakroom-sim", &["cloakroom"]),
    ("cloakroom-shop", &["cloakroom", "cloakroom-aws"]),
    ("cloakroom-bench", &["cloakroom", "cloakroom-aws", "cloakroom-local"]),
    (
        "cloakroom-cli",
        &["cloakroom", "cloakroom-aws", "cloakroom-bench", "cloakroom-local", "cloakroom-shop", "cloakroom-sim"],
    ),
];

/// Beginnings of names of dependencies that have one home only.
const HOMES: &[(&str, &[&str])] = &[
    ("aws-", &["cloakroom-aws", "cloakroom-bench", "cloakroom-cli", "cloakroom-shop"]),
    ("tokio", &["cloakroom-aws", "cloakroom-bench", "cloakroom-local", "cloakroom-cli", "cloakroom-shop"]),
    ("dynoxide", &["cloakroom-local"]),
    ("s3s", &["cloakroom-local"]),
    ("stateright", &["cloakroom-sim"]),
];

fn packages() -> Vec<Value> {
    let output = Command::new(env!("CARGO")).args(["metadata", "--no-deps", "--format-version", "1"]).output();
    let output = output.expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo writes JSON");
    metadata["packages"].as_array().expect("a list of packages").clone()
}

/// What a package links, leaving out what only its tests use.
fn dependencies(package: &Value) -> BTreeSet<&str> {
    let all = package["dependencies"].as_array().expect("a list of dependencies").iter();
    all.filter(|one| one["kind"].is_null()).filter_map(|one| one["name"].as_str()).collect()
}

#[test]
fn members_depend_in_one_direction() {
    for package in packages() {
        let name = package["name"].as_str().expect("a name");
        let Some((_, allowed)) = ARROWS.iter().find(|(member, _)| *member == name) else {
            assert!(matches!(name, "cloakroom-tests" | "cloakroom-benches"), "`{name}` has no arrows: add it here");
            continue;
        };
        let ours = dependencies(&package).into_iter().filter(|dependency| dependency.starts_with("cloakroom"));
        let forbidden: Vec<_> = ours.filter(|dependency| !allowed.contains(dependency)).collect();
        assert!(forbidden.is_empty(), "`{name}` must not depend on {forbidden:?}");
    }
}

#[test]
fn what_has_a_home_stays_there() {
    for package in packages() {
        let name = package["name"].as_str().expect("a name");
        if !ARROWS.iter().any(|(member, _)| *member == name) {
            continue;
        }
        for (beginning, homes) in HOMES {
            let found: Vec<_> = dependencies(&package).into_iter().filter(|one| one.starts_with(beginning)).collect();
            assert!(found.is_empty() || homes.contains(&name), "`{name}` must not depend on {found:?}");
        }
    }
}
