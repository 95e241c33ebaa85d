//! Step 6: sends what a record holds.

use std::collections::BTreeMap;

use futures::future::join_all;

use crate::{Claim, Envelope, Error, LimitError, Limits, Outgoing, PortError, QueueMessage, Record, endpoint::Inner};

/// Sends every message of the record, each queue's in order, and what failed again.
///
/// A message is marked as dispatched anew when an earlier send of it may have succeeded: its payload may be
/// gone by rights.
pub(crate) async fn dispatch(endpoint: &Inner, record: &Record, again: bool) -> Result<(), Error> {
    let mut queues: BTreeMap<&str, Vec<&Outgoing>> = BTreeMap::new();
    for message in &record.messages {
        queues.entry(&message.queue).or_default().push(message);
    }
    let sends = queues.into_iter().map(|(queue, messages)| send_all(endpoint, queue, messages, again));
    // Every queue to its end: the failure of one must not stop the others half-way.
    Ok(join_all(sends).await.into_iter().collect::<Result<(), PortError>>()?)
}

async fn send_all(endpoint: &Inner, queue: &str, messages: Vec<&Outgoing>, again: bool) -> Result<(), PortError> {
    let queue = endpoint.queue(queue).await?;
    let mut left = messages;
    let mut tried = 0;
    loop {
        let batch = left.iter().map(|message| queue_message(message, again || tried > 0)).collect();
        let results = queue.send(batch).await;
        let all = left.len();
        let failed: Vec<_> = left.into_iter().zip(results).filter_map(|(m, r)| r.err().map(|e| (m, e))).collect();
        endpoint.observer.sent(queue.name(), all - failed.len());
        tried += 1;
        // What can be sent is sent, even if something else never can be.
        let is_hopeful = tried < endpoint.settings.calls_max && failed.iter().any(|(_, error)| error.may_be_repeated());
        match failed.first() {
            None => return Ok(()),
            Some((_, error)) if !is_hopeful => return Err(error.clone()),
            Some(_) => failed.iter().for_each(|(_, error)| endpoint.observer.retried(error.reason())),
        }
        endpoint.pause(tried).await;
        left = failed.into_iter().map(|(message, _)| message).collect();
    }
}

fn queue_message(outgoing: &Outgoing, again: bool) -> QueueMessage {
    let Outgoing { envelope, delay_s, group, queue, .. } = outgoing;
    let envelope = Envelope { redispatch: envelope.redispatch || again, ..envelope.clone() };
    QueueMessage {
        body: envelope.encode(),
        delay_s: *delay_s,
        group: group.clone(),
        deduplication: Some(crate::schema::derived_id(&[queue, envelope.id.as_str()]).to_string()),
        ..QueueMessage::default()
    }
}

/// As long as the name of a payload store may be.
const LONGEST_STORE_NAME: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// Checks, before anything is written, that every message will fit into its queue.
pub(crate) fn check_limits(limits: &Limits, record: &Record) -> Result<(), LimitError> {
    let claims = std::iter::repeat_with(|| Claim::from_random(0, LONGEST_STORE_NAME));
    record.with_claims(claims).messages.iter().try_for_each(|outgoing| {
        limits.check_transaction(outgoing.envelope.partition.as_str(), [])?;
        let what = format!("message `{}` to queue `{}`", outgoing.envelope.kind, outgoing.queue);
        limits.check_message(&what, &queue_message(outgoing, true))
    })
}
