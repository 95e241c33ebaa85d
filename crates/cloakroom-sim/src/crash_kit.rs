//! The crash kit. It runs *your* handlers through every single crash, every single lost response
//! and every single switch between two deliveries. It also runs as many combinations of several as
//! a bound allows. It compares each result with the result of the undisturbed message.
//!
//! ```
//! use cloakroom::{Endpoint, Handled, HandlerError, Message, Partition, Tx};
//! use cloakroom_sim::CrashKit;
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Default, Serialize, Deserialize)]
//! struct Order { lines: u32, is_paid: bool }
//!
//! #[derive(Serialize, Deserialize)]
//! struct PlaceOrder { order: String, lines: u32 }
//! #[derive(Serialize, Deserialize)]
//! struct PaymentAccepted { order: String }
//! #[derive(Serialize, Deserialize)]
//! struct ShipOrder { order: String, parcel: String }
//!
//! impl Message for PlaceOrder {
//!     const TYPE: &'static str = "orders.place";
//!     fn partition(&self) -> Partition { Partition::new(format!("order#{}", self.order)) }
//! }
//! impl Message for PaymentAccepted {
//!     const TYPE: &'static str = "orders.paid";
//!     fn partition(&self) -> Partition { Partition::new(format!("order#{}", self.order)) }
//! }
//! impl Message for ShipOrder {
//!     const TYPE: &'static str = "parcels.ship";
//!     fn partition(&self) -> Partition { Partition::new(format!("parcel#{}", self.parcel)) }
//! }
//!
//! async fn place(order: &mut Order, place: PlaceOrder, _: &mut Tx) -> Handled {
//!     order.lines = place.lines;
//!     Ok(())
//! }
//!
//! async fn paid(order: &mut Order, paid: PaymentAccepted, tx: &mut Tx) -> Handled {
//!     if order.lines == 0 {
//!         return Err(HandlerError::reject("nothing was ordered"));
//!     }
//!     order.is_paid = true;
//!     let parcel = tx.new_id().to_string();
//!     tx.send(ShipOrder { order: paid.order, parcel });
//!     Ok(())
//! }
//!
//! let orders = || Endpoint::builder::<Order>("orders").on(place).on(paid).route::<ShipOrder>("parcels");
//!
//! let report = CrashKit::new(move |_| orders())
//!     .given(PlaceOrder { order: "1".to_owned(), lines: 2 })
//!     .message(PaymentAccepted { order: "1".to_owned() })
//!     .refused(PaymentAccepted { order: "2".to_owned() })
//!     .run();
//! assert!(report.passed(), "{report}");
//! ```
//!
//! # What it does with each message
//!
//! The kit tries both timings of check-in, both identities (by its claim, and by its id alone) and
//! both placements of records. Records are separate items or, if payloads are checked in before the
//! commit, embedded in the state's item. For each combination:
//!
//! 1. The message is processed undisturbed. The kit records all items of its partition, and every
//!    message sent, with queue, id, partition, sequence and body. Every other run is compared with
//!    this.
//! 2. The handler runs again on the same state and message, in other processes and twice in one
//!    process. It must do the same. Neither here nor in any other run may it call a port itself.
//! 3. The process stops before or after any call of a port. The message is delivered again, and a
//!    second stop may follow.
//! 4. The response of any call is lost. The call took effect, did not take effect, or takes effect
//!    later. Then the process may stop, too. No other response is lost.
//! 5. Two deliveries are processed at the same time, call by call in any order. One of them may
//!    stop anywhere, or continue when everything else is over.
//! 6. Each two messages under test of one partition are processed at the same time. The result must
//!    be that of one of the two orders.
//! 7. The two arrive in one batch, so that they are committed together. Their process stops, the
//!    response of any call is lost, or one of them is delivered once more at the same time.
//!
//! At the end of each run a late duplicate of each message is delivered. It must change nothing.
//! There is one exception: a message that was parked before another message made it acceptable. Its
//! late duplicate must do what it does undisturbed.
//!
//! The kit makes every run with one disturbance. There are hundreds of runs with two disturbances,
//! and too many with more. [`runs_max`](CrashKit::runs_max) bounds them. The report states up to
//! which number of disturbances all runs were made, and how many runs with one more were left out.
//! An error that only several disturbances together cause may be among those.
//!
//! # What a handler needs to run here
//!
//! Everything happens in the calling thread, without a runtime. Time does not advance: `tx.now()`
//! is always the same, and a pause of the ports' clock ends at once. A handler that needs a runtime
//! (timers of tokio, sockets, other tasks) cannot run. The kit reports that as
//! [`Panicked`](FindingKind::Panicked) or [`Waits`](FindingKind::Waits). The kit cannot detect a
//! handler that blocks its thread. Such a handler blocks the test.

