//! What a failure shows about the services.

use crate::{
    error::{Error, ErrorKind, Services},
    protocol::step::Do,
};

/// Returns the error of a step, with what it shows about the services that every message needs.
///
/// Every message needs the table, so a missing permission for the table fails all messages. A
/// missing queue or another missing permission fails only the messages that need it.
pub(super) fn with_services_at(error: Error, step: Do) -> Error {
    let needs_table = matches!(step, Do::ReadState(_) | Do::ReadRecord | Do::Commit(_) | Do::Clear);
    if needs_table && error.kind() == ErrorKind::FixConfiguration {
        return error.with_services(Services::Failing);
    }
    // Every step but the first follows a successful call to the table.
    if matches!(step, Do::ReadState(_)) { error } else { error.with_services(Services::Answering) }
}
