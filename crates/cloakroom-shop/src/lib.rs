//! A shop on Cloakroom: an example to copy, and the workload of the demonstration, the soak and the
//! simulation.
//!
//! Three services process an order. Each is an [endpoint](cloakroom::Endpoint) with a queue of the same name:
//!
//! | service | entity | takes | sends |
//! |---|---|---|---|
//! | [`orders`] | an order | `PlaceOrder`, and the replies of the other services | `ReserveStock`, `ShipStock`, `ReleaseStock`, `ChargePayment` |
//! | [`stock`] | a SKU | `ReserveStock`, `ShipStock`, `ReleaseStock` | `StockReserved` or `StockRefused`, as a reply |
//! | [`billing`] | a customer's account | `ChargePayment` | `PaymentAccepted` or `PaymentRefused`, as a reply |
//!
//! The handlers contain no code for duplicates, crashes or retries. They are written as if every message came
//! exactly once. `crash_tests.rs` stops them at every call and runs them together with duplicates.
//!
//! ```
//! use cloakroom::{Delivery, EndpointSettings, Message as _, Outcome, format::Envelope, memory::Memory, observe::Unobserved};
//! use cloakroom_shop::{Service, orders::PlaceOrder};
//! use std::sync::Arc;
//!
//! let memory = Memory::with_queues(["orders", "stock", "billing"]);
//! let orders = Service::Orders.endpoint(memory.ports(), EndpointSettings::default(), Arc::new(Unobserved))?;
//!
//! let order: PlaceOrder = serde_json::from_str(
//!     r#"{ "order": "o-1", "customer": "ada", "sku": "lamp", "quantity": 2, "unit_price_cents": 700 }"#,
//! )?;
//! let mut envelope = Envelope::new("place-o-1".into(), "website", PlaceOrder::TYPE, order.partition());
//! envelope.data = Some(serde_json::json!(order));
//! let delivery = Delivery { body: envelope.encode(), receive_count: 1, ..Delivery::default() };
//! assert_eq!(memory.run(orders.process(&delivery))?, Outcome::Processed);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # The same services twice
//!
//! | binary | runs as | one process has |
//! |---|---|---|
//! | `shop-service` | worker on ECS or in any container | one or more services, with a worker for each |
//! | `shop-function` | Lambda function | one service |
//!
//! Both read their configuration from environment variables, which the top of each source file lists. They
//! log JSON to standard output. The crate's `README.md` says how to build and deploy them.
//!
//! # The audit
//!
//! [`Books`](books::Books) hold everything that is stored at the end of a run. The audit compares them with the
//! orders. It does not know how the books were made, so it detects the effect of any fault. [`Site`] is where the
//! books are read from, [`sample`] has the orders, and [`submit`] places them.

pub mod billing;
pub mod books;
mod counts;
#[cfg(test)]
mod crash_tests;
mod environment;
pub mod orders;
pub mod sample;
mod site;
pub mod stock;
mod submission;

use std::{fmt, str::FromStr, sync::Arc};

use cloakroom::{Endpoint, EndpointSettings, Error, Ports, State, endpoint::EndpointBuilder, observe::Observer};

pub use counts::CountsLog;
pub use environment::{BadVariable, Environment};
pub use site::Site;
pub use submission::submit;

/// A service. Its endpoint and its queue have the same name.
///
/// ```
/// use cloakroom_shop::Service;
///
/// assert_eq!("stock".parse(), Ok(Service::Stock));
/// let unknown = "stocks".parse::<Service>().unwrap_err();
/// assert_eq!(unknown.to_string(), "there is no service `stocks`: it must be one of orders, stock, billing");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Service {
    /// See [`orders`].
    Orders,
    /// See [`stock`].
    Stock,
    /// See [`billing`].
    Billing,
}

impl Service {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Orders, Self::Stock, Self::Billing];

    /// The name, such as `orders`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Stock => "stock",
            Self::Billing => "billing",
        }
    }

    /// Returns the service as an endpoint: the same one for a worker, a Lambda function, a simulation and a test.
    ///
    /// # Errors
    /// Settings or limits out of range.
    pub fn endpoint(
        self,
        ports: Ports,
        settings: EndpointSettings,
        observer: Arc<dyn Observer>,
    ) -> Result<Endpoint, Error> {
        fn build<S: State>(
            builder: EndpointBuilder<S>,
            settings: EndpointSettings,
            observer: Arc<dyn Observer>,
            ports: Ports,
        ) -> Result<Endpoint, Error> {
            builder.settings(settings).observer(observer).build(ports)
        }
        match self {
            Self::Orders => build(orders::endpoint(), settings, observer, ports),
            Self::Stock => build(stock::endpoint(), settings, observer, ports),
            Self::Billing => build(billing::endpoint(), settings, observer, ports),
        }
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Service {
    type Err = UnknownService;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let service = Self::ALL.into_iter().find(|service| service.name() == name);
        service.ok_or_else(|| UnknownService(name.to_owned()))
    }
}

/// The error for an unknown service name.
#[derive(Clone, PartialEq, Eq)]
pub struct UnknownService(String);

impl fmt::Display for UnknownService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Service::ALL.map(Service::name).join(", ");
        write!(f, "there is no service `{}`: it must be one of {names}", self.0)
    }
}

impl fmt::Debug for UnknownService {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for UnknownService {}

/// Implements `Message` for a type whose partition is the entity that one of its fields names.
macro_rules! message {
    ($type:ty, $name:literal, $entity:literal, $field:ident) => {
        impl cloakroom::Message for $type {
            const TYPE: &'static str = $name;

            fn partition(&self) -> cloakroom::Partition {
                cloakroom::Partition::new(format!(concat!($entity, "#{}"), self.$field))
            }
        }
    };
}
pub(crate) use message;