mod case;
mod clock;
mod event_text;
mod events;
mod gate;
mod kit_message;
mod plan;
mod refusal;
mod report;
mod rounds;
mod run;
mod setup;
mod snapshot;
mod worker;
mod world;

use std::fmt;

use cloakroom::{EndpointSettings, Message, Ports, State, endpoint::EndpointBuilder, memory::Memory, ports::Placement};

use kit_message::{Expectation, KitMessage};
pub use report::{Difference, Finding, FindingKind, Report};
use rounds::{test_alone, test_pair};
use setup::{REPLIES, SOURCE, Setup};

/// Runs messages through crashes. See the [module](self).
#[must_use = "the kit does nothing until it is run"]
pub struct CrashKit {
    setup: Setup,
}

impl fmt::Debug for CrashKit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrashKit")
            .field("given", &self.setup.given)
            .field("messages", &self.setup.kit_messages)
            .finish_non_exhaustive()
    }
}

impl CrashKit {
    /// Creates a kit for the endpoint that `builder` builds. The kit calls `builder` once for each
    /// process of each run.
    ///
    /// The ports that `builder` gets are for handlers that call ports themselves. The kit reports
    /// such calls.
    ///
    /// The builder's own settings are validated, and then replaced by those of the kit. These are
    /// the defaults unless [`settings`](Self::settings) sets them. So a setting that should hold in
    /// the runs, such as `attempts_max`, must be set there.
    pub fn new<S: State>(builder: impl Fn(&Ports) -> EndpointBuilder<S> + 'static) -> Self {
        // Messages of the kit that carry only an id come from a foreign producer.
        let builder =
            move |handler_ports: &Ports| builder(handler_ports).accept_source(SOURCE).allow_replies_to(REPLIES);
        let build = move |handler_ports: &Ports, ports: Ports, settings: Option<EndpointSettings>| match settings {
            Some(settings) => builder(handler_ports).settings(settings).build(ports),
            None => builder(handler_ports).build(ports),
        };
        let setup = Setup {
            build: Box::new(build),
            backend: Box::new(Memory::ports),
            settings: EndpointSettings::default(),
            placement: None,
            given: Vec::new(),
            kit_messages: Vec::new(),
            runs_max: 200,
        };
        Self { setup }
    }

    /// Adds a message that is processed first, undisturbed, to create an interesting state.
    pub fn given<M: Message>(mut self, message: M) -> Self {
        self.setup.given.push(kit_message(&message, Expectation::Accepted));
        self
    }

    /// Adds a message under test. Each is tested alone, on the state that the
    /// [`given`](Self::given) messages left. One message under test does not follow another one.
    /// Messages of one partition are also tested together.
    pub fn message<M: Message>(mut self, message: M) -> Self {
        self.setup.kit_messages.push(kit_message(&message, Expectation::Accepted));
        self
    }

    /// Adds a message under test that its handler refuses: it rejects the message, it asks for
    /// retries until the message is given up, or it writes an item under a condition that does not
    /// hold. The message must have no effect, and it must be parked with its payload. A message
    /// that is parked for another reason is a finding: for example, if there is no handler for it,
    /// or if it cannot be read.
    pub fn refused<M: Message>(mut self, message: M) -> Self {
        self.setup.kit_messages.push(kit_message(&message, Expectation::Refused));
        self
    }

    /// Adds a message under test that its handler [defers](cloakroom::HandlerError::defer) on the
    /// state that the [`given`](Self::given) messages left. Its only effect must be that it is
    /// delivered again. Another message under test may lead to a state on which the handler accepts
    /// it. Then it must be processed after that one.
    ///
    /// Time does not advance here, so a handler that waits for a time defers its message forever.
    pub fn deferred<M: Message>(mut self, message: M) -> Self {
        self.setup.kit_messages.push(kit_message(&message, Expectation::Deferred));
        self
    }

