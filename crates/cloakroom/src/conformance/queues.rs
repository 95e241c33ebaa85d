//! Laws of [`Queues`].

use crate::{
    conformance::law::{Law, laws},
    ports::queue::Queues,
};

/// Runs all laws of [`Queues`] where `known` exists, and no queue whose name begins with `scope`.
///
/// # Panics
/// With the name of the first law that is broken, and what was seen.
pub async fn queues(queues: &dyn Queues, known: &str, scope: &str) {
    let subject = |law| Subject { law, queues, known };
    laws!(scope, subject;
        queue_is_opened_by_its_name,
        queue_that_does_not_exist_is_refused_by_name,
    );
}

struct Subject<'a> {
    law: Law<'a>,
    queues: &'a dyn Queues,
    known: &'a str,
}

/// It answers to the name by which it was opened.
async fn queue_is_opened_by_its_name(s: &Subject<'_>) {
    let queue = s.law.ok("opening a queue", s.queues.open(s.known).await);
    s.law.same("its name", &queue.name(), &s.known);
}

/// Before anything is sent, for good, and with what to do: a route may be misspelt.
async fn queue_that_does_not_exist_is_refused_by_name(s: &Subject<'_>) {
    let name = format!("{}-misspelt", s.law.scope);
    let error = match s.queues.open(&name).await {
        Ok(queue) => s.law.broken(format_args!("queue `{name}` does not exist, and was opened: {queue:?}")),
        Err(error) => error,
    };
    s.law.check("it has no effect", !error.may_have_happened(), &error);
    s.law.check("it is permanent", !error.may_be_repeated(), &error);
    for part in [&*format!("{name}`"), "does not exist here", "make it with"] {
        s.law.check(&format!("the error says `{part}`"), error.to_string().contains(part), &error);
    }
}
