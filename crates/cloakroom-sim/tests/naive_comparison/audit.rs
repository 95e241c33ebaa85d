//! The audit: compares the stock with the answers to the orders, and returns the harm.

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
    /// There is no answer, or stock is never reserved.
    Lost,
    /// Stock is reserved more than once, or there is more than one answer.
    Doubled,
    /// The answer is wrong.
    WrongAnswer,
}

/// The stock and the answers at the end.
#[derive(Debug, Default)]
pub(crate) struct FinalState {
    /// The reserved stock, by order.
    reserved: BTreeMap<String, u32>,
    /// The answers that their receiver takes for new ones, by order.
    answers: BTreeMap<String, Vec<String>>,
}

impl FinalState {
    /// The final state of a naive consumer. The receiver of its answers recognises duplicates by
    /// id.
    pub(crate) fn of_naive(memory: &Memory) -> Self {
        let NaiveStock { reserved, .. } = item(memory, "stock");
        let mut final_state = Self { reserved, ..Self::default() };
        let mut seen = BTreeSet::new();
        for envelope in envelopes(memory, "orders") {
            let answer = serde_json::from_value(envelope.data.unwrap_or_default()).unwrap();
            if seen.insert(envelope.id) {
                final_state.add_answer(answer);
            }
        }
        final_state
    }

    /// The final state with Cloakroom. The receiver processes every claim once, if its payload
    /// exists.
    pub(crate) fn of_cloakroom(memory: &Memory) -> Self {
        let Stock { reserved } = item(memory, "state#stock");
        let mut final_state = Self { reserved, ..Self::default() };
        let claims: BTreeSet<_> = envelopes(memory, "orders").into_iter().filter_map(|it| it.dataref).collect();
        for claim in claims {
            if let Some(body) = memory.payloads.read(&claim).now_or_never().unwrap().unwrap() {
                final_state.add_answer(serde_json::from_slice(&body).unwrap());
            }
        }
        final_state
    }

    fn add_answer(&mut self, Answer { order, result }: Answer) {
        self.answers.entry(order).or_default().push(result);
    }

    /// The worst harm that was done to any of these orders.
    pub(crate) fn harm(&self, orders: &[(&str, u32)]) -> Option<Harm> {
        let harms = orders.iter().filter_map(|(order, quantity)| {
            let reserved = self.reserved.get(*order).copied().unwrap_or(0);
            let answers: Vec<&str> = self.answers.get(*order).into_iter().flatten().map(String::as_str).collect();
            match answers[..] {
                _ if reserved > *quantity => Some(Harm::Doubled),
                [] => Some(Harm::Lost),
                ["reserved"] if reserved == *quantity => None,
                ["refused"] if reserved == 0 => None,
                ["reserved" | "refused"] => Some(Harm::WrongAnswer),
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
