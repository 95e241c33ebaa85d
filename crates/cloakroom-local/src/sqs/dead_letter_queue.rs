//! The check that a queue may be the dead-letter queue of another queue.

use serde_json::Value;

use crate::sqs::address::arn;
use crate::sqs::error::Error;
use crate::sqs::queues::Queues;
use crate::sqs::redrive::{ALLOW_POLICY, POLICY, TARGET, allows, invalid, map, parse};

impl Queues {
    /// Checks the dead-letter queue of a `RedrivePolicy` that a client sets: it must exist, be of
    /// the same type as the source queue, and allow the source queue.
    pub(super) fn check_dead_letter_queue(&self, source: &str, policy: &str) -> Result<(), Error> {
        let refuse = |reason: &str| Err(invalid(POLICY, policy, reason));
        let target = parse(policy)?.target;
        // Queues of other accounts and regions do not exist here.
        let is_ours = map(policy).is_some_and(|map| map.get(TARGET).and_then(Value::as_str) == Some(&arn(&target)));
        let Some(queue) = self.by_name.get(&target).filter(|_| is_ours) else {
            return refuse("Dead letter target does not exist");
        };
        if queue.settings.fifo != source.ends_with(".fifo") {
            return refuse("Dead-letter queue must be same type of queue as the source");
        }
        match queue.settings.given.get(ALLOW_POLICY) {
            Some(allow) if !allows(allow, source) => {
                refuse("The RedriveAllowPolicy of the dead-letter queue does not allow this source queue")
            }
            _ => Ok(()),
        }
    }
}
