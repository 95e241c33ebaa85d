//! `cloakroom dlq`: dead-letter queues.

mod park;
mod report;
mod treat;

use std::process::ExitCode;

use cloakroom::engine::parking::dead_letter_queue;
use cloakroom::recovery::{DeadLetters, Treatment};
use cloakroom_aws::Aws;

use crate::{account::Account, operate::Output, site::Failure};

/// The default of `--payload-ttl`: the time for which payloads certainly exist.
const PAYLOAD_TTL: &str = "28d";

#[derive(Clone, Debug, clap::Subcommand)]
pub(crate) enum Verb {
    /// Lists the messages in the dead-letter queue of a queue, with the status of each message
    ///
    /// The command receives the messages and makes them visible again. Their receive counts grow.
    /// After an interrupt they become visible within five minutes. Messages that another receiver
    /// has in flight are not listed. Exit code 1 if there are any messages.
    List(Queue),
    /// Finishes committed messages, and deletes processed ones
    ///
    /// Unprocessed messages, and messages that are not Cloakroom's, stay. Exit code 1 if any
    /// message stays.
    Finish(Change),
    /// Does the same as `finish`, and puts unprocessed messages back into their queue
    ///
    /// Exit code 1 if any message stays in the dead-letter queue.
    Redrive(Change),
    Park(park::Options),
}

/// A queue, its endpoint and its account.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Queue {
    /// The work queue, by the name that endpoints and routes use
    queue: String,
    /// The endpoint that receives from the queue [default: the endpoint with the name of the queue]
    #[arg(long, value_name = "NAME")]
    endpoint: Option<String>,
    /// The maximum number of messages that are received
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
    /// Skip messages older than this that have or send payloads, since these may have expired
    #[arg(long, value_name = "DURATION", default_value = PAYLOAD_TTL)]
    payload_ttl: humantime::Duration,
    /// Also delete parked messages whose payload is missing; use it only if you know that they were
    /// processed
    #[arg(long)]
    drop_missing: bool,
    /// Print the planned action for each message, and change nothing
    #[arg(long)]
    dry_run: bool,
}

impl Queue {
    async fn aws(&self) -> Result<Aws, Failure> {
        let name = self.queue.strip_suffix(".fifo").unwrap_or(&self.queue);
        if let Some(work) = name.strip_suffix("-dead") {
            let kind = self.queue.strip_prefix(name).unwrap_or_default();
            let text =
                format!("`{}` is a dead-letter queue; name the queue that it belongs to, `{work}{kind}`", self.queue);
            return Err(Failure::new(text));
        }
        self.account.aws().await
    }

    fn dead_letters(&self, aws: &Aws) -> DeadLetters {
        let dead_letters = DeadLetters::new(dead_letter_queue(&self.queue), &self.queue, aws.ports());
        let dead_letters = dead_letters.messages_max(self.max);
        match &self.endpoint {
            Some(endpoint) => dead_letters.endpoint(endpoint),
            None => dead_letters,
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
