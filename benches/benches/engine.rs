//! How many messages a second the engine does over memory, on one core, and how often it allocates: what the library
//! itself costs. The backend in memory and the JSON of the handler's messages are part of both figures.
//!
//! `cargo bench -p cloakroom-benches --bench engine`

use std::time::Instant;

use bytes::Bytes;
use cloakroom::{
    Claim, Delivery, Endpoint, Envelope, Error, Handled, Message, Outcome, Partition, PayloadStore as _, Tx,
    memory::Memory,
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

fn main() -> Result<(), Error> {
    measure("payload inline, nothing sent", false, inline)?;
    measure("payload under a claim, nothing sent", false, claimed)?;
    measure("payload under a claim, one message sent", true, claimed)
}

/// How a delivery is made of an envelope and its data.
type Deliver = fn(&Memory, u32, Envelope, String) -> Delivery;

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn measure(what: &str, is_answered: bool, deliver: Deliver) -> Result<(), Error> {
    let memory = Memory::new();
    let endpoint = Endpoint::builder("pings").on(ping).route::<Pong>("pongs").build(memory.ports())?;
    let deliveries = (0..MESSAGES).map(|number| {
        let ping = Ping { player: number % 1_000, is_answered };
        let envelope = Envelope::new(format!("m-{number}").into(), "bench", Ping::TYPE, ping.partition());
        let data = serde_json::json!(ping).to_string();
        deliver(&memory, number, envelope, data)
    });
    let deliveries: Vec<Delivery> = deliveries.collect();
    let mut processed = 0_u32;
    let mut seconds = 0.0;
    let allocated = allocation_counter::measure(|| {
        let began = Instant::now();
        memory.run(async {
            for delivery in &deliveries {
                processed += u32::from(endpoint.process(delivery).await.ok() == Some(Outcome::Processed));
            }
        });
        seconds = began.elapsed().as_secs_f64();
    });
    assert_eq!(processed, MESSAGES, "every message is processed");
    let (rate, messages) = (f64::from(MESSAGES) / seconds, u64::from(MESSAGES));
    println!(
        "engine over memory, {what}: {rate:.0} messages/s on one core, {} allocations and {} bytes a message",
        allocated.count_total / messages,
        allocated.bytes_total / messages
    );
    Ok(())
}

fn inline(_: &Memory, _: u32, mut envelope: Envelope, data: String) -> Delivery {
    envelope.data = serde_json::from_str(&data).ok();
    delivery(&envelope)
}

fn claimed(memory: &Memory, number: u32, mut envelope: Envelope, data: String) -> Delivery {
    let claim = Claim::from_random(number.into(), memory.payloads.name());
    memory.run(memory.payloads.check_in(&claim, Bytes::from(data))).expect("memory takes it");
    envelope.dataref = Some(claim);
    delivery(&envelope)
}

fn delivery(envelope: &Envelope) -> Delivery {
    Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() }
}
