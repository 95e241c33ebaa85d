//! The laws of exactly-once processing. Each law is a function of what the stores did and what was
//! left. It knows nothing of how that happened.

pub(super) mod law;
mod messages;
mod payloads;
#[cfg(test)]
mod tests;

pub(crate) use messages::messages_to_process;
pub(crate) use payloads::orphans;

use crate::simulation::{
    history::{Rest, Sent, StoreEvent},
    laws::law::{Law, Violation},
};

/// Returns all violations of the laws.
pub(crate) fn violations(events: &[StoreEvent], rest: &Rest, is_rejection: &dyn Fn(&str) -> bool) -> Vec<Violation> {
    let mut violations = messages::at_most_once(events);
    violations.extend(messages::no_ghost(events));
    violations.extend(messages::versions(events));
    violations.extend(payloads::live(events));
    violations.extend(payloads::claims(events));
    if rest.is_reached {
        violations.extend(messages::no_loss(events, rest, is_rejection));
        violations.extend(payloads::no_residue(events, rest));
    } else {
        violations.push(liveness(rest));
    }
    for violation in &mut violations {
        violation.add_related_subjects(events);
    }
    violations
}

fn liveness(rest: &Rest) -> Violation {
    let queues: Vec<_> = rest.queues.iter().map(|(queue, messages)| format!("{queue}: {}", messages.len())).collect();
    let ids = rest.queues.iter().flat_map(|(queue, messages)| messages.iter().filter_map(|m| Sent::read(queue, m)));
    let ids: Vec<String> = ids.map(|sent| sent.message.to_string()).collect();
    let subjects: Vec<&str> = ids.iter().map(String::as_str).collect();
    let what = format!("no rest within 4 hours; messages in queues: {}", queues.join(", "));
    Violation::new(Law::Liveness, what, &subjects)
}
