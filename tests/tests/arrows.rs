//! The allowed dependencies between the crates.

use std::{collections::BTreeSet, process::Command};

use serde_json::Value;

/// Every member of the workspace, and the members that it may depend on. Tests and benchmarks may
/// depend on any member.
const DEPENDENCIES: &[(&str, &[&str])] = &[
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

/// Prefixes of external dependencies, and the members that may depend on them.
const RESTRICTED: &[(&str, &[&str])] = &[
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

/// Returns the dependencies that a package links. Those of its tests only are left out.
fn dependencies(package: &Value) -> BTreeSet<&str> {
    let all = package["dependencies"].as_array().expect("a list of dependencies").iter();
    all.filter(|one| one["kind"].is_null()).filter_map(|one| one["name"].as_str()).collect()
}

#[test]
fn members_depend_only_on_allowed_members() {
    for package in packages() {
        let name = package["name"].as_str().expect("a name");
        let Some((_, allowed)) = DEPENDENCIES.iter().find(|(member, _)| *member == name) else {
            assert!(
                matches!(name, "cloakroom-tests" | "cloakroom-benches"),
                "`{name}` is not in the list of allowed dependencies: add it"
            );
            continue;
        };
        let ours = dependencies(&package).into_iter().filter(|dependency| dependency.starts_with("cloakroom"));
        let forbidden: Vec<_> = ours.filter(|dependency| !allowed.contains(dependency)).collect();
        assert!(forbidden.is_empty(), "`{name}` must not depend on {forbidden:?}");
    }
}

#[test]
fn restricted_dependencies_stay_in_their_crates() {
    for package in packages() {
        let name = package["name"].as_str().expect("a name");
        if !DEPENDENCIES.iter().any(|(member, _)| *member == name) {
            continue;
        }
        for (prefix, members) in RESTRICTED {
            let found: Vec<_> = dependencies(&package).into_iter().filter(|one| one.starts_with(prefix)).collect();
            assert!(found.is_empty() || members.contains(&name), "`{name}` must not depend on {found:?}");
        }
    }
}
