//! How many messages a second the engine does over memory, on one core: what the library itself costs.
//!
//! `cargo bench -p cloakroom-benches`

use std::{collections::BTreeMap, time::Instant};

use cloakroom::{Delivery, Endpoint, Envelope, Handled, Message, Outcome, Partition, Tx, memory::Memory};

#[derive(serde::Serialize, serde::Deserialize)]
struct Ping {
    player: u32,
}

impl Message for Ping {
    const TYPE: &'static str = "ping";
    fn partition(&self) -> Partition {
        Partition::new(format!("player#{}", self.player))
    }
}

async fn ping(pings: &mut BTreeMap<String, u64>, _: Ping, _: &mut Tx) -> Handled {
    *pings.entry("pings".to_owned()).or_default() += 1;
    Ok(())
}

const MESSAGES: u32 = 100_000;

#[expect(clippy::disallowed_methods, reason = "a benchmark measures real time")]
fn main() -> Result<(), cloakroom::Error> {
    let memory = Memory::new();
    let endpoint = Endpoint::builder("pings").on(ping).build(memory.ports())?;
    let deliveries: Vec<Delivery> = (0..MESSAGES).map(delivery).collect();
    let began = Instant::now();
    let processed = memory.run(async {
        let mut processed = 0_u32;
        for delivery in &deliveries {
            processed += u32::from(endpoint.process(delivery).await? == Outcome::Processed);
        }
        Ok::<_, cloakroom::Error>(processed)
    })?;
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!(processed, MESSAGES);
    println!("engine over memory: {:.0} messages/s on one core", f64::from(MESSAGES) / seconds);
    Ok(())
}

fn delivery(number: u32) -> Delivery {
    let ping = Ping { player: number % 1_000 };
    let mut envelope = Envelope::new(format!("m-{number}").into(), "bench", Ping::TYPE, ping.partition());
    envelope.data = Some(serde_json::json!(ping));
    Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() }
}
