//! The crash kit: runs *your* handlers through every single crash, every single lost answer and every single change of turns
//! between two deliveries, and through as many combinations of several as a bound allows; and compares each result with what the
//! undisturbed message leaves.
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
//! Both timings of check-in, both identities (by its claim, and by its id alone) and both placements of records: beside the state, and,
//! if payloads are checked in before the commit, embedded in it. For each:
//!
//! 1. It is processed undisturbed. What can be observed then is what every other run is compared with: all items of its
//!    partition, and every message sent with queue, id, partition, sequence and body.
//! 2. The handler runs again on the same state and message, in other processes and twice in one: it must do the same. Neither
//!    here nor in any other run may it call a port itself.
//! 3. The process stops before or after any call of a port; the message is delivered again, and may meet a second stop.
//! 4. The answer of any call is lost: it happened, it did not, it will; then the process may stop, too, and nothing else is lost.
//! 5. Two deliveries are processed at the same time, call by call in any order, and one of them may stop anywhere or come back
//!    when everything is over.
//! 6. Messages under test of one partition also meet each other, two by two. The result must be that of one of the two
//!    orders.
//! 7. And they come in one batch, so that they are committed together: their process stops, the answer of any call is lost, or one
//!    of them is delivered once more at the same time.
//!
//! At the end of each run a late duplicate of each message comes; it, too, must change nothing. One is not a duplicate in this
//! sense: that of a message that was parked before another one made it acceptable. It must do what it does undisturbed.
//!
//! Every run with one disturbance is made. Of those with two there are hundreds, and of those with more too many:
//! [`runs_max`](CrashKit::runs_max) bounds them, and the report says up to which number of disturbances all runs were made, and
//! how many with one more were left out. What only several disturbances together bring about may be among these.
//!
//! # What a handler must be like to run here
//!
//! Everything happens in the calling thread, with no runtime. Time stands still: `tx.now()` is always the same, and a pause of
//! the ports' clock is over at once. A handler that needs a runtime (timers of tokio, sockets, other tasks) cannot run: that is
//! found ([`Panicked`](FindingKind::Panicked) or [`Waits`](FindingKind::Waits)). One that blocks its thread cannot be found out,
//! and blocks the test.

mod clock;
mod gate;
mod picture;
mod plan;
mod refusal;
mod report;
mod rounds;
mod run;
mod scene;
mod timeline;
mod worker;
mod world;

use std::fmt;

use cloakroom::{
    Endpoint, EndpointSettings, Error, Message, Ports, State, endpoint::EndpointBuilder, memory::Memory,
    ports::Placement,
};

pub use report::{Difference, Finding, FindingKind, Report};
use rounds::{alone, together};
use world::{DeadLetter, Expected};

/// Where the messages that are given to the kit come from.
const SOURCE: &str = "crash-kit";
/// The queue that takes replies to them.
const REPLIES: &str = "replies";

/// Handed to handlers, used by the engine, settings if they are not to be the builder's own.
type Build = dyn Fn(&Ports, Ports, Option<EndpointSettings>) -> Result<Endpoint, Error>;

/// Runs messages through crashes; see the [module](self).
#[must_use = "the kit does nothing until it is run"]
pub struct CrashKit {
    build: Box<Build>,
    backend: Box<dyn Fn(&Memory) -> Ports>,
    settings: EndpointSettings,
    /// The only one that is tried.
    placement: Option<Placement>,
    given: Vec<DeadLetter>,
    letters: Vec<DeadLetter>,
    runs_max: usize,
}

impl fmt::Debug for CrashKit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CrashKit").field("given", &self.given).field("messages", &self.letters).finish_non_exhaustive()
    }
}

impl CrashKit {
    /// A kit for the endpoint that `builder` makes, as often as it is asked: for every process that a run has, one.
    ///
    /// The ports it is given are for handlers that want to call ports themselves, and so to be found out.
    ///
    /// Settings of the builder's own are validated, and then replaced by those of the kit, the defaults if it was given none: what
    /// shall hold in the runs, such as `attempts_max`, is given with [`settings`](Self::settings).
    pub fn new<S: State>(builder: impl Fn(&Ports) -> EndpointBuilder<S> + 'static) -> Self {
        // The messages of the kit are foreign ones where they carry only an id.
        let builder = move |handed: &Ports| builder(handed).accept_source(SOURCE).allow_replies_to(REPLIES);
        let build = move |handed: &Ports, ports: Ports, settings: Option<EndpointSettings>| match settings {
            Some(settings) => builder(handed).settings(settings).build(ports),
            None => builder(handed).build(ports),
        };
        Self {
            build: Box::new(build),
            backend: Box::new(Memory::ports),
            settings: EndpointSettings::default(),
            placement: None,
            given: Vec::new(),
            letters: Vec::new(),
            runs_max: 200,
        }
    }

