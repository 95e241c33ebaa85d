//! The templates in `infra/`: their policies allow what the code calls and nothing else, what they make is what
//! provisioning would make, and what the code counts is watched.

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

/// A place in the repository.
fn path(place: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("..").join(place)
}

/// A file of the repository.
fn text(place: &str) -> String {
    let path = path(place);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
