use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cloakroom::{
    Delivery, PortError,
    memory::{Memory, MemoryClock, MemoryQueue},
    ports::{Clock as _, Queue, QueueMessage},
};

use super::error;

/// The flaw of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum QueueFlaw {
    EmptyIsAnError,
    FailsToDoNothing,
    DropsAttributes,
    LosesOne,
    IgnoresMax,
    DeletesNothing,
    FailsToDeleteAgain,
    AcceptsEveryReceipt,
    FailsAllForOne,
    DeletesOnReceive,
    HidesForever,
    ExtendsNothing,
    ExtendMakesVisible,
    CountsNothing,
    NumbersDeliveries,
    IgnoresDelays,
    PollsToTheEnd,
}

#[derive(Debug)]
pub(crate) struct FlawedQueue {
    queue: Arc<MemoryQueue>,
    clock: Arc<MemoryClock>,
    flaw: QueueFlaw,
}

impl FlawedQueue {
    pub(crate) fn new(memory: &Memory, flaw: QueueFlaw) -> Self {
        Self { queue: memory.queues.get("laws"), clock: memory.clock.clone(), flaw }
    }

    fn with_flaw(&self, results: Vec<Result<(), PortError>>) -> Vec<Result<(), PortError>> {
        let one_failed = results.iter().any(Result::is_err);
        match self.flaw {
            QueueFlaw::AcceptsEveryReceipt => results.iter().map(|_| Ok(())).collect(),
            QueueFlaw::FailsAllForOne if one_failed => results.iter().map(|_| Err(error())).collect(),
            _ => results,
        }
    }
}

#[async_trait]
impl Queue for FlawedQueue {
    fn name(&self) -> &str {
        self.queue.name()
    }

    async fn send(&self, mut messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        if messages.is_empty() && self.flaw == QueueFlaw::FailsToDoNothing {
            return vec![Err(error())];
        }
        if self.flaw == QueueFlaw::LosesOne && messages.len() > 10 {
            messages.pop();
            return self.queue.send(messages).await.into_iter().chain([Ok(())]).collect();
        }
        for message in &mut messages {
            match self.flaw {
                QueueFlaw::DropsAttributes => message.attributes.clear(),
                QueueFlaw::IgnoresDelays => message.delay_s = 0,
                _ => {}
            }
        }
        self.queue.send(messages).await
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        let mut wait = wait;
        if self.flaw == QueueFlaw::PollsToTheEnd {
            self.clock.sleep(wait).await;
            wait = Duration::ZERO;
        }
        let forever = Duration::from_secs(12 * 60 * 60);
        let visibility = if self.flaw == QueueFlaw::HidesForever { forever } else { visibility };
        let max = if self.flaw == QueueFlaw::IgnoresMax { 10 } else { max };
        let mut deliveries = self.queue.receive(max, wait, visibility).await?;
        match self.flaw {
            QueueFlaw::EmptyIsAnError if deliveries.is_empty() => return Err(error()),
            QueueFlaw::CountsNothing => deliveries.iter_mut().for_each(|delivery| delivery.receive_count = 1),
            QueueFlaw::NumbersDeliveries => {
                deliveries.iter_mut().for_each(|delivery| delivery.id = delivery.receipt.clone());
            }
            QueueFlaw::DeletesOnReceive => {
                self.queue.delete(deliveries.iter().map(|delivery| delivery.receipt.clone()).collect()).await;
            }
            _ => {}
        }
        Ok(deliveries)
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        if self.flaw == QueueFlaw::DeletesNothing {
            return receipts.iter().map(|_| Ok(())).collect();
        }
        let before = self.queue.len();
        let results = self.queue.delete(receipts).await;
        if self.flaw == QueueFlaw::FailsToDeleteAgain && self.queue.len() == before {
            return results.iter().map(|_| Err(error())).collect();
        }
        self.with_flaw(results)
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        match self.flaw {
            QueueFlaw::ExtendsNothing => {
                let long = Duration::from_secs(60);
                self.queue.extend(receipts, visibility.max(long)).await
            }
            QueueFlaw::ExtendMakesVisible => self.queue.extend(receipts, Duration::ZERO).await,
            _ => self.with_flaw(self.queue.extend(receipts, visibility).await),
        }
    }
}
