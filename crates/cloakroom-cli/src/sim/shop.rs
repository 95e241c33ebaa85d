//! The shop of the demonstration as a scenario: its real services, and its audit.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use cloakroom::{Endpoint, EndpointSettings, Error, Ports, observe::Unobserved};
use cloakroom_shop::{
    Service,
    books::{Books, Entry},
    orders::PlaceOrder,
};
use cloakroom_sim::simulation::{Rest, Scenario, Submission};
use serde::de::DeserializeOwned;

#[derive(Clone, Copy, Debug)]
pub(crate) struct Shop;

const NAMES: [&str; 3] = [Service::Orders.name(), Service::Stock.name(), Service::Billing.name()];

impl Scenario for Shop {
    fn name(&self) -> &'static str {
        "shop"
    }

    fn endpoints(&self) -> &'static [&'static str] {
        &NAMES
    }

    fn endpoint(&self, name: &str, ports: Ports, settings: EndpointSettings) -> Result<Endpoint, Error> {
        let service = Service::ALL.into_iter().find(|service| service.name() == name);
        service.unwrap_or(Service::Orders).endpoint(ports, settings, Arc::new(Unobserved))
    }

    /// Orders of up to two SKUs by up to two customers. Some exceed the stock or the credit.
    fn submissions(&self, random: &mut fastrand::Rng) -> Vec<Submission> {
        let count = if random.u32(0..8) == 0 { random.u32(3..6) } else { random.u32(1..3) };
        let place = |number| {
            let order = PlaceOrder {
                order: format!("o-{number}"),
                customer: format!("c-{}", random.u32(0..2)),
                sku: format!("sku-{}", random.u32(0..2)),
                quantity: if random.u32(0..8) == 0 { random.u64(900..2_500) } else { random.u64(1..4) },
                unit_price_cents: random.u64(5..200) * 100 - 1,
            };
            let submission = Submission::to("orders", &format!("place-{}", order.order), &order);
            submission.with_claim(random.bool()).after(Duration::from_millis(random.u64(0..2_000)))
        };
        (0..count).map(place).collect()
    }

    fn audit(&self, submissions: &[Submission], rest: &Rest) -> Vec<String> {
        let placed: Vec<PlaceOrder> = submissions.iter().filter_map(Submission::message).collect();
        match books(rest) {
            Ok(books) => books.audit(&placed).findings,
            Err(unreadable) => vec![unreadable],
        }
    }
}

/// Reads the books without records, queues and payloads, which the simulation checks in each
/// scenario.
fn books(rest: &Rest) -> Result<Books, String> {
    Ok(Books {
        orders: entries(rest, Service::Orders)?,
        stock: entries(rest, Service::Stock)?,
        accounts: entries(rest, Service::Billing)?,
        ..Books::default()
    })
}

/// Returns the entities of a service by their ids. The shop never deletes an entity.
fn entries<S: DeserializeOwned>(rest: &Rest, service: Service) -> Result<BTreeMap<String, Entry<S>>, String> {
    let states = rest.states(service.name())?.into_iter();
    states
        .map(|(partition, entity)| {
            let id = partition.as_str().split_once('#').map_or(partition.as_str(), |(_, id)| id).to_owned();
            let state = entity.state.ok_or_else(|| format!("`{partition}` was deleted"))?;
            Ok((id, Entry { state, version: entity.version }))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use cloakroom_sim::simulation::{Simulation, Tally, known_seeds};

    use super::*;

    #[test]
    fn four_hundred_seeds_break_no_law() {
        let mut tally = Tally::default();
        for seed in 0..400 {
            let run = Simulation::new(&Shop, seed).run();
            assert_eq!(run.violations, [], "`cloakroom sim --scenario shop --seeds {seed}..{} --trace`", seed + 1);
            tally.add(&run.tally);
        }
        // Written directly to standard output, because the test harness captures the output of
        // successful tests.
        let _ = writeln!(std::io::stdout(), "simulation: {} seeds of the shop\n{tally}", tally.seeds);
        assert!(tally.messages > 3_600 && tally.resumes > 200 && tally.duplicates > 200, "{tally}");
    }

    #[test]
    fn seeds_that_failed_once_pass_now() {
        for seed in known_seeds("shop") {
            assert_eq!(Simulation::new(&Shop, seed).run().violations, [], "seed {seed}");
        }
    }
}
