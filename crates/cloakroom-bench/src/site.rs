//! What one contestant works on: a table, a bucket and queues of its own, a meter, and a watch on its queue.

use std::{
    borrow::Cow,
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use async_trait::async_trait;
use cloakroom::{
    Delivery, PortError, Ports,
    observe::Counters,
    ports::{BatchingQueue, Queue, QueueMessage, Queues},
};
use cloakroom_aws::{Aws, Provisioning, ProvisioningSettings};
use serde::Deserialize;

use crate::{RunError, book::Book};

/// The queue that orders come from.
pub const INCOMING: &str = "in";
/// The queue that reservations go to.
pub const OUTGOING: &str = "out";

/// As long as Cloakroom's endpoints have it by default.
const LINGER: Duration = Duration::from_millis(10);

/// Where one contestant works. What it does there is metered; what its auditors do is not.
#[derive(Debug)]
pub struct Site {
    /// Not metered.
    pub(crate) quiet: Aws,
    metered: Aws,
    counters: Arc<Counters>,
    book: Arc<Book>,
}

impl Site {
    pub(crate) fn new(aws: Aws, book: Arc<Book>) -> Self {
        let counters = Arc::new(Counters::default());
        Self { metered: aws.clone().observed_by(counters.clone()), quiet: aws, counters, book }
    }

    /// Makes the table, the bucket and the queues.
    pub(crate) async fn make(aws: &Aws) -> Result<(), RunError> {
        let queues = vec![INCOMING.to_owned(), OUTGOING.to_owned()];
        let settings = ProvisioningSettings { queues, ..ProvisioningSettings::default() };
        Provisioning::new(aws, settings)?.apply().await?;
        Ok(())
    }

    /// Ports that are metered, and whose incoming queue tells which messages have come to their end: those that were
    /// deleted from it.
    pub fn ports(&self) -> Ports {
        let ports = self.metered.ports();
        let queues = Arc::new(WatchedQueues { queues: Arc::clone(&ports.queues), book: Arc::clone(&self.book) });
        Ports { queues, ..ports }
    }

    /// A queue of [`ports`](Self::ports) for one worker, whose sends and deletes fill batches together.
    ///
    /// # Errors
    /// The queue is not there.
    pub async fn queue(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        let ports = self.ports();
        Ok(Arc::new(BatchingQueue::new(ports.queues.open(name).await?, ports.clock, LINGER)))
    }

    /// A client of DynamoDB that is metered.
    pub const fn dynamodb(&self) -> &aws_sdk_dynamodb::Client {
        self.metered.dynamodb()
    }

    /// The table, with the keys `pk` and `sk` and the time to live in `cloakroom_expires`.
    pub fn table(&self) -> &str {
        &self.quiet.settings().table
    }

    /// What the names of all queues begin with in SQS.
    pub fn queue_prefix(&self) -> &str {
        &self.quiet.settings().queues.prefix
    }

    /// Tells that the message of this number was acknowledged: for workers that are other processes, whose deletions nobody
    /// sees here. The first time counts.
    pub fn ended(&self, number: u64) {
        self.book.end(number);
    }

    /// What counts what happens. It knows already what was consumed.
    pub const fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Ports that are not metered: for what has to be ready before a message is offered.
    pub fn quiet_ports(&self) -> Ports {
        self.quiet.ports()
    }
}

/// Queues, of which the incoming one is watched.
#[derive(Debug)]
struct WatchedQueues {
    queues: Arc<dyn Queues>,
    book: Arc<Book>,
}

#[async_trait]
impl Queues for WatchedQueues {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        let queue = self.queues.open(name).await?;
        if name != INCOMING {
            return Ok(queue);
        }
        Ok(Arc::new(WatchedQueue { queue, book: Arc::clone(&self.book), numbers: Mutex::default() }))
    }
}

/// A queue that tells the book what was deleted from it.
#[derive(Debug)]
struct WatchedQueue {
    queue: Arc<dyn Queue>,
    book: Arc<Book>,
    /// The numbers of the messages that were received, by receipt.
    numbers: Mutex<HashMap<String, u64>>,
}

/// What all messages have, with a claim or without.
#[derive(Deserialize)]
struct Identified<'a> {
    #[serde(borrow)]
    id: Cow<'a, str>,
}

#[async_trait]
impl Queue for WatchedQueue {
    fn name(&self) -> &str {
        self.queue.name()
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        self.queue.send(messages).await
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        let deliveries = self.queue.receive(max, wait, visibility).await?;
        let number = |delivery: &Delivery| {
            let Identified { id } = serde_json::from_str(&delivery.body).ok()?;
            Some((delivery.receipt.clone(), id.parse().ok()?))
        };
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        numbers.extend(deliveries.iter().filter_map(number));
        drop(numbers);
        Ok(deliveries)
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        let answers = self.queue.delete(receipts.clone()).await;
        let mut numbers = self.numbers.lock().unwrap_or_else(PoisonError::into_inner);
        for (receipt, _) in receipts.iter().zip(&answers).filter(|(_, answer)| answer.is_ok()) {
            if let Some(number) = numbers.remove(receipt) {
                self.book.end(number);
            }
        }
        drop(numbers);
        answers
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        self.queue.extend(receipts, visibility).await
    }
}
