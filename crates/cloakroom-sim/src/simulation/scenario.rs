//! What is simulated: services, what is asked of them, and what must be true in the end.

use std::{fmt, time::Duration};

use cloakroom::{Endpoint, EndpointSettings, Error, Message, MessageId, Ports, format::Envelope};

use super::history::Rest;

/// Services that are simulated. The library's own are [`Ledger`](super::Ledger); this is how to simulate yours.
///
/// Everything it does must follow from its arguments: no clock, no chance and no order of a `HashMap` of its own.
///
/// ```
/// use cloakroom::{Endpoint, EndpointSettings, Error, Handled, Message, Partition, Ports, Tx};
/// use cloakroom_sim::simulation::{Rest, Scenario, Simulation, Submission};
///
/// #[derive(Default, serde::Serialize, serde::Deserialize)]
/// struct Counter { total: u64 }
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Add(u64);
///
/// impl Message for Add {
///     const TYPE: &'static str = "add";
///     fn partition(&self) -> Partition { "counter".into() }
/// }
///
/// async fn add(counter: &mut Counter, Add(amount): Add, _: &mut Tx) -> Handled {
///     counter.total += amount;
///     Ok(())
/// }
///
/// #[derive(Debug)]
/// struct Counters;
///
/// impl Scenario for Counters {
///     fn name(&self) -> &'static str { "counters" }
///     fn endpoints(&self) -> &'static [&'static str] { &["counters"] }
///     fn endpoint(&self, name: &str, ports: Ports, settings: EndpointSettings) -> Result<Endpoint, Error> {
///         Endpoint::builder::<Counter>(name).on(add).settings(settings).build(ports)
///     }
///     fn submissions(&self, random: &mut fastrand::Rng) -> Vec<Submission> {
///         (0..random.u64(1..4)).map(|n| Submission::to("counters", &format!("add-{n}"), &Add(n))).collect()
///     }
///     fn audit(&self, submissions: &[Submission], rest: &Rest) -> Vec<String> {
///         let wanted: u64 = submissions.iter().filter_map(Submission::message::<Add>).map(|Add(amount)| amount).sum();
///         let states = rest.states::<Counter>("counters").unwrap_or_default();
///         let total: u64 = states.values().filter_map(|counter| counter.state.as_ref()).map(|c| c.total).sum();
///         if total == wanted { vec![] } else { vec![format!("{total} were counted, and {wanted} wanted")] }
///     }
/// }
///
/// let run = Simulation::new(&Counters, 7).run();
/// assert!(run.violations.is_empty(), "{:?}", run.violations);
/// ```
pub trait Scenario: fmt::Debug {
    /// How it is called.
    fn name(&self) -> &'static str;

    /// The names of its endpoints, which are also those of their queues. The name of a dead-letter queue is
    /// that of its endpoint and `-dead`: the default.
    fn endpoints(&self) -> &'static [&'static str];

    /// Builds one of them, as it is built in production but for ports and settings.
    ///
    /// # Errors
    /// Those of [`EndpointBuilder::build`](cloakroom::endpoint::EndpointBuilder::build).
    fn endpoint(&self, name: &str, ports: Ports, settings: EndpointSettings) -> Result<Endpoint, Error>;

    /// What is asked of the services. Few messages make a failure easy to read: ten or so, with all that follow.
    fn submissions(&self, random: &mut fastrand::Rng) -> Vec<Submission>;

    /// Whether a message may stay in its dead-letter queue for ever when it was parked for this reason: a
    /// rejection of its handler that no other try can mend.
    fn is_rejection(&self, _reason: &str) -> bool {
        false
    }

    /// What is wrong with the final states, in words; nothing, if all is well. Only some of what was drawn may have
    /// been submitted.
    fn audit(&self, submissions: &[Submission], rest: &Rest) -> Vec<String>;
}

/// A message that somebody outside sends.
#[derive(Clone, Debug)]
pub struct Submission {
    pub(crate) queue: String,
    /// With its payload inline.
    pub(crate) envelope: Envelope,
    pub(crate) after: Duration,
    pub(crate) has_claim: bool,
}

impl Submission {
    /// A message to an endpoint's queue at the beginning, with its payload inline and only an id, as foreign producers
    /// send it. The id must be its own.
    pub fn to<M: Message>(queue: &str, id: &str, message: &M) -> Self {
        let mut envelope = Envelope::new(MessageId::new(id), "outside", M::TYPE, message.partition());
        envelope.data = serde_json::to_value(message).ok();
        Self { queue: queue.to_owned(), envelope, after: Duration::ZERO, has_claim: false }
    }

    /// Sent that much later.
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    /// Checked in, so that it travels with a claim.
    #[must_use]
    pub fn with_claim(self, has_claim: bool) -> Self {
        Self { has_claim, ..self }
    }

    /// The message, if it is one of this type.
    pub fn message<M: Message>(&self) -> Option<M> {
        let is_of_type = self.envelope.kind == M::TYPE;
        self.envelope.data.clone().filter(|_| is_of_type).and_then(|data| serde_json::from_value(data).ok())
    }
}
