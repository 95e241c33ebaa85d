//! The prices of a run.

use std::{collections::BTreeMap, fmt, sync::Arc};

use cloakroom::observe::Consumption;

/// The prices of a run.
#[derive(Clone)]
pub struct Pricing {
    /// The region of the prices.
    pub region: String,
    /// The function that computes the cost of a consumption.
    pub dollars: Arc<DollarsOf>,
}

/// A function that returns the cost of a consumption in dollars, by service.
pub type DollarsOf = dyn Fn(&Consumption) -> BTreeMap<String, f64> + Send + Sync;

impl fmt::Debug for Pricing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pricing").field("region", &self.region).finish_non_exhaustive()
    }
}

impl Pricing {
    /// Returns a pricing without prices. The report then has no costs.
    pub fn none() -> Self {
        Self { region: String::new(), dollars: Arc::new(|_| BTreeMap::new()) }
    }
}
