//! The allowed imports between the modules of a crate. No two files import each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Crates with an order of modules. A module may import the modules after it in the list, and none
/// before it.
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

/// The imported modules of each module. A module is one file, named by its path in the crate, such
/// as `engine::dispatch`.
type Imports = BTreeMap<String, BTreeSet<String>>;

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder of sources").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { sources(&path) } else { vec![path] }).collect()
}

fn is_test(module: &str) -> bool {
    module.split("::").any(|part| part == "tests" || part == "scripted")
}

/// Returns the module of a file, given its path below `src`.
fn module(path: &Path) -> String {
    let name = path.with_extension("").iter().map(|part| part.to_string_lossy()).collect::<Vec<_>>().join("::");
    name.strip_suffix("::mod").unwrap_or(&name).to_owned()
}

/// Expands the braces of a path: `a::{b, c::d}` becomes `a::b` and `a::c::d`.
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

/// Returns every path in a source that begins with `crate` or `super`, in imports and in
/// expressions.
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

/// Returns the path from the root of the crate.
fn absolute(module: &str, path: &str) -> Option<String> {
    if let Some(path) = path.strip_prefix("crate::") {
        return Some(path.to_owned());
    }
    let path = path.strip_prefix("super::")?;
    Some(module.rsplit_once("::").map_or_else(|| path.to_owned(), |(parent, _)| format!("{parent}::{path}")))
}

/// Returns which files of a crate import which other files.
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
            order.iter().position(|first| *first == top)
        };
        let imports = imports(&folder);
        assert!(
            imports.values().map(BTreeSet::len).sum::<usize>() > 100,
            "at most 100 imports were found in `{name}`, so this test misses some"
        );
        for (module, others) in imports.iter().filter(|(module, _)| !matches!(module.as_str(), "lib" | "docs")) {
            let own = rank(module).unwrap_or_else(|| panic!("module `{module}` of `{name}` is not in ORDERS: add it"));
            let upward = others.iter().filter(|other| rank(other).is_some_and(|rank| rank < own));
            wrong.extend(upward.map(|other| format!("{name}: {module} -> {other}")));
        }
    }
    assert!(wrong.is_empty(), "these modules import a module above them:\n{}", wrong.join("\n"));
}

#[test]
fn files_are_short() {
    const LINES_MAX: usize = 400;
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let folders = ["crates", "tests/src", "tests/tests", "tests/fuzz", "benches/src", "benches/benches"];
    let files = folders.iter().flat_map(|folder| sources(&root.join(folder)));
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "rs"));
    let long = files.filter_map(|path| {
        let lines = fs::read_to_string(&path).expect("a source").lines().count();
        (lines > LINES_MAX).then(|| format!("{}: {lines} lines", path.display()))
    });
    let long: Vec<_> = long.collect();
    assert!(long.is_empty(), "files over {LINES_MAX} lines:\n{}", long.join("\n"));
}

#[test]
fn no_two_files_import_each_other() {
    let mut cycles = Vec::new();
    for folder in crates() {
        let mut imports = imports(&folder);
        imports.remove("lib");
        // A file that imports none of the remaining files is in no cycle.
        loop {
            let left: BTreeSet<String> = imports.keys().cloned().collect();
            imports.values_mut().for_each(|others| others.retain(|other| left.contains(other)));
            let before = imports.len();
            imports.retain(|_, others| !others.is_empty());
            if imports.len() == before {
                break;
            }
        }
        // A file that none of the remaining files imports is in no cycle, either.
        loop {
            let imported: BTreeSet<String> = imports.values().flatten().cloned().collect();
            let before = imports.len();
            imports.retain(|module, _| imported.contains(module));
            if imports.len() == before {
                break;
            }
        }
        let name = folder.file_name().expect("a name").to_string_lossy().into_owned();
        cycles.extend(imports.iter().map(|(module, others)| format!("{name}: {module} -> {others:?}")));
    }
    assert!(cycles.is_empty(), "these files import each other:\n{}", cycles.join("\n"));
}

#[test]
fn paths_of_any_form_are_found() {
    assert_eq!(leaves("crate::a::{b, c::{d, e as f}}"), ["crate::a::b", "crate::a::c::d", "crate::a::c::e as f"]);
    let source = "use crate::{\n    a::B,\n    c,\n};\nfn f() -> crate::d::E { super::g() }\n// crate::no\n";
    assert_eq!(paths("x::y", source), ["a::B", "c", "d::E", "x::g"]);
}
