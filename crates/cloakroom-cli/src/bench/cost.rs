//! What a run on a real account costs at most, and whether that is wanted.

use std::io::{self, BufRead, IsTerminal as _};

use cloakroom::observe::{Consumed, Consumption, Service, Used, prices::Prices};
use cloakroom_bench::LoadSettings;

use super::place::Place;
use crate::{site::Failure, terminal};

/// The word that starts it.
const WORD: &str = "yes";

/// Says what it costs, and asks; not if the question was answered beforehand.
pub(super) fn agree(
    load: &LoadSettings,
    contestants: usize,
    place: &Place,
    prices: &Prices,
    yes: bool,
) -> Result<(), Failure> {
    let Some(messages) = load.messages() else {
        return Err(Failure::new(
            "how many messages a closed loop offers in a `--duration` nobody knows, nor what they cost; give `--rate` or \
             `--messages`",
        ));
    };
    let dollars = dollars_at_most(load, contestants as u64 * messages, prices);
    terminal::tell(format_args!(
        "{contestants} contestants with {messages} messages each on {}: about ${dollars:.2} at the list prices of {}, and \
         more if many fail and are repeated. Tables, buckets and queues that begin with `bench-` are made, and deleted at \
         the end.",
        place.name(),
        prices.region()
    ));
    if yes {
        return Ok(());
    }
    if !io::stdin().is_terminal() {
        return Err(Failure::new("nobody can be asked whether that is wanted; give `--yes` if it is"));
    }
    terminal::tell(format_args!("Type `{WORD}` to begin."));
    ask(io::stdin().lock())
}

fn ask(mut answers: impl BufRead) -> Result<(), Failure> {
    let mut answer = String::new();
    answers.read_line(&mut answer).map_err(|error| Failure::new(format!("reading the answer failed: {error}")))?;
    if answer.trim() == WORD {
        return Ok(());
    }
    Err(Failure::new(format!("the answer was not `{WORD}`: nothing was made, and nothing costs anything")))
}

/// What the dearest way to process a message asks for, with offering it, auditing it and deleting what was made: a commit of state and
/// record with the body in it and another write of that, payloads on S3 in both directions, and no batch of SQS that is shared.
fn dollars_at_most(load: &LoadSettings, messages: u64, prices: &Prices) -> f64 {
    let payload_bytes = load.payload_bytes as u64;
    // With what is around the payload.
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
    fn only_the_word_begins() {
        assert!(ask(&b"yes\n"[..]).is_ok() && ask(&b" yes \r\n"[..]).is_ok());
        for answer in ["", "\n", "y\n", "YES\n", "no\nyes\n"] {
            assert!(ask(answer.as_bytes()).is_err(), "{answer}");
        }
    }

    /// More than what the dearest strategy is known to cost, and not ten times as much.
    #[test]
    fn what_is_told_is_what_it_costs_at_most() {
        let prices = Prices::list(None).unwrap();
        let million = |payload_bytes| {
            dollars_at_most(&LoadSettings { payload_bytes, ..LoadSettings::default() }, 1_000_000, &prices)
        };
        assert!((8.9..30.0).contains(&million(1_024)), "{}", million(1_024));
        assert!(million(100_000) > 10.0 * million(1_024));
        assert_eq!(dollars_at_most(&LoadSettings::default(), 0, &prices), 0.0);
    }
}
