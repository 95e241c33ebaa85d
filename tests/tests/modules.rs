//! The arrows between the modules of a crate: which may import which, and that no two files import each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Crates with an order of modules. A module may import those behind it in its list, and none before it.
const ORDERS: &[(&str, &[&str])] = &[
    (
        "cloakroom",
        &[
            "conformance",
            "memory",
            "recovery",
            "worker",
            "endpoint",
            "engine",
            "handler",
            "observe",
            "ports",
            "format",
            "error",
            "protocol",
        ],
    ),
    ("cloakroom-aws", &["admin", "lambda", "aws", "sqs", "dynamodb", "s3", "client", "settings", "clock"]),
];

/// A module by its path below the crate, such as `engine::dispatch`; each is one file.
type Imports = BTreeMap<String, BTreeSet<String>>;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of sources").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

fn is_test(module: &str) -> bool {
    module.split("::").any(|part| part == "tests" || part == "scripted")
}

/// The module of a file, from its path below `src`.
fn module(path: &Path) -> String {
    let name = path.with_extension("").iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("::");
    name.strip_suffix("::mod").unwrap_or(&name).to_owned()
}

/// Takes the braces out of a path: `a::{b, c::d}` becomes `a::b` and `a::c::d`.
fn leaves(path: &str) -> Vec<String> {
    let Some((before, inside)) = path.split_once('{') else { return vec![path.trim().to_owned()] };
    let inside = inside.trim_end().strip_suffix('}').unwrap_or(inside);
    let (mut depth, mut begin, mut parts) = (0_u32, 0, Vec::new());
    for (at, c) in inside.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(&inside[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&inside[begin..]);
    let parts = parts.into_iter().filter(|part| !part.trim().is_empty());
    parts.flat_map(leaves).map(|leaf| format!("{}{leaf}", before.trim())).collect()
}

/// Every path of a source that begins with `crate` or `super`, whether imported or used in place.
fn paths(module: &str, source: &str) -> Vec<String> {
    let code: Vec<&str> = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let code = code.join("\n");
    let own = code.split("\n#[cfg(test)]\nmod tests").next().unwrap_or_default();
    let mut found = Vec::new();
    for root in ["crate::", "super::"] {
        for (at, _) in own.match_indices(root) {
            if own[..at].ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | '$' | ':')) {
                continue;
            }
            let rest = &own[at..];
            let is_import = own[..at].trim_end().ends_with("use");
            let end = if is_import {
                rest.find(';')
            } else {
                rest.find(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | ':'))
            };
            found.extend(leaves(&rest[..end.unwrap_or(rest.len())].replace('\n', " ")));
        }
    }
    found.iter().filter_map(|path| absolute(module, path)).collect()
}

/// A path from the root of its crate.
fn absolute(module: &str, path: &str) -> Option<String> {
    if let Some(path) = path.strip_prefix("crate::") {
        return Some(path.to_owned());
    }
    let path = path.strip_prefix("super::")?;
    Some(module.rsplit_once("::").map_or_else(|| path.to_owned(), |(parent, _)| format!("{parent}::{path}")))
}

/// Which files of a crate import which others.
fn imports(folder: &Path) -> Imports {
    let files = sources(&folder.join("src"));
    let files = files.iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let sources: BTreeMap<String, String> = files
        .map(|path| (module(path.strip_prefix(folder.join("src")).expect("below the sources")), path))
        .filter(|(module, _)| !is_test(module) && !module.starts_with("bin::"))
        .map(|(module, path)| (module, fs::read_to_string(path).expect("a source")))
        .collect();
    let file_of = |path: &str| {
        let ends = path.match_indices("::").map(|(at, _)| at).chain([path.len()]);
        ends.map(|end| &path[..end]).filter(|prefix| sources.contains_key(*prefix)).last().map(str::to_owned)
    };
    let imported = |(module, source): (&String, &String)| {
        let others = paths(module, source).into_iter().filter_map(|path| file_of(&path));
        (module.clone(), others.filter(|other| other != module).collect())
    };
    sources.iter().map(imported).collect()
}

fn crates() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates");
    let entries = fs::read_dir(folder).expect("the folder of crates").map(|entry| entry.expect("an entry").path());
    entries.filter(|path| path.join("Cargo.toml").exists()).collect()
}

#[test]
fn modules_import_only_those_below_them() {
    let mut wrong = Vec::new();
    for folder in crates() {
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        let Some((_, order)) = ORDERS.iter().find(|(of, _)| *of == name) else { continue };
        let rank = |module: &str| {
            let top = module.split("::").next().unwrap_or_default();
            order.iter().position(|wing| *wing == top)
        };
        let imports = imports(&folder);
        assert!(imports.values().map(BTreeSet::len).sum::<usize>() > 100, "`{name}` has imports");
        for (module, others) in imports.iter().filter(|(module, _)| !matches!(module.as_str(), "lib" | "docs")) {
            let own = rank(module).unwrap_or_else(|| panic!("`{module}` of `{name}` has no place in the order"));
            let upward = others.iter().filter(|other| rank(other).is_some_and(|rank| rank < own));
            wrong.extend(upward.map(|other| format!("{name}: {module} -> {other}")));
        }
    }
    assert!(wrong.is_empty(), "imports from above:\n{}", wrong.join("\n"));
}

#[test]
fn no_two_files_import_each_other() {
    let mut circles = Vec::new();
    for folder in crates() {
        if !ORDERS.iter().any(|(name, _)| folder.ends_with(name)) {
            continue;
        }
        let mut imports = imports(&folder);
        imports.remove("lib");
        // What imports nothing that is left is in no circle.
        loop {
            let left: BTreeSet<String> = imports.keys().cloned().collect();
            imports.values_mut().for_each(|others| others.retain(|other| left.contains(other)));
            let before = imports.len();
            imports.retain(|_, others| !others.is_empty());
            if imports.len() == before {
                break;
            }
        }
        // Nor is what nothing that is left imports.
        loop {
            let imported: BTreeSet<String> = imports.values().flatten().cloned().collect();
            let before = imports.len();
            imports.retain(|module, _| imported.contains(module));
            if imports.len() == before {
                break;
            }
        }
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        circles.extend(imports.iter().map(|(module, others)| format!("{name}: {module} -> {others:?}")));
    }
    assert!(circles.is_empty(), "files in circles:\n{}", circles.join("\n"));
}

#[test]
fn paths_are_read_whatever_their_form() {
    assert_eq!(leaves("crate::a::{b, c::{d, e as f}}"), ["crate::a::b", "crate::a::c::d", "crate::a::c::e as f"]);
    let source = "use crate::{\n    a::B,\n    c,\n};\nfn f() -> crate::d::E { super::g() }\n// crate::no\n";
    assert_eq!(paths("x::y", source), ["a::B", "c", "d::E", "x::g"]);
}
