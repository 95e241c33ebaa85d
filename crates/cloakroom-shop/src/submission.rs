//! Places orders from outside of handlers, as a website does. The idempotency key is the order's id: an order that is
//! submitted again, for example after the demonstration was killed, is placed once.

use cloakroom::{EndpointSettings, PortError, Ports, Producer, Submission};

use crate::{Service, orders::PlaceOrder};

const TRIES_MAX: u32 = 20;

/// Submits every order to the orders service. An order that is submitted twice is placed once.
///
/// # Errors
/// The queue cannot be opened, or some orders could not be sent in 20 tries. The other orders are sent. Submit all of
/// them again.
pub async fn submit(ports: &Ports, orders: &[PlaceOrder]) -> Result<(), PortError> {
    let settings = EndpointSettings { calls_max: TRIES_MAX, ..EndpointSettings::default() };
    let website = Producer::with_settings(ports.clone(), "website", settings)
        .map_err(|error| PortError::new("placing orders", error).without_effect().permanent())?;
    let submissions = orders.iter().map(|order| Submission::new(format!("place-{}", order.order), order)).collect();
    website.submit_all(Service::Orders.name(), submissions).await.into_iter().collect()
}
