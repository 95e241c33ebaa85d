//! A faulty queue: it delivers at least once, in any order, sometimes late, and sometimes twice at
//! the same time. After a number of receives it moves a message to the dead-letter queue.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use cloakroom::{
    Delivery, PortError,
    memory::MemoryQueue,
    ports::{Queue, QueueMessage},
};

use crate::simulation::{
    faults::Fault,
    history::{Sent, StoreEvent, dead_letters},
    trace,
    world::SimulationWorld,
};

/// How long a message is delayed, or when it is delivered again. Longer than most messages take to
/// process.
const LATER_MS: std::ops::RangeInclusive<u64> = 1_000..=90_000;

#[derive(Debug)]
pub(crate) struct FaultyQueue {
    world: Arc<SimulationWorld>,
    queue: Arc<MemoryQueue>,
    redrive_after: u32,
}

impl FaultyQueue {
    pub(crate) fn new(world: &Arc<SimulationWorld>, name: &str, redrive_after: u32) -> Self {
        Self { world: Arc::clone(world), queue: world.memory.queues.get(name), redrive_after }
    }

    fn is_dead_letters(&self) -> bool {
        self.queue.name().ends_with("-dead")
    }

    async fn put(&self, queue: &MemoryQueue, message: QueueMessage, why: &str) {
        if let Some(sent) = Sent::read(queue.name(), &message) {
            self.world.log(|| {
                let claim = sent.claim.as_ref().map_or("-", |claim| trace::short(claim.as_str()));
                format!("    queue {}: {} ({claim}) {why}", queue.name(), sent.message)
            });
            if queue.name().ends_with("-dead") {
                self.world.history().tally.parked += 1;
            } else {
                self.world.record(StoreEvent::Sent(sent));
            }
        }
        queue.send(vec![message]).await;
    }

    /// Sends one message, unless a fault prevents it.
    async fn send_one(&self, message: QueueMessage) -> Result<(), PortError> {
        let failure = || PortError::new(format!("a message to queue `{}`", self.queue.name()), "internal error");
        if !self.world.injector.is_active() {
            self.put(&self.queue, message, "put").await;
            return Ok(());
        }
        let id = Sent::read("", &message).map(|sent| sent.message.to_string()).unwrap_or_default();
        let mut decision = self.world.injector.decide(&format!("{} {id} send", self.queue.name()));
        let faults: &[Fault] = match self.is_dead_letters() {
            true => &[Fault::EntryRefused, Fault::EntryUnanswered],
            false => &[Fault::EntryRefused, Fault::EntryUnanswered, Fault::Delayed],
        };
        match self.world.injector.draw(&mut decision, faults) {
            Some(Fault::EntryRefused) => Err(failure().without_effect()),
            Some(Fault::EntryUnanswered) => {
                self.put(&self.queue, message, "put, unanswered").await;
                Err(failure())
            }
            Some(_) => {
                let delay_s = message.delay_s.saturating_add(seconds(decision.duration(LATER_MS))).min(900);
                self.put(&self.queue, QueueMessage { delay_s, ..message }, "put, delayed").await;
                Ok(())
            }
            None => {
                self.put(&self.queue, message, "put").await;
                Ok(())
            }
        }
    }

    /// Draws a fault of a message that was received: it is delivered again, now or later.
    async fn inject_receive_fault(&self, delivery: &Delivery) {
        let id = Sent::read("", &message(delivery)).map(|sent| sent.message.to_string()).unwrap_or_default();
        let mut decision = self.world.injector.decide(&format!("{} {id} receive", self.queue.name()));
        match self.world.injector.draw(&mut decision, &[Fault::Duplicated, Fault::VisibilityEnded]) {
            Some(Fault::Duplicated) => {
                let later = if decision.number(0..=1) == 0 { 0 } else { seconds(decision.duration(LATER_MS)) };
                self.put(&self.queue, QueueMessage { delay_s: later, ..message(delivery) }, "duplicated").await;
            }
            Some(_) => {
                self.world
                    .log(|| format!("    queue {}: the visibility timeout of {id} ends early", self.queue.name()));
                // Half of them end at once, so that two workers begin together.
                let soon = Duration::from_millis(decision.number(0..=1) * decision.number(0..=2_000));
                self.queue.extend(vec![delivery.receipt.clone()], soon).await;
            }
            None => {}
        }
    }

    async fn redrive(&self, delivery: &Delivery) {
        self.queue.delete(vec![delivery.receipt.clone()]).await;
        let dead = self.world.memory.queues.get(&dead_letters(self.queue.name()));
        self.put(&dead, message(delivery), "moved after too many receives").await;
    }
}

/// Returns a message as it was sent, as far as its receiver can know.
pub(crate) fn message(delivery: &Delivery) -> QueueMessage {
    let Delivery { body, attributes, group, .. } = delivery.clone();
    QueueMessage { body, attributes, group, ..QueueMessage::default() }
}

fn seconds(duration: Duration) -> u32 {
    u32::try_from(duration.as_secs()).unwrap_or(u32::MAX)
}

#[async_trait]
impl Queue for FaultyQueue {
    fn name(&self) -> &str {
        self.queue.name()
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        let mut results = Vec::new();
        for message in messages {
            results.push(self.send_one(message).await);
        }
        results
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        let mut deliveries = self.queue.receive(max, wait, visibility).await?;
        if self.is_dead_letters() {
            return Ok(deliveries);
        }
        self.world.history().tally.redeliveries +=
            deliveries.iter().filter(|delivery| delivery.receive_count > 1).count() as u64;
        for delivery in deliveries.extract_if(.., |delivery| delivery.receive_count > self.redrive_after) {
            self.redrive(&delivery).await;
        }
        if self.world.injector.is_active() {
            for delivery in &deliveries {
                self.inject_receive_fault(delivery).await;
            }
        }
        Ok(deliveries)
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        self.queue.delete(receipts).await
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        self.queue.extend(receipts, visibility).await
    }
}

#[cfg(test)]
mod tests {
    use cloakroom::memory::Memory;

    use super::*;
    use crate::simulation::{faults::FaultInjector, trace::Trace};

    #[test]
    fn message_is_dead_lettered_after_its_last_receive() {
        let memory = Memory::with_queues(["q"]);
        let injector = FaultInjector::new(1, Arc::clone(&memory.clock), Some([].into()));
        let world = Arc::new(SimulationWorld::new(memory, injector, Trace::new(false)));
        let queue = FaultyQueue::new(&world, "q", 2);
        let receive = || queue.receive(10, Duration::ZERO, Duration::ZERO);
        world.run(async {
            queue.send(vec![QueueMessage { body: "text".to_owned(), ..QueueMessage::default() }]).await;
            for receive_count in 1..=2 {
                assert_eq!(receive().await.map(|it| it[0].receive_count).ok(), Some(receive_count));
            }
            assert_eq!(receive().await.map(|it| it.len()).ok(), Some(0));
        });
        assert!(world.memory.queues.get("q").is_empty());
        assert_eq!(world.memory.queues.get("q-dead").messages()[0].body, "text");
    }
}
