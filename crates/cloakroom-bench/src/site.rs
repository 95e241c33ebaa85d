//! The resources of one contestant: its table, bucket and queues, with a meter and a watched
//! incoming queue.

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

use crate::{error::RunError, recorder::Recorder};

/// The name of the queue with orders.
pub const INCOMING: &str = "in";
/// The name of the queue with reservations.
pub const OUTGOING: &str = "out";

/// The linger time of a batch: the default of Cloakroom's endpoints.
const LINGER: Duration = Duration::from_millis(10);

/// The resources of one contestant. Its own requests are metered, and those of the audit are not.
#[derive(Debug)]
pub struct Site {
    /// Clients without a meter.
    pub(crate) unmetered: Aws,
    metered: Aws,
    counters: Arc<Counters>,
    recorder: Arc<Recorder>,
}

impl Site {
    pub(crate) fn new(aws: Aws, recorder: Arc<Recorder>) -> Self {
        let counters = Arc::new(Counters::default());
        Self { metered: aws.clone().observed_by(counters.clone()), unmetered: aws, counters, recorder }
    }

    /// Creates the table, the bucket and the queues.
    pub(crate) async fn create(aws: &Aws) -> Result<(), RunError> {
        let queues = vec![INCOMING.to_owned(), OUTGOING.to_owned()];
        let settings = ProvisioningSettings { queues, ..ProvisioningSettings::default() };
        Provisioning::new(aws, settings)?.apply().await?;
        Ok(())
    }

    /// Returns metered ports. Their incoming queue reports a message as ended when it is deleted.
    pub fn ports(&self) -> Ports {
        let ports = self.metered.ports();
        let queues =
            Arc::new(WatchedQueues { queues: Arc::clone(&ports.queues), recorder: Arc::clone(&self.recorder) });
        Ports { queues, ..ports }
    }

    /// Returns a queue of [`ports`](Self::ports) for one worker. Its concurrent sends and deletes
    /// share batches.
    ///
    /// # Errors
    /// The queue does not exist.
    pub async fn queue(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        let ports = self.ports();
        Ok(Arc::new(BatchingQueue::new(ports.queues.open(name).await?, ports.clock, LINGER)))
    }

    /// Returns a metered DynamoDB client.
    pub const fn dynamodb(&self) -> &aws_sdk_dynamodb::Client {
        self.metered.dynamodb()
    }

    /// Returns the name of the table. Its keys are `pk` and `sk`, and its time to live is in
    /// `cloakroom_expires`.
    pub fn table(&self) -> &str {
        &self.unmetered.settings().table
    }

    /// Returns the prefix of all queue names in SQS.
    pub fn queue_prefix(&self) -> &str {
        &self.unmetered.settings().queues.prefix
    }

    /// Reports that the message with this number was acknowledged. It is for workers that are other
    /// processes, because their deletions do not pass through this queue. Only the first report
    /// counts.
    pub fn ended(&self, number: u64) {
        self.recorder.end(number);
    }

    /// Returns the counters of events. The clients already record their consumption in them.
    pub const fn counters(&self) -> &Arc<Counters> {
        &self.counters
    }

    /// Returns ports without a meter, for the preparation of a message before it is offered.
    pub fn unmetered_ports(&self) -> Ports {
        self.unmetered.ports()
    }
}

/// Queues whose incoming queue is watched.
#[derive(Debug)]
struct WatchedQueues {
    queues: Arc<dyn Queues>,
    recorder: Arc<Recorder>,
}

#[async_trait]
impl Queues for WatchedQueues {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        let queue = self.queues.open(name).await?;
        if name != INCOMING {
            return Ok(queue);
        }
        Ok(Arc::new(WatchedQueue { queue, recorder: Arc::clone(&self.recorder), numbers: Mutex::default() }))
    }
}

/// A queue that reports deleted messages to the recorder.
#[derive(Debug)]
struct WatchedQueue {
    queue: Arc<dyn Queue>,
    recorder: Arc<Recorder>,
    /// The numbers of the messages that were received, by receipt.
    numbers: Mutex<HashMap<String, u64>>,
}

/// The field that all messages have, with a claim or without.
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
                self.recorder.end(number);
            }
        }
        drop(numbers);
        answers
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        self.queue.extend(receipts, visibility).await
    }
}
