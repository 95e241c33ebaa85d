//! Laws of [`Queues`].

use crate::{
    conformance::law::{Law, laws},
    ports::queue::Queues,
};

/// Runs all laws of [`Queues`]. The queue `known` must exist, and no queue whose name begins with
/// `scope`.
///
/// # Panics
/// A law is broken. The message has its name and the value that it found.
pub async fn queues(queues: &dyn Queues, known: &str, scope: &str) {
    let subject = |law| Subject { law, queues, known };
    laws!(scope, subject;
        queue_is_opened_by_its_name,
        opening_a_missing_queue_fails_and_names_it,
    );
}

struct Subject<'a> {
    law: Law<'a>,
    queues: &'a dyn Queues,
    known: &'a str,
}

/// An opened queue has the name by which it was opened.
async fn queue_is_opened_by_its_name(s: &Subject<'_>) {
    let queue = s.law.ok("opening a queue", s.queues.open(s.known).await);
    s.law.same("the queue's name", &queue.name(), &s.known);
}

/// The open fails before anything is sent, permanently, and the error shows what to do. A route may
/// be misspelt.
async fn opening_a_missing_queue_fails_and_names_it(s: &Subject<'_>) {
    let name = format!("{}-misspelt", s.law.scope);
    let error = match s.queues.open(&name).await {
        Ok(queue) => s.law.broken(format_args!("queue `{name}` does not exist, but was opened: {queue:?}")),
        Err(error) => error,
    };
    s.law.check("the error must have no effect", !error.may_have_happened(), &error);
    s.law.check("the error must be permanent", !error.may_be_repeated(), &error);
    for part in [&*format!("{name}`"), "does not exist here", "make it with"] {
        s.law.check(&format!("the error must contain `{part}`"), error.to_string().contains(part), &error);
    }
}
