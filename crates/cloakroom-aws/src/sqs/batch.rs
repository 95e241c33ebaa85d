//! Batches of SQS: entries are split into requests, and their results are combined.

use aws_sdk_sqs::types::BatchResultErrorEntry;
use cloakroom::PortError;

use crate::client::failure::Operation;

/// The most entries in one request.
pub(crate) const ENTRIES_MAX: usize = 10;

/// An entry with its index in the caller's list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Numbered<T> {
    pub(crate) number: usize,
    pub(crate) bytes: usize,
    pub(crate) entry: T,
}

/// Splits entries into batches of at most ten entries and `bytes_max` bytes, in order. An entry
/// that is larger is a batch of its own.
pub(crate) fn split<T>(entries: Vec<Numbered<T>>, bytes_max: usize) -> Vec<Vec<Numbered<T>>> {
    // The common case: everything fits into one batch.
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

/// The result of one entry, with its index.
pub(crate) type Answer = (usize, Result<(), PortError>);

/// The response to a batch. The id of an entry is its index.
#[derive(Debug)]
pub(crate) struct BatchResult {
    pub(crate) done: Vec<String>,
    pub(crate) failed: Vec<BatchResultErrorEntry>,
}

/// Returns the result of each entry of a batch: its own, or the error of the whole call.
pub(crate) fn answers(
    operation: &Operation,
    target: &str,
    numbers: Vec<usize>,
    result: Result<BatchResult, PortError>,
) -> Vec<Answer> {
    let result = match result {
        Ok(result) => result,
        Err(error) => return numbers.into_iter().map(|number| (number, Err(error.clone()))).collect(),
    };
    let answer = |number: usize| {
        let id = number.to_string();
        if let Some(failed) = result.failed.iter().find(|failed| failed.id == id) {
            let message = failed.message.as_deref().unwrap_or("without a message");
            return Err(operation.entry_failed(target, &failed.code, message, failed.sender_fault));
        }
        // An entry that is in neither list may have taken effect.
        let silent = || PortError::new(operation.on(target), "the response does not mention the entry").public();
        result.done.contains(&id).then_some(()).ok_or_else(silent)
    };
    numbers.into_iter().map(|number| (number, answer(number))).collect()
}

/// Returns the results in the order of the caller's list.
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
    fn batch_has_at_most_ten_entries() {
        assert!(split(entries(&[]), 100).is_empty());
        assert_eq!(sizes(&split(entries(&[1; 10]), 100)), [vec![1; 10]]);
        assert_eq!(sizes(&split(entries(&[1; 21]), 100)), [vec![1; 10], vec![1; 10], vec![1]]);
    }

    #[test]
    fn batch_has_at_most_the_maximum_bytes() {
        assert_eq!(
            sizes(&split(entries(&[60, 40, 1, 99, 1, 101, 5]), 100)),
            [vec![60, 40], vec![1, 99], vec![1], vec![101], vec![5]]
        );
    }

    #[test]
    fn split_batches_keep_order_and_numbers_of_entries() {
        let batches = split(entries(&[7; 25]), 20);
        let numbers: Vec<usize> = batches.concat().iter().map(|entry| entry.number).collect();
        assert_eq!(numbers, (0..25).collect::<Vec<_>>());
    }

    fn failed(id: &str, code: &str, sender_fault: bool) -> BatchResultErrorEntry {
        let entry = BatchResultErrorEntry::builder().id(id).code(code).sender_fault(sender_fault).message("why");
        entry.build().unwrap()
    }

    #[test]
    fn batch_entry_has_its_own_result() {
        let result = BatchResult {
            done: vec!["7".to_owned()],
            failed: vec![
                failed("8", "InternalError", false),
                failed("9", "NewerThanThisCode", true),
                failed("10", "RequestThrottled", true),
            ],
        };
        let answers = answers(&SEND, "queue `q`", vec![7, 8, 9, 10, 11], Ok(result));
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
    fn batch_results_have_the_order_of_the_callers_entries() {
        let error = PortError::new("x", "y");
        let answers = in_order(vec![(2, Ok(())), (0, Ok(())), (1, Err(error))]);
        assert_eq!(answers.iter().map(Result::is_ok).collect::<Vec<_>>(), [true, false, true]);
    }
}
