//! Messages that are delivered together, in a fresh world for every plan.

use super::{
    CrashKit,
    picture::Picture,
    plan::{Plan, Search, Tried},
    report::{Difference, Finding, FindingKind},
    run::{Run, Shown},
    timeline::timeline,
    world::{DeadLetter, Trouble, Variant},
};

/// Messages that are delivered together, and what must come of it.
pub(super) struct Scene<'a> {
    pub(super) kit: &'a CrashKit,
    pub(super) variant: Variant,
    pub(super) letters: &'a [&'a DeadLetter],
    /// What may be left: when every message was acknowledged, and after the late duplicates.
    pub(super) right: Vec<(Picture, Picture)>,
    pub(super) kind: FindingKind,
}

impl Scene<'_> {
    fn name(&self) -> String {
        let kinds: Vec<_> = self.letters.iter().map(|letter| format!("`{}`", letter.kind)).collect();
        kinds.join(" and ")
    }

    pub(super) fn run(&self, seed: usize, is_traced: bool) -> Result<Run<'_>, Trouble> {
        Run::new(self.kit, self.variant, self.letters, seed as u64, is_traced)
    }

    pub(super) fn finding(&self, kind: FindingKind, text: impl Into<String>) -> Finding {
        let (message, text) = (format!("{} ({})", self.name(), self.variant), text.into());
        Finding { kind, message, text, timeline: Vec::new(), differences: Vec::new() }
    }

    /// What stopped a run.
    pub(super) fn stopped(&self, Trouble { kind, text, about }: Trouble) -> Box<Finding> {
        let finding = self.finding(kind, text);
        let message = about.map_or_else(|| finding.message.clone(), |about| format!("{about} ({})", self.variant));
        Box::new(Finding { message, ..finding })
    }

    /// Runs every plan of a search.
    pub(super) fn search(&self, search: Search, deliveries: &[&[usize]]) -> Result<Tried, Box<Finding>> {
        let mut seed = 0;
        search.each(|plan| {
            seed += 1;
            let shown = self.run(seed, false).and_then(|mut run| run.play(plan, deliveries));
            match shown {
                Ok(shown) if self.wrong(&shown).is_none() => Ok(shown.choices),
                other => Err(Box::new(self.examined(plan, deliveries, seed, other))),
            }
        })
    }

    /// Has a run that went wrong made again, to see whether it goes wrong in the same way, and how.
    fn examined(&self, plan: &Plan, deliveries: &[&[usize]], seed: usize, first: Result<Shown, Trouble>) -> Finding {
        let again = self.run(seed, true).map(|mut run| {
            let shown = run.play(plan, deliveries);
            (shown, timeline(&run.world.hall.lines()))
        });
        let (again, timeline) = match again {
            Ok(again) => again,
            Err(trouble) => return *self.stopped(trouble),
        };
        match (first, again) {
            (Ok(first), Ok(again)) if [&first.picture, &first.late] == [&again.picture, &again.late] => Finding {
                timeline,
                differences: self.wrong(&first).unwrap_or_default(),
                ..self.finding(self.kind, self.what_is_wrong())
            },
            (Ok(first), Ok(again)) => Finding {
                differences: again.late.differences(&first.late),
                ..self.finding(FindingKind::DependsOnOutside, "the same disturbance, made twice, ends differently")
            },
            (Err(trouble), _) | (_, Err(trouble)) => Finding { timeline, ..*self.stopped(trouble) },
        }
    }

    /// In what a run differs from the right one that is most alike. None if it is as right as any.
    fn wrong(&self, shown: &Shown) -> Option<Vec<Difference>> {
        let differences = |(picture, late): &(Picture, Picture)| match shown.picture == *picture {
            true => (false, shown.late.differences(late)),
            false => (true, shown.picture.differences(picture)),
        };
        let is_right = self.right.iter().any(|(picture, late)| [picture, late] == [&shown.picture, &shown.late]);
        // One that differs only after the duplicates is more alike than any other.
        let all = self.right.iter().map(differences).min_by_key(|(is_early, all)| (*is_early, all.len()));
        (!is_right).then(|| all.map(|(_, all)| all).unwrap_or_default())
    }

    fn what_is_wrong(&self) -> &'static str {
        match self.right.len() {
            1 => "something is not as if the message had been processed once:",
            _ => "something is not as if one message had been processed after the other, in either order:",
        }
    }
}
