//! Step 6: sends what a record holds.

use std::collections::BTreeMap;

use futures::future::join_all;

use crate::{
    Claim, Limits, Outgoing, PortError, Queue, QueueMessage, Record, endpoint::Inner, fifo::is_fifo, schema::derived_id,
};

/// Sends every message of these records, each queue's in order, and what failed again. Each record has its own answer.
///
/// A message is marked as dispatched anew, as its record says, or when an earlier send of it may have succeeded: its payload may be
/// gone by rights.
pub(crate) async fn dispatch(endpoint: &Inner, records: &[(&Record, bool)]) -> Vec<Result<(), PortError>> {
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
    endpoint: &Inner,
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

/// As long as the name of a payload store may be.
const LONGEST_STORE_NAME: &str = "0000000000000000000000000000000000000000000000000000000000000000";
/// As long as a claim may be: it begins with 32 digits and a dot.
const CLAIM_BYTES_MAX: usize = 33 + LONGEST_STORE_NAME.len();

/// Checks, before anything is written, that its queue will take every message.
///
/// # Errors
/// What it will not take, and what to do.
pub(crate) fn check_limits(limits: &Limits, record: &Record) -> Result<(), String> {
    record.messages.iter().try_for_each(|Outgoing { envelope, queue, delay_s, .. }| {
        limits.check_transaction(envelope.partition.as_str(), []).map_err(|error| error.to_string())?;
        let what = format!("message `{}` to queue `{queue}`", envelope.kind);
        check_delay(&what, queue, *delay_s)?;
        // Most are far too small to be written for that.
        let claim_bytes = envelope.dataref.as_ref().map_or(CLAIM_BYTES_MAX, |claim| claim.as_str().len());
        if envelope.encoded_bytes_max(claim_bytes).is_some_and(|bytes| bytes <= limits.message_bytes_max) {
            return Ok(());
        }
        let longest = || Claim::from_random(0, LONGEST_STORE_NAME);
        let claim = envelope.dataref.clone().unwrap_or_else(longest);
        let body = envelope.encode_with(Some(&claim), true);
        check_size(limits, &what, &QueueMessage { body, ..QueueMessage::default() })
    })
}

/// A delay that is silently dropped is worse than one that is refused.
pub(crate) fn check_delay(what: &str, queue: &str, delay_s: u32) -> Result<(), String> {
    if delay_s == 0 || !is_fifo(queue) {
        return Ok(());
    }
    Err(format!(
        "{what} is to be held back for {delay_s} s, which FIFO queues cannot do for a single message: send it without a delay, \
         or to a standard queue"
    ))
}

/// A message's size; the error says which limit it is.
pub(crate) fn check_size(limits: &Limits, what: &str, message: &QueueMessage) -> Result<(), String> {
    limits.check_message(what, message).map_err(|error| match error.unit {
        "bytes" => format!("{error} (`limits.message_bytes_max`)"),
        _ => error.to_string(),
    })
}