    /// Sets the settings of endpoints. All are validated, and all hold, except for four that the
    /// kit varies or needs. `check_in` takes both values, and so does
    /// [`placement`](Self::placement) unless it is set. `when_missing` is to acknowledge, because a
    /// late process would otherwise park a message that another process has finished. `linger_ms`
    /// is 0.
    pub fn settings(self, settings: EndpointSettings) -> Self {
        Self { setup: Setup { settings, ..self.setup } }
    }

    /// Sets the only placement of records that is tried. Default: both.
    pub fn placement(self, placement: Placement) -> Self {
        Self { setup: Setup { placement: Some(placement), ..self.setup } }
    }

    /// Sets ports other than those of the memory backend, such as a store of your own in front of
    /// it. They must not wait for anything real, and the state must be stored in this memory.
    pub fn over(self, backend: impl Fn(&Memory) -> Ports + 'static) -> Self {
        Self { setup: Setup { backend: Box::new(backend), ..self.setup } }
    }

    /// Sets the maximum number of runs of rounds 5 and 6, in each of the six combinations of
    /// timing, identity and placement. Rounds 3 and 4 and each of the three parts of round 7 have a
    /// quarter of it. All runs with a single disturbance are made beyond the maximum, too. Default:
    /// 200. With it a typical message takes about a second in a debug build, and gets two
    /// disturbances in nearly every combination. A value such as 10,000 is for nightly runs.
    pub fn runs_max(self, runs_max: usize) -> Self {
        Self { setup: Setup { runs_max, ..self.setup } }
    }

    /// Runs everything and returns the report.
    pub fn run(self) -> Report {
        let (endpoint, findings) = match self.endpoint_name() {
            Ok(name) => (name, Vec::new()),
            Err(finding) => ("?".to_owned(), vec![finding]),
        };
        let mut report = Report { endpoint, tested: Vec::new(), findings, runs_max: self.setup.runs_max };
        if report.findings.is_empty() {
            self.test(&mut report);
        }
        report
    }

    fn test(&self, report: &mut Report) {
        for kit_message in &self.setup.kit_messages {
            let (tested, finding) = test_alone(&self.setup, kit_message);
            report.tested.push(tested);
            // A problem of a `given` message occurs in every test, so it is reported once.
            report.findings.extend(finding.filter(|finding| !report.findings.contains(finding)));
        }
        // Two messages that fail alone show nothing new together.
        if report.findings.is_empty() {
            for (tested, finding) in self.pairs().map(|kit_messages| test_pair(&self.setup, kit_messages)) {
                report.tested.push(tested);
                report.findings.extend(finding);
            }
        }
    }

    /// Returns the endpoint's name, if the endpoint can be built with the settings of its builder
    /// and with those of the kit.
    fn endpoint_name(&self) -> Result<String, Finding> {
        let ports = Memory::new().ports();
        let build = |settings| (self.setup.build)(&ports, ports.clone(), settings);
        let endpoint = build(None).and_then(|_| build(Some(self.setup.settings.clone())));
        endpoint.map(|endpoint| endpoint.name().to_owned()).map_err(|error| Finding {
            kind: FindingKind::NotBuilt,
            message: "the endpoint".to_owned(),
            text: error.to_string(),
            timeline: Vec::new(),
            differences: Vec::new(),
        })
    }

    fn pairs(&self) -> impl Iterator<Item = [&KitMessage; 2]> {
        let kit_messages = self.setup.kit_messages.iter().enumerate();
        kit_messages.flat_map(|(number, one)| {
            let others = self.setup.kit_messages[number + 1..].iter().filter(|other| other.partition == one.partition);
            others.map(move |other| [one, other])
        })
    }
}

fn kit_message<M: Message>(message: &M, expected: Expectation) -> KitMessage {
    let body = serde_json::to_value(message).map_err(|error| error.to_string());
    KitMessage { kind: M::TYPE, partition: message.partition(), body, expected }
}
