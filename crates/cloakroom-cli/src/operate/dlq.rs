//! `cloakroom dlq`: dead-letter queues.

mod park;
mod report;
mod treat;

use std::process::ExitCode;

use cloakroom::engine::parking::dead_letter_queue;
use cloakroom::recovery::{DeadLetters, Treatment};
use cloakroom_aws::Aws;

use super::Output;
use crate::{account::Account, site::Failure};

/// For how long payloads are certain to live, if nothing else is said.
const PAYLOAD_TTL: &str = "28d";

#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Lists what is in the dead-letter queue of a queue, and what is known of each message
    ///
    /// Messages are received and given back, which is seen in their receive counts; if it is interrupted, they come back after five minutes.
    /// What somebody else holds at the moment is not seen. Exit code 1 if there are any.
    List(Queue),
    /// Finishes the messages that were committed, and deletes those that are done
    ///
    /// The rest stays: what is not processed, and what is not Cloakroom's. Exit code 1 if anything does.
    Finish(Change),
    /// Does what `finish` does, and puts what is not processed back into its queue
    ///
    /// Exit code 1 if anything stays in the dead-letter queue.
    Redrive(Change),
    Park(park::Options),
}

/// A queue, and where it is.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Queue {
    /// The work queue, by the name that endpoints and routes use
    queue: String,
    /// The endpoint that takes messages from the queue [default: one that is called as the queue is]
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// How many messages are received at most
    #[arg(long, default_value_t = 10_000, value_name = "NUMBER")]
    max: usize,
    #[command(flatten)]
    account: Account,
    #[command(flatten)]
    output: Output,
}

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Change {
    #[command(flatten)]
    queue: Queue,
    /// Leave messages that are older than this if they have payloads or send some, which may have expired
    #[arg(long, value_name = "DURATION", default_value = PAYLOAD_TTL)]
    payload_ttl: humantime::Duration,
    /// Delete parked messages whose payload is missing, too: when it is known that they were processed
    #[arg(long)]
    drop_missing: bool,
    /// Print what would become of each message, and do nothing
    #[arg(long)]
    dry_run: bool,
}

impl Queue {
    async fn aws(&self) -> Result<Aws, Failure> {
        let name = self.queue.strip_suffix(".fifo").unwrap_or(&self.queue);
        if let Some(work) = name.strip_suffix("-dead") {
            let kind = self.queue.strip_prefix(name).unwrap_or_default();
            let text =
                format!("`{}` is a dead-letter queue: name the queue that it belongs to, `{work}{kind}`", self.queue);
            return Err(Failure::new(text));
        }
        self.account.aws().await
    }

    fn dead_letters(&self, aws: &Aws) -> DeadLetters {
        let letters = DeadLetters::new(dead_letter_queue(&self.queue), &self.queue, aws.ports());
        let letters = letters.messages_max(self.max);
        match &self.endpoint {
            Some(endpoint) => letters.endpoint(endpoint),
            None => letters,
        }
    }
}

pub(crate) async fn run(verb: Verb) -> Result<ExitCode, Failure> {
    match verb {
        Verb::List(queue) => {
            let payload_ttl = PAYLOAD_TTL.parse().map_err(Failure::new)?;
            let change = Change { queue, payload_ttl, drop_missing: false, dry_run: false };
            treat::run(change, Treatment::Look).await
        }
        Verb::Finish(change) => treat::run(change, Treatment::Finish).await,
        Verb::Redrive(change) => treat::run(change, Treatment::Redrive).await,
        Verb::Park(options) => park::run(options).await,
    }
}
