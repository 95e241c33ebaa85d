//! Messages that are delivered together, in a new world for every plan.

use crate::crash_kit::{
    event_text::timeline,
    kit_message::KitMessage,
    plan::{Plan, Search, Tried},
    report::{Difference, Finding, FindingKind},
    run::{CrashRun, RunResult},
    setup::Setup,
    snapshot::Snapshot,
    world::{RunFailure, Variant},
};

/// Messages that are delivered together, and the results that are accepted.
pub(super) struct TestCase<'a> {
    pub(super) setup: &'a Setup,
    pub(super) variant: Variant,
    pub(super) kit_messages: &'a [&'a KitMessage],
    /// The accepted results: when every message was acknowledged, and after the late duplicates.
    pub(super) accepted_results: Vec<(Snapshot, Snapshot)>,
    pub(super) kind: FindingKind,
}

impl TestCase<'_> {
    fn name(&self) -> String {
        let kinds: Vec<_> = self.kit_messages.iter().map(|kit_message| format!("`{}`", kit_message.kind)).collect();
        kinds.join(" and ")
    }

    pub(super) fn run(&self, seed: usize, is_traced: bool) -> Result<CrashRun<'_>, RunFailure> {
        CrashRun::new(self.setup, self.variant, self.kit_messages, seed as u64, is_traced)
    }

    pub(super) fn finding(&self, kind: FindingKind, text: impl Into<String>) -> Finding {
        let (message, text) = (format!("{} ({})", self.name(), self.variant), text.into());
        Finding { kind, message, text, timeline: Vec::new(), differences: Vec::new() }
    }

    /// Returns the finding for a run that failed.
    pub(super) fn stopped(&self, RunFailure { kind, text, about }: RunFailure) -> Box<Finding> {
        let finding = self.finding(kind, text);
        let message = about.map_or_else(|| finding.message.clone(), |about| format!("{about} ({})", self.variant));
        Box::new(Finding { message, ..finding })
    }

    /// Runs every plan of a search.
    pub(super) fn search(&self, search: Search, deliveries: &[&[usize]]) -> Result<Tried, Box<Finding>> {
        let mut seed = 0;
        search.each(|plan| {
            seed += 1;
            let run_result = self.run(seed, false).and_then(|mut run| run.play(plan, deliveries));
            match run_result {
                Ok(run_result) if self.differences_from_accepted(&run_result).is_none() => Ok(run_result.choices),
                other => Err(Box::new(self.diagnosed(plan, deliveries, seed, other))),
            }
        })
    }

    /// Repeats a run that went wrong with a log, to find out whether it goes wrong in the same way.
    fn diagnosed(
        &self,
        plan: &Plan,
        deliveries: &[&[usize]],
        seed: usize,
        first: Result<RunResult, RunFailure>,
    ) -> Finding {
        let again = self.run(seed, true).map(|mut run| {
            let run_result = run.play(plan, deliveries);
            (run_result, timeline(&run.world.shared.lines()))
        });
        let (again, timeline) = match again {
            Ok(again) => again,
            Err(failure) => return *self.stopped(failure),
        };
        match (first, again) {
            (Ok(first), Ok(again)) if [&first.snapshot, &first.late] == [&again.snapshot, &again.late] => Finding {
                timeline,
                differences: self.differences_from_accepted(&first).unwrap_or_default(),
                ..self.finding(self.kind, self.problem_text())
            },
            (Ok(first), Ok(again)) => Finding {
                differences: again.late.differences(&first.late),
                ..self
                    .finding(FindingKind::DependsOnOutside, "the same disturbance ends differently when it is repeated")
            },
            (Err(failure), _) | (_, Err(failure)) => Finding { timeline, ..*self.stopped(failure) },
        }
    }

    /// Returns the differences from the most similar accepted result, or `None` if the result is
    /// accepted.
    fn differences_from_accepted(&self, run_result: &RunResult) -> Option<Vec<Difference>> {
        let differences = |(snapshot, late): &(Snapshot, Snapshot)| match run_result.snapshot == *snapshot {
            true => (false, run_result.late.differences(late)),
            false => (true, run_result.snapshot.differences(snapshot)),
        };
        let is_right = self
            .accepted_results
            .iter()
            .any(|(snapshot, late)| [snapshot, late] == [&run_result.snapshot, &run_result.late]);
        // A result that differs only after the duplicates is more similar than any other.
        let all = self.accepted_results.iter().map(differences).min_by_key(|(is_early, all)| (*is_early, all.len()));
        (!is_right).then(|| all.map(|(_, all)| all).unwrap_or_default())
    }

    fn problem_text(&self) -> &'static str {
        match self.accepted_results.len() {
            1 => "something is not as if the message had been processed once:",
            _ => "something is not as if one message had been processed after the other, in either order:",
        }
    }
}
