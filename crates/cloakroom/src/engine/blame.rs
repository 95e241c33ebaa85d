//! Whose fault a failure is.

use crate::{
    error::{Error, ErrorKind},
    protocol::step::Do,
};

/// Records in a failure what it shows about the services that every message needs.
///
/// The table is needed by every message: if the configuration denies it, all of them fail. A missing queue or another missing
/// permission fails only the messages that need it.
pub(super) fn blamed(error: Error, step: Do) -> Error {
    let needs_table = matches!(step, Do::ReadState(_) | Do::ReadRecord | Do::Commit(_) | Do::Clear);
    if needs_table && error.kind() == ErrorKind::FixConfiguration {
        return error.with_services_answering(false);
    }
    // Every step but the first comes after an answer of the table.
    if matches!(step, Do::ReadState(_)) { error } else { error.with_services_answering(true) }
}
