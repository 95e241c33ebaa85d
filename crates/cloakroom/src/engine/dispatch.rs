//! Step 6: sends what a record holds.

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

/// Sends every message of these records, each queue's in order, and what failed again. Each record has its own answer.
///
/// A message is marked as dispatched anew, as its record says, or when an earlier send of it may have succeeded: its payload may be
/// gone by rights.
pub(crate) async fn dispatch(endpoint: &Context, records: &[(&Record, bool)]) -> Vec<Result<(), PortError>> {
    let mut queues: BTreeMap<&str, Vec<(usize, &Outgoing)>> = BTreeMap::new();
    for (number, (record, _)) in records.iter().enumerate() {
        for message in &record.messages {
            queues.entry(&message.queue).or_default().push((number, message));
        }
    }
    let sends = queues.into_iter().map(async |(queue, messages)| {
        let answers = match endpoint.queue(queue).await {
            Ok(queue) => {
                let write = |(number, message): &(usize, &Outgoing), repeated| {
                    queue_message(message, records[*number].1 || repeated)
                };
                send_all(endpoint, &*queue, &messages, write).await
            }
            Err(error) => vec![Err(error); messages.len()],
        };
        messages.into_iter().map(|(number, _)| number).zip(answers).collect::<Vec<_>>()
    });
    // Every queue to its end: the failure of one must not stop the others half-way.
    let mut answers = vec![Ok(()); records.len()];
    for (number, answer) in join_all(sends).await.into_iter().flatten() {
        let whole = &mut answers[number];
        if whole.is_ok() {
            *whole = answer;
        }
    }
    answers
}

/// Sends messages, and what failed again while that can help for any of them. Each has its own answer, of the last try; it
/// may have happened if any try may have. `write` is told whether it is a repetition.
pub(crate) async fn send_all<T>(
    endpoint: &Context,
    queue: &dyn Queue,
    messages: &[T],
    write: impl Fn(&T, bool) -> QueueMessage,
) -> Vec<Result<(), PortError>> {
    let mut answers = vec![Ok(()); messages.len()];
    let mut left: Vec<usize> = (0..messages.len()).collect();
    let mut tried = 0;
    loop {
        let batch = left.iter().map(|number| write(&messages[*number], tried > 0)).collect();
        let results = queue.send(batch).await;
        let all = left.len();
        for (number, result) in left.iter().zip(results) {
            let answer = &mut answers[*number];
            *answer = match (result, &*answer) {
                (Err(error), Err(earlier)) => Err(error.after(earlier)),
                (result, _) => result,
            };
        }
        left.retain(|number| answers[*number].is_err());
        endpoint.observer.sent(queue.name(), all - left.len());
        tried += 1;
        // What can be sent is sent, even if something else never can be; and on a FIFO queue, what failed goes with what was
        // kept back behind it.
        let failures = || left.iter().filter_map(|number| answers[*number].as_ref().err());
        if tried >= endpoint.settings.calls_max || !failures().any(PortError::may_be_repeated) {
            return answers;
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
        // SUBTLE: by identity. Two messages may share an id, and the queue would swallow the second one
        // (`messages_of_one_id_do_not_swallow_each_other_on_a_fifo_queue`). Standard queues have no use for it.
        deduplication: is_fifo(queue).then(|| derived_id(&[queue, envelope.identity().as_str()]).to_string()),
        ..QueueMessage::default()
    }
}
