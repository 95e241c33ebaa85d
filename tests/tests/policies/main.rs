//! Tests of the templates in `infra/`. Their policies allow exactly the operations that the code
//! calls. They create the same resources as provisioning. Every count of the code has a metric.

#[path = "../embedded/mod.rs"]
mod embedded;

mod calls;
mod made;
mod policy;
mod roles;
mod template;
mod watched;
mod worked;

use std::{fs, path::PathBuf};

/// Returns the path of a file or folder of the repository.
fn path(relative: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(relative)
}

/// Returns the text of a file of the repository.
fn text(relative: &str) -> String {
    let path = path(relative);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
