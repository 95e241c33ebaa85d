//! The service that processes the load, and its messages.

use std::sync::Arc;

use bytes::Bytes;
use cloakroom::{Endpoint, EndpointSettings, Error, Handled, Message, Partition, Ports, Tx, observe::Observer};
use serde::{Deserialize, Serialize};

use crate::fleet::offered::HOTTEST;

#[derive(Debug, Default, Serialize, Deserialize)]
struct Balance {
    total: u64,
    messages: u64,
}

#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Credit {
    amount: u64,
    /// Fills the payload to its size.
    filler: String,
}

impl Message for Credit {
    const TYPE: &'static str = "fleet.deposit";

    /// Unused: the envelope names the partition, because all payloads are the same.
    fn partition(&self) -> Partition {
        HOTTEST.into()
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Credited {
    amount: u64,
    filler: String,
}

impl Message for Credited {
    const TYPE: &'static str = "fleet.deposited";

    fn partition(&self) -> Partition {
        "book#1".into()
    }
}

async fn credit(balance: &mut Balance, Credit { amount, filler }: Credit, tx: &mut Tx) -> Handled {
    balance.total += amount;
    balance.messages += 1;
    tx.send(Credited { amount, filler });
    Ok(())
}

/// The service: for each message it sends one of the same size.
pub(crate) fn endpoint(
    ports: Ports,
    settings: EndpointSettings,
    observer: Arc<dyn Observer>,
) -> Result<Endpoint, Error> {
    Endpoint::builder("fleet").on(credit).route::<Credited>("book").settings(settings).observer(observer).build(ports)
}

/// The size of the smallest payload.
pub(crate) const PAYLOAD_BYTES_MIN: usize = r#"{"amount":1,"filler":""}"#.len();

/// The payload of every message.
pub(crate) fn payload(bytes: usize) -> Bytes {
    let filler = "x".repeat(bytes.saturating_sub(PAYLOAD_BYTES_MIN));
    Bytes::from(format!(r#"{{"amount":1,"filler":"{filler}"}}"#))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payload_has_the_requested_size() {
        assert_eq!([PAYLOAD_BYTES_MIN, 1_000].map(|bytes| payload(bytes).len()), [PAYLOAD_BYTES_MIN, 1_000]);
    }
}
