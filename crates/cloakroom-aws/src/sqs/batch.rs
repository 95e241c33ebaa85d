//! Batches of SQS: how many entries are split into requests, and how their answers are put together again.

use aws_sdk_sqs::types::BatchResultErrorEntry;
use cloakroom::PortError;

use crate::client::failure::Operation;

/// Entries in one request.
pub(crate) const ENTRIES_MAX: usize = 10;

/// An entry, with its place among those of the caller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Numbered<T> {
    pub(crate) number: usize,
    pub(crate) bytes: usize,
    pub(crate) entry: T,
}

/// Splits entries into batches of at most ten entries and `bytes_max`, keeping their order.
/// An entry that is larger than that is a batch of its own.
pub(crate) fn split<T>(entries: Vec<Numbered<T>>, bytes_max: usize) -> Vec<Vec<Numbered<T>>> {
    // Mostly that is all.
    if (1..=ENTRIES_MAX).contains(&entries.len()) && entries.iter().map(|entry| entry.bytes).sum::<usize>() <= bytes_max
    {
        return vec![entries];
    }
    let mut batches: Vec<Vec<Numbered<T>>> = Vec::new();
    let mut bytes = 0;
    for entry in entries {
        match batches.last_mut().filter(|batch| batch.len() < ENTRIES_MAX && bytes + entry.bytes <= bytes_max) {
            Some(batch) => {
                bytes += entry.bytes;
                batch.push(entry);
            }
            None => {
                bytes = entry.bytes;
                batches.push(vec![entry]);
            }
        }
    }
    batches
}

/// The answer to one entry.
pub(crate) type Answer = (usize, Result<(), PortError>);

/// What a service answered to the entries of a batch; an entry's id is its number.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) done: Vec<String>,
    pub(crate) failed: Vec<BatchResultErrorEntry>,
}

/// The answers to the entries of one batch: each its own, or all the failure of the call.
pub(crate) fn answers(
    operation: &Operation,
    target: &str,
    numbers: Vec<usize>,
    told: Result<Told, PortError>,
) -> Vec<Answer> {
    let told = match told {
        Ok(told) => told,
        Err(error) => return numbers.into_iter().map(|number| (number, Err(error.clone()))).collect(),
    };
    let answer = |number: usize| {
        let id = number.to_string();
        if let Some(failed) = told.failed.iter().find(|failed| failed.id == id) {
            let message = failed.message.as_deref().unwrap_or("without a message");
            return Err(operation.entry_failed(target, &failed.code, message, failed.sender_fault));
        }
        // What is in neither list may have happened.
        let silent = || PortError::new(operation.on(target), "the answer does not mention the entry").public();
        told.done.contains(&id).then_some(()).ok_or_else(silent)
    };
    numbers.into_iter().map(|number| (number, answer(number))).collect()
}

/// The answers in the caller's order.
pub(crate) fn in_order(mut answers: Vec<Answer>) -> Vec<Result<(), PortError>> {
    answers.sort_by_key(|(number, _)| *number);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEND: Operation = Operation::once("SendMessageBatch", "sqs:SendMessage");

    fn sizes(batches: &[Vec<Numbered<()>>]) -> Vec<Vec<usize>> {
        batches.iter().map(|batch| batch.iter().map(|entry| entry.bytes).collect()).collect()
    }

    fn entries(sizes: &[usize]) -> Vec<Numbered<()>> {
        sizes.iter().enumerate().map(|(number, bytes)| Numbered { number, bytes: *bytes, entry: () }).collect()
    }

    #[test]
    fn ten_entries_fill_a_batch() {
        assert!(split(entries(&[]), 100).is_empty());
        assert_eq!(sizes(&split(entries(&[1; 10]), 100)), [vec![1; 10]]);
        assert_eq!(sizes(&split(entries(&[1; 21]), 100)), [vec![1; 10], vec![1; 10], vec![1]]);
    }

    #[test]
    fn bytes_fill_a_batch_to_the_last_one() {
        assert_eq!(
            sizes(&split(entries(&[60, 40, 1, 99, 1, 101, 5]), 100)),
            [vec![60, 40], vec![1, 99], vec![1], vec![101], vec![5]]
        );
    }

    #[test]
    fn batches_keep_order_and_numbers() {
        let batches = split(entries(&[7; 25]), 20);
        let numbers: Vec<usize> = batches.concat().iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, (0..25).collect::<Vec<_>>());
    }

    fn failed(id: &str, code: &str, sender_fault: bool) -> BatchResultErrorEntry {
        let entry = BatchResultErrorEntry::builder().id(id).code(code).sender_fault(sender_fault).message("why");
        entry.build().unwrap()
    }

    #[test]
    fn each_entry_has_its_own_answer() {
        let told = Told {
            done: vec!["7".to_owned()],
            failed: vec![
                failed("8", "InternalError", false),
                failed("9", "NewerThanThisCode", true),
                failed("10", "RequestThrottled", true),
            ],
        };
        let answers = answers(&SEND, "queue `q`", vec![7, 8, 9, 10, 11], Ok(told));
        let judged: Vec<_> = answers
            .iter()
            .map(|(number, answer)| {
                (*number, answer.as_ref().map_err(|error| (error.may_have_happened(), error.may_be_repeated())).err())
            })
            .collect();
        assert_eq!(
            judged,
            [
                (7, None),
                (8, Some((true, true))),
                (9, Some((false, false))),
                (10, Some((false, true))),
                (11, Some((true, true)))
            ]
        );
    }

    #[test]
    fn answers_come_back_in_the_callers_order() {
        let error = PortError::new("x", "y");
        let answers = in_order(vec![(2, Ok(())), (0, Ok(())), (1, Err(error))]);
        assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    }
}
