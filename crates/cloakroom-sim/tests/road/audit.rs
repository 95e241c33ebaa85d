//! The audit: what the stock says, what the orders were told, and what harm that is.

use std::collections::{BTreeMap, BTreeSet};

use cloakroom::{format::Envelope, memory::Memory, ports::PayloadStore as _};
use futures::FutureExt as _;

use crate::{
    naive::NaiveStock,
    stock::{Answer, Stock, item},
};

/// The harm that a consumer can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Harm {
    /// Somebody is never told, or stock is never reserved.
    Lost,
    /// Reserved or told more than once.
    Doubled,
    /// Told what is not so.
    Ghost,
}

/// What there is in the end.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// By order.
    reserved: BTreeMap<String, u32>,
    /// By order: every answer that its receiver takes for a new one.
    told: BTreeMap<String, Vec<String>>,
}

impl Books {
    /// A receiver of naive messages recognises their ids: the first with an id counts.
    pub(crate) fn of_naive(memory: &Memory) -> Self {
        let NaiveStock { reserved, .. } = item(memory, "stock");
        let mut books = Self { reserved, ..Self::default() };
        let mut seen = BTreeSet::new();
        for envelope in envelopes(memory, "orders") {
            let answer = serde_json::from_value(envelope.data.unwrap_or_default()).unwrap();
            if seen.insert(envelope.id) {
                books.tell(answer);
            }
        }
        books
    }

    /// A receiver of ours processes every claim once, if its payload is there.
    pub(crate) fn of_ours(memory: &Memory) -> Self {
        let Stock { reserved } = item(memory, "state#stock");
        let mut books = Self { reserved, ..Self::default() };
        let claims: BTreeSet<_> = envelopes(memory, "orders").into_iter().filter_map(|it| it.dataref).collect();
        for claim in claims {
            if let Some(body) = memory.payloads.read(&claim).now_or_never().unwrap().unwrap() {
                books.tell(serde_json::from_slice(&body).unwrap());
            }
        }
        books
    }

    fn tell(&mut self, Answer { order, is }: Answer) {
        self.told.entry(order).or_default().push(is);
    }

    /// The worst harm that was done to any of these orders.
    pub(crate) fn harm(&self, orders: &[(&str, u32)]) -> Option<Harm> {
        let harms = orders.iter().filter_map(|(order, quantity)| {
            let reserved = self.reserved.get(*order).copied().unwrap_or(0);
            let told: Vec<&str> = self.told.get(*order).into_iter().flatten().map(String::as_str).collect();
            match told[..] {
                _ if reserved > *quantity => Some(Harm::Doubled),
                [] => Some(Harm::Lost),
                ["reserved"] if reserved == *quantity => None,
                ["refused"] if reserved == 0 => None,
                ["reserved" | "refused"] => Some(Harm::Ghost),
                _ => Some(Harm::Doubled),
            }
        });
        harms.max()
    }
}

pub(crate) fn envelopes(memory: &Memory, queue: &str) -> Vec<Envelope> {
    let messages = memory.queues.get(queue).messages();
    messages.iter().map(|message| Envelope::decode(&message.body).unwrap()).collect()
}
