//! A backend in memory, on virtual time. It is for tests, and it is the reference for the contract
//! of the ports.

mod clock;
mod payloads;
mod queue;
mod records;
mod store;

use std::sync::Arc;

use crate::{
    engine::parking::dead_letter_queue,
    ports::{bundle::Ports, limits::Limits},
};

pub use clock::{MemoryClock, SeededRandom};
pub use payloads::MemoryPayloads;
pub use queue::{MemoryQueue, MemoryQueues};
pub use store::MemoryStore;

/// All ports in memory, with the queues that a test creates. As in an AWS account, a queue that was
/// not created cannot be opened, so a misspelt route fails a test.
///
/// ```
/// use cloakroom::{memory::Memory, ports::Queues as _};
///
/// let memory = Memory::with_queues(["orders", "stock"]);
/// assert!(memory.run(memory.queues.open("stock")).is_ok());
/// assert!(memory.run(memory.queues.open("stock-dead")).is_ok());
/// let error = memory.run(memory.queues.open("stok")).unwrap_err();
/// assert!(error.to_string().starts_with("opening queue `stok` failed: it does not exist here"), "{error}");
/// ```
///
/// Its time is virtual. It stands still while any future can make progress, and then advances to
/// the next timer. So a test that waits for a minute takes no time, and two runs are identical.
///
/// ```
/// use std::time::Duration;
/// use cloakroom::{memory::Memory, ports::Clock as _};
///
/// let memory = Memory::new();
/// let began = memory.clock.now();
/// memory.run(memory.clock.sleep(Duration::from_secs(3600)));
/// assert_eq!(memory.clock.now().since(began), Duration::from_secs(3600));
/// ```
#[derive(Clone, Debug)]
pub struct Memory {
    /// State, records and items.
    pub store: Arc<MemoryStore>,
    /// Payloads and dedupe entries.
    pub payloads: Arc<MemoryPayloads>,
    /// Queues.
    pub queues: Arc<MemoryQueues>,
    /// Virtual time.
    pub clock: Arc<MemoryClock>,
    /// Random numbers, identical in every run.
    pub random: Arc<SeededRandom>,
}

impl Memory {
    /// Creates an empty backend without queues. [`MemoryQueues::create`] adds one.
    #[expect(clippy::new_without_default, reason = "each call creates a separate backend; `new` shows that")]
    pub fn new() -> Self {
        Self::seeded(1)
    }

    /// Creates an empty backend with these queues, each with its [dead-letter
    /// queue](dead_letter_queue). Name every queue that an endpoint receives from, sends to, or
    /// replies to.
    pub fn with_queues(queues: impl IntoIterator<Item = impl Into<String>>) -> Self {
        let memory = Self::new();
        memory.create_queues(queues);
        memory
    }

    /// Creates these queues, each with its dead-letter queue.
    pub fn create_queues(&self, queues: impl IntoIterator<Item = impl Into<String>>) {
        for queue in queues.into_iter().map(Into::into) {
            self.queues.create(dead_letter_queue(&queue));
            self.queues.create(queue);
        }
    }

    /// Creates an empty backend without queues. `seed` determines its random numbers.
    pub fn seeded(seed: u64) -> Self {
        let clock = Arc::new(MemoryClock::default());
        Self {
            store: Arc::new(MemoryStore::new(Limits::default())),
            payloads: Arc::default(),
            queues: Arc::new(MemoryQueues::new(Arc::clone(&clock))),
            clock,
            random: Arc::new(SeededRandom::new(seed)),
        }
    }

    /// Returns the ports of this backend.
    pub fn ports(&self) -> Ports {
        Ports {
            store: self.store.clone(),
            payloads: self.payloads.clone(),
            queues: self.queues.clone(),
            clock: self.clock.clone(),
            random: self.random.clone(),
            limits: Limits::default(),
        }
    }

    /// Runs a future to completion on virtual time, and returns its result.
    ///
    /// # Panics
    /// The future waits for something other than the virtual clock.
    pub fn run<T>(&self, future: impl Future<Output = T>) -> T {
        self.clock.run(future)
    }
}
