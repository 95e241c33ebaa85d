//! The estimated cost of a run on a real account, and its confirmation.

use std::io::{self, BufRead, IsTerminal as _};

use cloakroom::observe::{Consumed, Consumption, Service, Used, prices::Prices};
use cloakroom_bench::LoadSettings;

use crate::{bench::platform::Platform, site::Failure, terminal};

/// The word that confirms the run.
const WORD: &str = "yes";

/// Prints the estimated cost, and asks for confirmation unless `yes` is set.
pub(super) fn confirm(
    load: &LoadSettings,
    contestants: usize,
    platform: &Platform,
    prices: &Prices,
    yes: bool,
) -> Result<(), Failure> {
    let Some(messages) = load.messages() else {
        return Err(Failure::new(
            "the cost cannot be estimated: the number of messages of a closed loop in a `--duration` is unknown; give \
             `--rate` or `--messages`",
        ));
    };
    let dollars = dollars_at_most(load, contestants as u64 * messages, prices);
    terminal::report(format_args!(
        "{contestants} contestants with {messages} messages each on {}: about ${dollars:.2} at the list prices of {}, and \
         more if many requests fail and are retried. Tables, buckets and queues whose names begin with `bench-` are \
         created, and deleted at the end.",
        platform.name(),
        prices.region()
    ));
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::new("standard input is not a terminal, so the run cannot be confirmed; give `--yes`"));
    }
    terminal::report(format_args!("Type `{WORD}` to begin."));
    read_confirmation(io::stdin().lock())
}

fn read_confirmation(mut answers: impl BufRead) -> Result<(), Failure> {
    let mut answer = String::new();
    answers.read_line(&mut answer).map_err(|error| Failure::new(format!("reading the answer failed: {error}")))?;
    if answer.trim() == WORD {
        return Ok(());
    }
    Err(Failure::new(format!("the answer was not `{WORD}`: nothing was created, and there is no cost")))
}

/// Returns the cost of the most expensive way to process the messages. That is a commit of state
/// and record with the body in it, a second write of the record, payloads on S3 in both directions,
/// and no shared SQS batch. Offering and auditing the messages and deleting the resources are
/// included.
fn dollars_at_most(load: &LoadSettings, messages: u64, prices: &Prices) -> f64 {
    let payload_bytes = load.payload_bytes as u64;
    // 512 bytes for the rest of the record.
    let record_kb = (payload_bytes.min(400 * 1024) + 512).div_ceil(1024);
    let write_units = (2 + 2 * record_kb + 2 * record_kb) as f64;
    let read_units = 2.0 + record_kb.div_ceil(4) as f64;
    let sqs = 6 * payload_bytes.min(1024 * 1024).div_ceil(64 * 1024);
    let mut consumption = Consumption::default();
    let mut add = |service, operation, used| consumption.add(Consumed { service, operation, used });
    let requests = |requests| Used { requests, ..Used::default() };
    add(Service::DynamoDb, "all", Used { write_units, read_units, ..requests(4) });
    add(Service::S3, "PutObject", requests(2));
    add(Service::S3, "GetObject", requests(2));
    add(Service::Sqs, "all", requests(sqs));
    prices.of(&consumption).total() * messages as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_yes_confirms_a_run() {
        assert!(read_confirmation(&b"yes\n"[..]).is_ok() && read_confirmation(&b" yes \r\n"[..]).is_ok());
        for answer in ["", "\n", "y\n", "YES\n", "no\nyes\n"] {
            assert!(read_confirmation(answer.as_bytes()).is_err(), "{answer}");
        }
    }

    /// The estimate is more than the known cost of the most expensive strategy, and less than ten
    /// times that.
    #[test]
    fn cost_estimate_is_an_upper_bound() {
        let prices = Prices::list(None).unwrap();
        let million = |payload_bytes| {
            dollars_at_most(&LoadSettings { payload_bytes, ..LoadSettings::default() }, 1_000_000, &prices)
        };
        assert!((8.9..30.0).contains(&million(1_024)), "{}", million(1_024));
        assert!(million(100_000) > 10.0 * million(1_024));
        assert_eq!(dollars_at_most(&LoadSettings::default(), 0, &prices), 0.0);
    }
}
