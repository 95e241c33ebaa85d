//! Counts of events as log lines, for a metric filter.

use std::{mem, sync::Arc};

use cloakroom::observe::{Counters, Counts, Observer};

use crate::Service;

/// Logs what a service has counted since the previous line. The numbers are increments, so a reader of the log only
/// adds them.
///
/// The lines have the target `cloakroom::counts`, the service, and a field for each of [`Counts`]. In CloudWatch a
/// metric filter makes a metric of a field: pattern `{ $.target = "cloakroom::counts" }`, value
/// `$.processed`, dimension `$.service`.
#[derive(Debug)]
pub struct CountsLog {
    service: Service,
    counters: Arc<Counters>,
    logged: Counts,
}

impl CountsLog {
    /// Returns a log that counts from zero.
    pub fn new(service: Service) -> Self {
        Self { service, counters: Arc::default(), logged: Counts::default() }
    }

    /// Returns the observer for the service's endpoint.
    pub fn observer(&self) -> Arc<dyn Observer> {
        self.counters.clone()
    }

    /// Logs a line, also if all counts are zero.
    pub fn log(&mut self) {
        let counts = self.counters.counts();
        let Counts {
            processed,
            resumed,
            duplicate,
            parked,
            deferred,
            conflict,
            unknown_commit,
            handled,
            payload_missing,
            given_back,
        } = counts - mem::replace(&mut self.logged, counts);
        tracing::info!(
            target: "cloakroom::counts",
            service = self.service.name(),
            processed,
            resumed,
            duplicate,
            parked,
            deferred,
            conflict,
            unknown_commit,
            handled,
            payload_missing,
            given_back,
            "counted"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, pipe};

    use cloakroom::observe::Event;

    use super::*;

    #[test]
    fn a_line_tells_what_happened_since_the_line_before() {
        let (mut reader, writer) = pipe().unwrap();
        let subscriber = tracing_subscriber::fmt().json().flatten_event(true).with_writer(Arc::new(writer)).finish();
        tracing::subscriber::with_default(subscriber, || {
            let mut counts = CountsLog::new(Service::Stock);
            // Event number `n` happens `n + 1` times before the first line, and once before the second.
            for (happens, event) in (1..).zip(Event::ALL) {
                (0..happens).for_each(|_| counts.observer().observe(event));
            }
            counts.log();
            Event::ALL.into_iter().for_each(|event| counts.observer().observe(event));
            counts.log();
            counts.log();
        });
        let mut log = String::new();
        reader.read_to_string(&mut log).unwrap();
        let lines: Vec<serde_json::Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert!(lines.iter().all(|line| line["target"] == "cloakroom::counts" && line["service"] == "stock"), "{log}");
        let names = ["processed", "resumed", "duplicate", "parked", "deferred", "conflict"];
        let names = [&names[..], &["unknown_commit", "handled", "payload_missing", "given_back"]].concat();
        let counts = lines.iter().map(|line| names.iter().map(|name| line[name].as_u64().unwrap()).collect::<Vec<_>>());
        assert_eq!(counts.collect::<Vec<_>>(), [(1..=10).collect(), vec![1; 10], vec![0; 10]], "{log}");
    }
}
