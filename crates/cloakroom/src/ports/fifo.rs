//! Order on FIFO queues.
//!
//! SQS delivers the messages of one group in the order in which it took them. But of a batch it may take some and refuse
//! others, so that one which is sent again comes behind those that followed it. Therefore a batch has at most one message of
//! a group, and the next one goes only when the one before it was taken. Batches are filled with messages of other groups.
//!
//! An answer may be lost. The message is then sent again under the same deduplication id, and SQS keeps one of them; if the first
//! one is still on its way, it is the copy. That lasts for five minutes. Whoever resumes a record later than that sends all
//! of its messages once more: they come again, in order, behind what was sent meanwhile, and each is found to be a duplicate by its
//! claim. The order of *first* deliveries stays.
//!
//! What has an order is what one handler sends: its messages share the group of the partition that was changed. Of two commits
//! on that partition, the later one may be dispatched first, if the worker of the earlier one stops in between; `sequence` in the envelope tells.

use std::collections::{BTreeMap, VecDeque};

use crate::{error::PortError, ports::queue::QueueMessage};

/// Whether a queue of this name is a FIFO queue: SQS demands the ending.
///
/// ```
/// assert!(cloakroom::ports::fifo::is_fifo("audit.fifo") && !cloakroom::ports::fifo::is_fifo("audit"));
/// ```
pub fn is_fifo(queue: &str) -> bool {
    queue.ends_with(".fifo")
}

/// Sends messages in rounds, each with the next message of every group, and answers in their order. After one that failed,
/// those of its group behind it are kept back: their errors are without effect, and permanent if its own is.
pub async fn in_turn<F>(
    queue: &str,
    messages: Vec<QueueMessage>,
    send: impl Fn(Vec<QueueMessage>) -> F,
) -> Vec<Result<(), PortError>>
where
    F: Future<Output = Vec<Result<(), PortError>>>,
{
    let what = || format!("send to queue `{queue}`");
    let mut answers = vec![Err(PortError::new(what(), "no answer for the message")); messages.len()];
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
        for (number, behind) in numbers.into_iter().zip(groups.values_mut()) {
            let Err(error) = &answers[number] else { continue };
            let kept = PortError::new(what(), "kept back, since one of its group before it was not sent")
                .without_effect()
                .public();
            let kept = if error.may_be_repeated() { kept } else { kept.permanent() };
            behind.drain(..).for_each(|(number, _)| answers[number] = Err(kept.clone()));
        }
        groups.retain(|_, behind| !behind.is_empty());
    }
    answers
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

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use futures::FutureExt as _;

    use super::*;

    /// Messages that are called by group and number.
    fn messages(names: &[&str]) -> Vec<QueueMessage> {
        let message = |name: &&str| QueueMessage {
            body: (*name).to_owned(),
            group: Some(name[..1].to_owned()),
            ..QueueMessage::default()
        };
        names.iter().map(message).collect()
    }

    /// Sends, while `refused` meets this error. Returns the rounds, and the answers.
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
    fn a_round_has_the_next_message_of_every_group() {
        let (rounds, answers) = sent(&["a1", "a2", "b1", "a3", "c1", "b2"], "", &PortError::new("x", "y"));
        assert_eq!(rounds, [vec!["a1", "b1", "c1"], vec!["a2", "b2"], vec!["a3"]]);
        assert!(answers.len() == 6 && answers.iter().all(Result::is_ok));
    }

    #[test]
    fn behind_a_failure_its_group_is_kept_back_and_no_other() {
        let lost = PortError::new("send", "no answer");
        for (error, judged) in [(lost.clone(), (false, true)), (lost.permanent(), (false, false))] {
            let (rounds, answers) = sent(&["a1", "a2", "b1", "a3", "b2"], "a1", &error);
            assert_eq!(rounds, [vec!["a1", "b1"], vec!["b2"]]);
            assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [false, false, true, false, true]);
            for number in [1, 3] {
                let kept = answers[number].as_ref().expect_err("kept back");
                assert_eq!((kept.may_have_happened(), kept.may_be_repeated()), judged, "{kept}");
            }
        }
    }

    #[test]
    fn a_queue_that_answers_too_little_has_not_said_yes() {
        let silent = |_| std::future::ready(Vec::new());
        let answers = in_turn("q.fifo", messages(&["a1", "a2"]), silent).now_or_never().expect("nothing waits");
        assert!(answers[0].as_ref().is_err_and(PortError::may_have_happened));
        assert!(answers[1].as_ref().is_err_and(|error| !error.may_have_happened()));
    }
}
