//! The cost of the library itself: how many messages per second the engine processes on a backend
//! in memory, on one core, and how often it allocates. Both figures include the backend in memory
//! and the JSON of the handler's messages.
//!
//! Time is CPU time, if the system reports it. So other work of the machine does not count.
//!
//! `cargo bench -p cloakroom-benches --bench engine`

#[path = "light/cpu.rs"]
mod cpu;

use std::time::{Duration, Instant};

use bytes::Bytes;
use cloakroom::{
    Delivery, Endpoint, Error, Handled, Message, Outcome, Partition, Tx,
    format::{Claim, Envelope},
    memory::Memory,
    ports::{Clock as _, PayloadStore as _},
    worker::Batch,
};

#[derive(serde::Serialize, serde::Deserialize)]
struct Ping {
    player: u32,
    is_answered: bool,
}

impl Message for Ping {
    const TYPE: &'static str = "ping";
    fn partition(&self) -> Partition {
        Partition::new(format!("player#{}", self.player))
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Pong {
    player: u32,
}

impl Message for Pong {
    const TYPE: &'static str = "pong";
    fn partition(&self) -> Partition {
        Partition::new(format!("score#{}", self.player))
    }
}

#[derive(Default, serde::Serialize, serde::Deserialize)]
struct Player {
    pings: u64,
}

async fn ping(player: &mut Player, ping: Ping, tx: &mut Tx) -> Handled {
    player.pings += 1;
    if ping.is_answered {
        tx.send(Pong { player: ping.player });
    }
    Ok(())
}

const MESSAGES: u32 = 100_000;
const PLAYERS: u32 = 1_000;

fn main() -> Result<(), Error> {
    measure("payload inline, nothing sent", false, inline, one_by_one)?;
    measure("payload under a claim, nothing sent", false, claimed, one_by_one)?;
    measure("payload under a claim, one message sent", true, claimed, one_by_one)?;
    measure("payload under a claim, nothing sent, ten to a commit", false, claimed, by_tens)?;
    measure("payload under a claim, one message sent, ten to a commit", true, claimed, by_tens)
}

/// Makes a delivery from an envelope and its data.
type Deliver = fn(&Memory, u32, Envelope, String) -> Delivery;

/// Processes deliveries. Returns how many were processed.
type Process = fn(&Memory, &Endpoint, &[Delivery]) -> usize;

fn measure(name: &str, is_answered: bool, deliver: Deliver, process: Process) -> Result<(), Error> {
    // Time and allocations are measured in separate runs, because counting allocations takes time.
    let seconds = run(is_answered, deliver, |memory, endpoint, deliveries| {
        let began = now();
        let processed = process(memory, endpoint, deliveries);
        (processed, (now() - began).as_secs_f64())
    })?;
    let allocated = run(is_answered, deliver, |memory, endpoint, deliveries| {
        let mut processed = 0;
        let allocated = allocation_counter::measure(|| processed = process(memory, endpoint, deliveries));
        (processed, allocated)
    })?;
    let (rate, messages) = (f64::from(MESSAGES) / seconds, u64::from(MESSAGES));
    println!(
        "engine over memory, {name}: {rate:.0} messages/s on one core, {} allocations and {} bytes a message",
        allocated.count_total / messages,
        allocated.bytes_total / messages
    );
    Ok(())
}

/// Processes all messages on a new backend. `process` returns how many were processed, and its
/// measurement.
fn run<T>(
    is_answered: bool,
    deliver: Deliver,
    process: impl FnOnce(&Memory, &Endpoint, &[Delivery]) -> (usize, T),
) -> Result<T, Error> {
    let memory = Memory::with_queues(["pings", "pongs"]);
    let endpoint = Endpoint::builder("pings").on(ping).route::<Pong>("pongs").build(memory.ports())?;
    let deliveries = (0..MESSAGES).map(|number| {
        let ping = Ping { player: number % PLAYERS, is_answered };
        let envelope = Envelope::new(format!("m-{number}").into(), "bench", Ping::TYPE, ping.partition());
        let data = serde_json::json!(ping).to_string();
        deliver(&memory, number, envelope, data)
    });
    let deliveries: Vec<Delivery> = deliveries.collect();
    let (processed, measurement) = process(&memory, &endpoint, &deliveries);
    assert_eq!(processed, deliveries.len(), "not every message was processed");
    Ok(measurement)
}

/// The CPU time of this process, or the time of the clock if the system does not report it.
#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn now() -> Duration {
    static BEGAN: std::sync::OnceLock<Instant> = std::sync::OnceLock::new();
    cpu::used().unwrap_or_else(|_| BEGAN.get_or_init(Instant::now).elapsed())
}

fn one_by_one(memory: &Memory, endpoint: &Endpoint, deliveries: &[Delivery]) -> usize {
    memory.run(async {
        let mut processed = 0;
        for delivery in deliveries {
            processed += usize::from(endpoint.process(delivery).await.ok() == Some(Outcome::Processed));
        }
        processed
    })
}

/// Ten messages of each player at a time.
fn by_tens(memory: &Memory, endpoint: &Endpoint, deliveries: &[Delivery]) -> usize {
    let until = memory.clock.now().after(Duration::from_secs(3_600));
    let batch = |deliveries| Batch { queue: "pings", deliveries, in_flight_max: 1, until };
    let done =
        deliveries.chunks(10 * PLAYERS as usize).flat_map(|some| memory.run(endpoint.process_batch(batch(some))));
    done.filter(|done| matches!(done, Ok(Outcome::Processed))).count()
}

fn inline(_: &Memory, _: u32, mut envelope: Envelope, data: String) -> Delivery {
    envelope.data = serde_json::from_str(&data).ok();
    delivery(&envelope)
}

fn claimed(memory: &Memory, number: u32, mut envelope: Envelope, data: String) -> Delivery {
    let claim = Claim::from_random(number.into(), memory.payloads.name());
    memory.run(memory.payloads.check_in(&claim, Bytes::from(data))).expect("memory does not fail");
    envelope.dataref = Some(claim);
    delivery(&envelope)
}

fn delivery(envelope: &Envelope) -> Delivery {
    Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() }
}
