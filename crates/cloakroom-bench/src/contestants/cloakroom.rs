//! Cloakroom, in several configurations.

use async_trait::async_trait;
use bytes::Bytes;
use cloakroom::engine::parking::dead_letter_queue;
use cloakroom::{
    Delivery, Endpoint, EndpointSettings, Handled, HandlerError, Message as _, PortError, Tx, Worker, WorkerSettings,
    format::{Claim, Envelope},
    ports::{Placement, QueueMessage},
    protocol::CheckIn,
};
use cloakroom_aws::AwsSettings;

use crate::{
    contestants::{Contestant, ITEM_BYTES_MAX, Sent},
    error::RunError,
    order::{Ledger, Order, Reservation},
    site::{INCOMING, OUTGOING, Site},
    stop::Stop,
    workload::LoadSettings,
};

/// A Cloakroom endpoint with one worker or several. The incoming messages carry claims, like
/// messages from another endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Cloakroom {
    name: &'static str,
    payload_bytes_max: usize,
    endpoint: fn() -> EndpointSettings,
    services: fn(AwsSettings) -> AwsSettings,
}

impl Cloakroom {
    /// The default: separate records, and payloads on S3, checked in before the commit.
    pub const SEPARATE: Self = Self {
        name: "cloakroom",
        payload_bytes_max: usize::MAX,
        endpoint: EndpointSettings::default,
        services: |settings| settings,
    };

    /// The default with small payloads in a DynamoDB table.
    pub const SEPARATE_WITH_TABLE: Self =
        Self { name: "cloakroom-table", services: with_payload_table, ..Self::SEPARATE };

    /// Embedded records, and small payloads in a DynamoDB table: the configuration with the lowest
    /// cost.
    pub const EMBEDDED: Self = Self {
        name: "cloakroom-embedded",
        endpoint: || EndpointSettings { placement: Placement::Embedded, ..EndpointSettings::default() },
        ..Self::SEPARATE_WITH_TABLE
    };

    /// Like [`EMBEDDED`](Self::EMBEDDED), without folding: each message is committed alone.
    pub const EMBEDDED_UNFOLDED: Self = Self {
        name: "cloakroom-unfolded",
        endpoint: || EndpointSettings { placement: Placement::Embedded, fold_max: 1, ..EndpointSettings::default() },
        ..Self::SEPARATE_WITH_TABLE
    };

    /// Payloads are checked in after the commit. Until then the record carries their bodies.
    pub const CHECK_IN_AFTER_COMMIT: Self = Self {
        name: "check-in-after-commit",
        payload_bytes_max: ITEM_BYTES_MAX,
        endpoint: || EndpointSettings { check_in: CheckIn::AfterCommit, ..EndpointSettings::default() },
        ..Self::SEPARATE
    };
}

fn with_payload_table(settings: AwsSettings) -> AwsSettings {
    AwsSettings { payload_table: Some(format!("{}-payloads", settings.table)), ..settings }
}

async fn place(ledger: &mut Ledger, order: Order, tx: &mut Tx) -> Handled {
    let number = order.id.parse().map_err(|_| HandlerError::reject("the order's id is not a number"))?;
    ledger.apply(number);
    tx.send(Reservation::from(order));
    Ok(())
}

#[async_trait]
impl Contestant for Cloakroom {
    fn name(&self) -> &'static str {
        self.name
    }

    fn promise(&self) -> &'static str {
        "a message counts once, however late a duplicate is"
    }

    fn payload_bytes_max(&self) -> usize {
        self.payload_bytes_max
    }

    fn services(&self, settings: AwsSettings) -> AwsSettings {
        (self.services)(settings)
    }

    async fn message(&self, site: &Site, order: Order) -> Result<QueueMessage, PortError> {
        let ports = site.unmetered_ports();
        let payload = serde_json::to_vec(&order).expect("an order is JSON");
        let claim = Claim::from_random(ports.random.bits(), ports.payloads.place(payload.len()));
        ports.payloads.check_in(&claim, Bytes::from(payload)).await?;
        let partition = order.partition();
        let mut envelope = Envelope::new(order.id.into(), "shop", Order::TYPE, partition);
        envelope.dataref = Some(claim);
        Ok(QueueMessage { body: envelope.encode(), ..QueueMessage::default() })
    }

    async fn work(&self, site: &Site, load: &LoadSettings, stop: Stop) -> Result<(), RunError> {
        let endpoint = Endpoint::builder("bench").on(place).route::<Reservation>(OUTGOING);
        let endpoint = endpoint.dead_letters(dead_letter_queue(INCOMING)).settings((self.endpoint)());
        let endpoint = endpoint.observer(site.counters().clone()).build(site.ports())?;
        // A short long poll, so that the measurement ends soon after the last message.
        let in_flight_max = load.in_flight_max;
        let settings = WorkerSettings { in_flight_max, receive_wait_ms: 1_000, ..WorkerSettings::default() };
        Worker::new(endpoint, INCOMING).settings(settings).run(async move { stop.wait().await }).await?;
        Ok(())
    }

    fn sent(&self, delivery: &Delivery) -> Option<Sent> {
        let envelope = Envelope::decode(&delivery.body).ok()?;
        let order = envelope.causationid?.as_str().parse().ok()?;
        // Each message has one claim, and the receiver processes each claim once.
        Some(Sent { order, identity: envelope.dataref?.to_string() })
    }
}
