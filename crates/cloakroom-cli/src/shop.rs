//! The shop of the demonstration: three services that know nothing of duplicates, crashes or retries.
//! Their handlers are written as if every message came exactly once, because it does.

pub(crate) mod billing;
pub(crate) mod orders;
#[cfg(test)]
mod rehearsed;
pub(crate) mod stock;

use cloakroom::{Endpoint, EndpointBuilder, EndpointSettings, Error, Observer, Ports, State};
use std::sync::Arc;

/// The services, which are also the names of their endpoints and queues.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Service {
    Orders,
    Stock,
    Billing,
}

impl Service {
    pub(crate) const ALL: [Self; 3] = [Self::Orders, Self::Stock, Self::Billing];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Orders => "orders",
            Self::Stock => "stock",
            Self::Billing => "billing",
        }
    }

    /// The service as an endpoint. The same one runs in this process and in a child process.
    pub(crate) fn endpoint(
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

/// Writes `impl Message` for a message that is kept by the entity one of its fields names.
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
