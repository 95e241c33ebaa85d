//! Order on FIFO queues.
//!
//! SQS delivers the messages of one group in the order in which it accepted them. But SQS may
//! accept some messages of a batch and refuse others. If a refused message is sent again, it comes
//! after the messages that followed it. Therefore a batch has at most one message of a group, and
//! the next message is sent only after the previous one was accepted. Batches are filled with
//! messages of other groups.
//!
//! If a response is lost, the message is sent again with the same deduplication id. SQS keeps the
//! message that arrives first, and drops the other one, even if the first request arrives last.
//! This lasts for five minutes. A worker that resumes a record later sends all messages of the
//! record again. They arrive in order, after messages that were sent meanwhile, and the receiver
//! recognises each as a duplicate by its claim. The order of *first* deliveries is preserved.
//!
//! The messages of one handler call are ordered, because they share the group of the partition that
//! the handler changed. The messages of two commits on that partition may be dispatched in the
//! wrong order if the worker of the earlier commit stops before its dispatch. `sequence` in the
//! envelope shows the order of the commits.

use std::collections::{BTreeMap, VecDeque};

use crate::{error::PortError, ports::queue::QueueMessage};

/// Returns whether a queue with this name is a FIFO queue. SQS requires the suffix `.fifo`.
///
/// ```
/// assert!(cloakroom::ports::fifo::is_fifo("audit.fifo") && !cloakroom::ports::fifo::is_fifo("audit"));
/// ```
pub fn is_fifo(queue: &str) -> bool {
    queue.ends_with(".fifo")
}

/// Sends messages in rounds, and returns their results in the order of the messages. Each round has
/// the next message of every group. After a message failed, the later messages of its group are not
/// sent. Their errors are without effect, and are permanent if the error of the failed message is
/// permanent.
pub async fn in_turn<F>(
    queue: &str,
    messages: Vec<QueueMessage>,
    send: impl Fn(Vec<QueueMessage>) -> F,
) -> Vec<Result<(), PortError>>
where
    F: Future<Output = Vec<Result<(), PortError>>>,
{
    let what = || format!("send to queue `{queue}`");
    let mut answers = vec![Err(PortError::new(what(), "the queue returned no result for the message")); messages.len()];
    let mut groups: BTreeMap<Option<String>, VecDeque<(usize, QueueMessage)>> = BTreeMap::new();
    for (number, message) in messages.into_iter().enumerate() {
        groups.entry(message.group.clone()).or_default().push_back((number, message));
    }
    while !groups.is_empty() {
        let (numbers, round): (Vec<usize>, Vec<QueueMessage>) =
            groups.values_mut().filter_map(VecDeque::pop_front).unzip();
        for (number, answer) in numbers.iter().zip(send(round).await) {
            answers[*number] = answer;
        }
        for (number, later) in numbers.into_iter().zip(groups.values_mut()) {
            let Err(error) = &answers[number] else { continue };
            let not_sent = PortError::new(what(), "an earlier message of the same message group was not sent")
                .without_effect()
                .public();
            let not_sent = if error.may_be_repeated() { not_sent } else { not_sent.permanent() };
            later.drain(..).for_each(|(number, _)| answers[number] = Err(not_sent.clone()));
        }
        groups.retain(|_, later| !later.is_empty());
    }
    answers
}

/// Returns an error if a message to a FIFO queue has a delay. Without the error, the queue would
/// silently ignore the delay.
pub(crate) fn check_delay(what: &str, queue: &str, delay_s: u32) -> Result<(), String> {
    if delay_s == 0 || !is_fifo(queue) {
        return Ok(());
    }
    Err(format!(
        "{what} has a delay of {delay_s} s, but FIFO queues do not support a delay for a single message: send it without a \
         delay, or to a standard queue"
    ))
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures::FutureExt as _;

    use super::*;

    /// Returns messages with these names. The first character of a name is the message group.
    fn messages(names: &[&str]) -> Vec<QueueMessage> {
        let message = |name: &&str| QueueMessage {
            body: (*name).to_owned(),
            group: Some(name[..1].to_owned()),
            ..QueueMessage::default()
        };
        names.iter().map(message).collect()
    }

    /// Sends messages to a queue that fails `refused` with this error. Returns the rounds and the
    /// results.
    fn sent(names: &[&str], refused: &str, error: &PortError) -> (Vec<Vec<String>>, Vec<Result<(), PortError>>) {
        let rounds = RefCell::new(Vec::new());
        let send = |round: Vec<QueueMessage>| {
            let bodies: Vec<String> = round.into_iter().map(|message| message.body).collect();
            let answers = bodies.iter().map(|body| if body == refused { Err(error.clone()) } else { Ok(()) }).collect();
            rounds.borrow_mut().push(bodies);
            std::future::ready(answers)
        };
        let answers = in_turn("q.fifo", messages(names), send).now_or_never().expect("nothing waits");
        (rounds.into_inner(), answers)
    }

    #[test]
    fn round_has_the_next_message_of_every_group() {
        let (rounds, answers) = sent(&["a1", "a2", "b1", "a3", "c1", "b2"], "", &PortError::new("x", "y"));
        assert_eq!(rounds, [vec!["a1", "b1", "c1"], vec!["a2", "b2"], vec!["a3"]]);
        assert!(answers.len() == 6 && answers.iter().all(Result::is_ok));
    }

    #[test]
    fn failed_message_stops_only_later_messages_of_its_group() {
        let lost = PortError::new("send", "no answer");
        for (error, expected) in [(lost.clone(), (false, true)), (lost.permanent(), (false, false))] {
            let (rounds, answers) = sent(&["a1", "a2", "b1", "a3", "b2"], "a1", &error);
            assert_eq!(rounds, [vec!["a1", "b1"], vec!["b2"]]);
            assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, false, true, false, true]);
            for number in [1, 3] {
                let error = answers[number].as_ref().expect_err("not sent");
                assert_eq!((error.may_have_happened(), error.may_be_repeated()), expected, "{error}");
            }
        }
    }

    #[test]
    fn message_without_a_result_counts_as_failed() {
        let silent = |_| std::future::ready(Vec::new());
        let answers = in_turn("q.fifo", messages(&["a1", "a2"]), silent).now_or_never().expect("nothing waits");
        assert!(answers[0].as_ref().is_err_and(PortError::may_have_happened));
        assert!(answers[1].as_ref().is_err_and(|error| !error.may_have_happened()));
    }
}
