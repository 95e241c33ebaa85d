//! Places the orders: what a website does, which is no handler. Each has the order's id for its idempotency key, so that an
//! order that is placed again, after the demonstration was killed, is not placed twice.

use cloakroom::{EndpointSettings, PortError, Ports, Producer, Submission};

use crate::{Service, orders::PlaceOrder};

const TRIES_MAX: u32 = 20;

/// Sends every order to the orders service.
///
/// An order that is submitted twice is placed once: its message has the order's id for its own.
///
/// # Errors
/// The queue cannot be opened, or still does not take some of the orders after 20 tries. The others are sent: submit
/// them all again.
pub async fn submit(ports: &Ports, orders: &[PlaceOrder]) -> Result<(), PortError> {
    let settings = EndpointSettings { calls_max: TRIES_MAX, ..EndpointSettings::default() };
    let website = Producer::with_settings(ports.clone(), "website", settings)
        .map_err(|error| PortError::new("placing orders", error).without_effect().permanent())?;
    let submissions = orders.iter().map(|order| Submission::new(format!("place-{}", order.order), order)).collect();
    website.submit_all(Service::Orders.name(), submissions).await.into_iter().collect()
}
