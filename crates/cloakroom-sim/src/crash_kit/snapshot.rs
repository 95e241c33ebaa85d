//! A snapshot of everything that can be observed after a run, as fields that can be compared one by
//! one.

use std::collections::{BTreeMap, BTreeSet};

use cloakroom::{
    engine::parking,
    format::{AttributeValue, Claim, Envelope, Item},
    ports::QueueMessage,
};
use serde_json::Value;

use crate::crash_kit::report::Difference;

/// Fields by their paths.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Snapshot(BTreeMap<String, String>);

impl Snapshot {
    pub(super) fn add(&mut self, path: impl Into<String>, value: impl ToString) {
        self.0.insert(path.into(), value.to_string());
    }

    /// Whether there is a field whose path begins like this.
    pub(super) fn has(&self, beginning: &str) -> bool {
        self.0.keys().any(|path| path.starts_with(beginning))
    }

    /// Returns a copy with the parked messages of another snapshot added.
    pub(super) fn with_parked_of(&self, other: &Self) -> Self {
        let parked = other.0.iter().filter(|(path, _)| path.starts_with("parked in "));
        Self(self.0.iter().chain(parked).map(|(path, value)| (path.clone(), value.clone())).collect())
    }

    pub(super) fn add_item(&mut self, path: &str, item: &Item) {
        self.add(path, "present");
        for (name, value) in item.iter() {
            self.add_attribute(&format!("{path}, {name}"), value);
        }
    }

    fn add_attribute(&mut self, path: &str, value: &AttributeValue) {
        match value {
            AttributeValue::M(map) if !map.is_empty() => {
                map.iter().for_each(|(name, value)| self.add_attribute(&format!("{path}.{name}"), value));
            }
            AttributeValue::L(list) if !list.is_empty() => {
                let values = list.iter().enumerate();
                values.for_each(|(number, value)| self.add_attribute(&format!("{path}[{number}]"), value));
            }
            AttributeValue::S(text) => self.add(path, format!("{text:?}")),
            AttributeValue::N(digits) => self.add(path, digits),
            AttributeValue::Bool(value) => self.add(path, value),
            AttributeValue::Null(_) => self.add(path, "null"),
            AttributeValue::Ss(values) | AttributeValue::Ns(values) => {
                self.add(path, format!("{:?}", values.iter().collect::<BTreeSet<_>>()));
            }
            AttributeValue::Bs(values) => self.add(path, format!("{:?}", values.iter().collect::<BTreeSet<_>>())),
            AttributeValue::M(_) | AttributeValue::L(_) | AttributeValue::B(_) => self.add(path, format!("{value:?}")),
        }
    }

    fn add_json(&mut self, path: &str, value: &Value) {
        match value {
            Value::Object(map) if !map.is_empty() => {
                map.iter().for_each(|(name, value)| self.add_json(&format!("{path}.{name}"), value));
            }
            Value::Array(list) if !list.is_empty() => {
                let values = list.iter().enumerate();
                values.for_each(|(number, value)| self.add_json(&format!("{path}[{number}]"), value));
            }
            Value::Object(_) | Value::Array(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {
                self.add(path, value);
            }
        }
    }

    /// Adds the messages of a queue. Two copies with one claim count as one message, because the
    /// receiver processes it once.
    pub(super) fn add_queue(
        &mut self,
        queue: &str,
        messages: &[QueueMessage],
        payload: impl Fn(&Claim) -> Option<Value>,
    ) {
        let mut claims: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for message in messages {
            let Ok(envelope) = Envelope::decode(&message.body) else {
                self.add(format!("queue `{queue}`, a message without a valid envelope"), &message.body);
                continue;
            };
            if let Some(reason) = message.attributes.get(parking::REASON) {
                let path = format!("parked in `{queue}`: `{}` {}", envelope.kind, envelope.id);
                self.add(path, reason_of_handler(reason));
                continue;
            }
            let path = format!("message `{}` {} to `{queue}`", envelope.kind, short(envelope.id.as_str()));
            let claim = envelope.dataref.as_ref();
            claims.entry(path.clone()).or_default().extend(claim.map(ToString::to_string));
            self.add_message(&path, &envelope, message.delay_s);
            match claim.map(&payload) {
                Some(Some(body)) => self.add_json(&format!("{path}, payload"), &body),
                Some(None) => self.add(format!("{path}, payload"), "missing"),
                None => self.add_json(&format!("{path}, payload"), envelope.data.as_ref().unwrap_or(&Value::Null)),
            }
        }
        for (path, claims) in claims {
            // Two claims are two messages to the receiver.
            self.add(format!("{path}, times it would be processed"), claims.len().max(1));
        }
    }

    fn add_message(&mut self, path: &str, envelope: &Envelope, delay_s: u32) {
        self.add(path, "sent");
        self.add(format!("{path}, id"), &envelope.id);
        self.add(format!("{path}, partition"), &envelope.partition);
        self.add(format!("{path}, delay_s"), delay_s);
        let texts = [
            ("sequence", envelope.sequence.as_deref()),
            ("correlationid", envelope.correlationid.as_deref()),
            ("causationid", envelope.causationid.as_ref().map(|id| id.as_str())),
            ("replyto", envelope.replyto.as_deref()),
        ];
        for (name, text) in texts {
            self.add(format!("{path}, {name}"), text.unwrap_or("none"));
        }
    }

    /// Returns every field that differs from the expected snapshot. If something exists in only one
    /// of them, only that is reported, not its parts.
    pub(super) fn differences(&self, expected: &Self) -> Vec<Difference> {
        let (here, there) = (&self.0, &expected.0);
        let paths: BTreeSet<&String> = here.keys().chain(there.keys()).collect();
        let differ = paths.into_iter().filter(|path| here.get(*path) != there.get(*path));
        let is_part_of_absent = |path: &str| {
            path.split_once(", ").is_some_and(|(whole, _)| here.contains_key(whole) != there.contains_key(whole))
        };
        let reported = differ.filter(|path| !is_part_of_absent(path));
        let value = |fields: &BTreeMap<String, String>, path: &String| {
            fields.get(path).cloned().unwrap_or_else(|| "absent".to_owned())
        };
        reported
            .map(|path| Difference { field: path.clone(), expected: value(there, path), actual: value(here, path) })
            .collect()
    }
}

/// The beginning of a message id, which is enough to distinguish ids.
fn short(id: &str) -> &str {
    id.get(..8).unwrap_or(id)
}

/// Returns the reason without the number of attempts, which a stop changes.
pub(super) fn reason_of_handler(reason: &str) -> &str {
    let given_up = reason.strip_prefix("given up after ").and_then(|rest| rest.split_once(": "));
    given_up.map_or(reason, |(_, reason)| reason)
}