    /// A message that comes before, and is processed undisturbed: so that the state is an interesting one.
    pub fn given<M: Message>(mut self, message: M) -> Self {
        self.given.push(letter(&message, Expected::Accepted));
        self
    }

    /// A message to be tested. Each is tested alone, on what the [`given`](Self::given) messages left: one message under test
    /// does not come after another one, in whatever order they are named. Those of one partition also meet each other.
    pub fn message<M: Message>(mut self, message: M) -> Self {
        self.letters.push(letter(&message, Expected::Accepted));
        self
    }

    /// A message to be tested that its handler rejects, or asks to be tried again until it is given up, or for which it demands
    /// something of an item that is not so. Nothing must come of it, and it must be parked with its payload. One that is parked for
    /// another reason, such as that there is no handler for it or that it cannot be read, is a finding.
    pub fn refused<M: Message>(mut self, message: M) -> Self {
        self.letters.push(letter(&message, Expected::Refused));
        self
    }

    /// A message to be tested that its handler [defers](cloakroom::HandlerError::defer) on what the [`given`](Self::given) messages
    /// left. Nothing must come of it but that it comes again. Another message under test may lead to a state on which its handler
    /// accepts it: then it must be processed after that one.
    ///
    /// Time stands still here, so a handler that waits for a time defers its message for ever.
    pub fn deferred<M: Message>(mut self, message: M) -> Self {
        self.letters.push(letter(&message, Expected::Deferred));
        self
    }

    /// Settings other than the defaults. All are validated, and all hold but for four that the kit varies or needs: of `check_in`
    /// both are tried, and so of [`placement`](Self::placement), if it was not given one; `when_missing` is to acknowledge, since a process that comes late would otherwise park what another one
    /// has finished; `linger_ms` is 0.
    pub fn settings(self, settings: EndpointSettings) -> Self {
        Self { settings, ..self }
    }

    /// The only placement of records that is tried. Default: both.
    pub fn placement(self, placement: Placement) -> Self {
        Self { placement: Some(placement), ..self }
    }

    /// Ports other than those of memory itself, such as a store of your own that stands before it. They must not wait for
    /// anything real, and the state has to end in this memory.
    pub fn over(self, backend: impl Fn(&Memory) -> Ports + 'static) -> Self {
        Self { backend: Box::new(backend), ..self }
    }

    /// How many runs rounds 5 and 6 have at most, in each of the six combinations of timing, identity and placement; 3, 4 and each of
    /// the three parts of 7 a quarter of it. All runs with a single disturbance are made whatever this is. Default: 200, with which a typical message takes about
    /// a second in a debug build, and meets two disturbances in nearly every combination; 10 000 is for the night.
    pub fn runs_max(self, runs_max: usize) -> Self {
        Self { runs_max, ..self }
    }

    /// Runs everything. What went wrong is in the report.
    pub fn run(self) -> Report {
        let (endpoint, findings) = match self.endpoint_name() {
            Ok(name) => (name, Vec::new()),
            Err(finding) => ("?".to_owned(), vec![finding]),
        };
        let mut report = Report { endpoint, tested: Vec::new(), findings, runs_max: self.runs_max };
        if report.findings.is_empty() {
            self.test(&mut report);
        }
        report
    }

    fn test(&self, report: &mut Report) {
        for letter in &self.letters {
            let (tested, finding) = alone(self, letter);
            report.tested.push(tested);
            // What is wrong with a given message is wrong every time.
            report.findings.extend(finding.filter(|finding| !report.findings.contains(finding)));
        }
        // Two that fail alone say nothing new together.
        if report.findings.is_empty() {
            for (tested, finding) in self.pairs().map(|letters| together(self, letters)) {
                report.tested.push(tested);
                report.findings.extend(finding);
            }
        }
    }

    /// The endpoint's name, if it can be built with the settings of its builder and with those of the kit.
    fn endpoint_name(&self) -> Result<String, Finding> {
        let ports = Memory::new().ports();
        let build = |settings| (self.build)(&ports, ports.clone(), settings);
        let endpoint = build(None).and_then(|_| build(Some(self.settings.clone())));
        endpoint.map(|endpoint| endpoint.name().to_owned()).map_err(|error| Finding {
            kind: FindingKind::NotBuilt,
            message: "the endpoint".to_owned(),
            text: error.to_string(),
            timeline: Vec::new(),
            differences: Vec::new(),
        })
    }

    fn pairs(&self) -> impl Iterator<Item = [&DeadLetter; 2]> {
        let letters = self.letters.iter().enumerate();
        letters.flat_map(|(number, one)| {
            let others = self.letters[number + 1..].iter().filter(|other| other.partition == one.partition);
            others.map(move |other| [one, other])
        })
    }
}

fn letter<M: Message>(message: &M, expected: Expected) -> DeadLetter {
    let body = serde_json::to_value(message).map_err(|error| error.to_string());
    DeadLetter { kind: M::TYPE, partition: message.partition(), body, expected }
}
