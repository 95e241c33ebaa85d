//! What is simulated: services, the messages that are submitted, and the audit of the final states.

use std::{fmt, time::Duration};

use cloakroom::{Endpoint, EndpointSettings, Error, Message, MessageId, Ports, format::Envelope};

use crate::simulation::history::Rest;

/// The services that are simulated. [`Ledger`](crate::simulation::Ledger) is the library's own
/// scenario. Implement this trait to simulate yours.
///
/// Everything must follow from the arguments: no clock, no random numbers and no order of a
/// `HashMap` of its own.
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
    /// The name of the scenario.
    fn name(&self) -> &'static str;

    /// The names of the endpoints, which are also the names of their queues. The dead-letter queue
    /// of an endpoint has the default name: that of the endpoint and `-dead`.
    fn endpoints(&self) -> &'static [&'static str];

    /// Builds an endpoint as in production, except for ports and settings.
    ///
    /// # Errors
    /// Those of [`EndpointBuilder::build`](cloakroom::endpoint::EndpointBuilder::build).
    fn endpoint(&self, name: &str, ports: Ports, settings: EndpointSettings) -> Result<Endpoint, Error>;

    /// Returns the messages that are submitted. Few messages make a failure easy to read: about
    /// ten, with all that follow.
    fn submissions(&self, random: &mut fastrand::Rng) -> Vec<Submission>;

    /// Whether a message that was parked for this reason may stay in its dead-letter queue forever:
    /// its handler rejected it, and no retry can change that.
    fn is_rejection(&self, _reason: &str) -> bool {
        false
    }

    /// Returns what is wrong with the final states. Empty if nothing is. Only some of the drawn
    /// submissions may have been made.
    fn audit(&self, submissions: &[Submission], rest: &Rest) -> Vec<String>;
}

/// A message that is sent from outside.
#[derive(Clone, Debug)]
pub struct Submission {
    pub(crate) queue: String,
    /// The payload is inline.
    pub(crate) envelope: Envelope,
    pub(crate) after: Duration,
    pub(crate) has_claim: bool,
}

impl Submission {
    /// Returns a message to an endpoint's queue, sent at the beginning. It has its payload inline
    /// and only an id, as messages of foreign producers do. The id must be unique.
    pub fn to<M: Message>(queue: &str, id: &str, message: &M) -> Self {
        let mut envelope = Envelope::new(MessageId::new(id), "outside", M::TYPE, message.partition());
        envelope.data = serde_json::to_value(message).ok();
        Self { queue: queue.to_owned(), envelope, after: Duration::ZERO, has_claim: false }
    }

    /// Sends it this much later.
    #[must_use]
    pub fn after(self, after: Duration) -> Self {
        Self { after, ..self }
    }

    /// Checks in the payload, so that the message carries a claim.
    #[must_use]
    pub fn with_claim(self, has_claim: bool) -> Self {
        Self { has_claim, ..self }
    }

    /// Returns the message if it has this type.
    pub fn message<M: Message>(&self) -> Option<M> {
        let is_of_type = self.envelope.kind == M::TYPE;
        self.envelope.data.clone().filter(|_| is_of_type).and_then(|data| serde_json::from_value(data).ok())
    }
}
