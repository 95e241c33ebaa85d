//! Step 6: sends the outgoing messages of records.

use std::collections::BTreeMap;

use futures::future::join_all;

use crate::{
    engine::context::Context,
    error::PortError,
    format::{
        derived_id::derived_id,
        record::{Outgoing, Record},
    },
    ports::{
        fifo::is_fifo,
        queue::{Queue, QueueMessage},
    },
};

/// Sends the outgoing messages of these records, in order for each queue, with retries. Returns one
/// result for each record. The `bool` of a record is whether its messages may have been sent
/// before.
///
/// A message is marked as dispatched again if an earlier send may have succeeded. Then its payload
/// may legitimately be missing.
pub(crate) async fn dispatch(endpoint: &Context, records: &[(&Record, bool)]) -> Vec<Result<(), PortError>> {
    let mut queues: BTreeMap<&str, Vec<(usize, &Outgoing)>> = BTreeMap::new();
    for (number, (record, _)) in records.iter().enumerate() {
        for message in &record.messages {
            queues.entry(&message.queue).or_default().push((number, message));
        }
    }
    let sends = queues.into_iter().map(async |(queue, messages)| {
        let results = match endpoint.queue(queue).await {
            Ok(queue) => {
                let write = |(number, message): &(usize, &Outgoing), repeated| {
                    queue_message(message, records[*number].1 || repeated)
                };
                send_all(endpoint, &*queue, &messages, write).await
            }
            Err(error) => vec![Err(error); messages.len()],
        };
        messages.into_iter().map(|(number, _)| number).zip(results).collect::<Vec<_>>()
    });
    // Each queue is finished, so a failure of one queue does not interrupt the sends to another.
    let mut results = vec![Ok(()); records.len()];
    for (number, result) in join_all(sends).await.into_iter().flatten() {
        let of_record = &mut results[number];
        if of_record.is_ok() {
            *of_record = result;
        }
    }
    results
}

/// Sends messages, and retries those that failed while a retry can help for any of them. Returns
/// one result for each message, that of the last try. An error may have taken effect if any of its
/// tries may have. The `bool` of `write` is whether this is a retry.
pub(crate) async fn send_all<T>(
    endpoint: &Context,
    queue: &dyn Queue,
    messages: &[T],
    write: impl Fn(&T, bool) -> QueueMessage,
) -> Vec<Result<(), PortError>> {
    let mut results = vec![Ok(()); messages.len()];
    let mut left: Vec<usize> = (0..messages.len()).collect();
    let mut tried = 0;
    loop {
        let batch = left.iter().map(|number| write(&messages[*number], tried > 0)).collect();
        let sent = queue.send(batch).await;
        let all = left.len();
        for (number, result) in left.iter().zip(sent) {
            let last = &mut results[*number];
            *last = match (result, &*last) {
                (Err(error), Err(earlier)) => Err(error.after(earlier)),
                (result, _) => result,
            };
        }
        left.retain(|number| results[*number].is_err());
        endpoint.observer.sent(queue.name(), all - left.len());
        tried += 1;
        // All failed messages are sent again, also those for which a retry cannot help. On a FIFO
        // queue they include the messages that were kept back after a failed one.
        let failures = || left.iter().filter_map(|number| results[*number].as_ref().err());
        if tried >= endpoint.settings.calls_max || !failures().any(PortError::may_be_repeated) {
            return results;
        }
        failures().for_each(|error| endpoint.retried(error.reason()));
        endpoint.pause(tried).await;
    }
}

fn queue_message(outgoing: &Outgoing, again: bool) -> QueueMessage {
    let Outgoing { envelope, delay_s, group, queue, .. } = outgoing;
    QueueMessage {
        body: envelope.encode_with(envelope.dataref.as_ref(), envelope.redispatch || again),
        delay_s: *delay_s,
        group: group.clone(),
        // SUBTLE: the deduplication id is derived from the identity. Two messages may have the same
        // id, and a FIFO queue would drop the second one
        // (`messages_with_one_id_are_not_deduplicated_on_a_fifo_queue`). Standard queues do not
        // use it.
        deduplication: is_fifo(queue).then(|| derived_id(&[queue, envelope.identity().as_str()]).to_string()),
        ..QueueMessage::default()
    }
}
