//! What a diagnosis found.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;

use crate::admin::diagnosis::{Problem, problem::Severity};

/// One thing that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What it is, as a text that stays the same: `table-missing`.
    #[serde(rename = "id")]
    pub problem: Problem,
    /// How bad it is; a note, if it was accepted.
    pub severity: Severity,
    /// What it is about: ``table `orders` ``.
    pub on: String,
    /// What is wrong, and why it matters.
    pub text: String,
    /// What to do, as a command where there is one.
    pub fix: String,
}

impl Finding {
    /// A finding as bad as its problem is.
    pub fn new(problem: Problem, on: impl Into<String>, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { problem, severity: problem.severity(), on: on.into(), text: text.into(), fix: fix.into() }
    }
}

/// All that was found, in the order of table, bucket and queues. Displays for people, grouped by what it is about.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// The findings; none if everything is as it should be.
    pub findings: Vec<Finding>,
}

impl Findings {
    /// Orders what was found, and tells everything once.
    pub(super) fn new(found: Vec<Finding>, accepted: &BTreeSet<Problem>) -> Self {
        let mut findings: Vec<Finding> = Vec::new();
        for mut one in found {
            let is_known = |known: &Finding| (known.problem, &known.on, &known.fix) == (one.problem, &one.on, &one.fix);
            if findings.iter().any(is_known) {
                continue;
            }
            if accepted.contains(&one.problem) {
                one.severity = Severity::Note;
            }
            findings.push(one);
        }
        Self { findings }
    }

    /// How many are as bad as that.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Whether there are no errors and no warnings.
    pub fn is_healthy(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Note)
    }

    /// What the findings are about, each once, in their order.
    fn subjects(&self) -> Vec<&str> {
        let mut subjects: Vec<&str> = Vec::new();
        for finding in &self.findings {
            if !subjects.contains(&finding.on.as_str()) {
                subjects.push(&finding.on);
            }
        }
        subjects
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for subject in self.subjects() {
            writeln!(f, "{subject}")?;
            let mut about: Vec<_> = self.findings.iter().filter(|finding| finding.on == subject).collect();
            about.sort_by_key(|finding| finding.severity);
            for Finding { problem, severity, text, fix, .. } in about {
                writeln!(f, "  {severity}: {text} [{problem}]\n    fix: {fix}")?;
            }
        }
        let [errors, warnings, notes] =
            [Severity::Error, Severity::Warning, Severity::Note].map(|severity| self.count(severity));
        match errors + warnings + notes {
            0 => f.write_str("nothing is amiss"),
            _ => write!(f, "errors: {errors}, warnings: {warnings}, notes: {notes}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(problem: Problem, on: &str) -> Finding {
        Finding::new(problem, on, format!("it is {problem}"), "mend it")
    }

    #[test]
    fn everything_is_told_once_grouped_and_worst_first() {
        let found = [
            finding(Problem::TableRecoveryOff, "table"),
            finding(Problem::BucketPublic, "bucket"),
            finding(Problem::TableKeys, "table"),
            finding(Problem::TableKeys, "table"),
        ];
        let findings = Findings::new(found.into(), &BTreeSet::from([Problem::BucketPublic]));
        assert_eq!(
            findings.to_string().lines().collect::<Vec<_>>(),
            [
                "table",
                "  error: it is table-keys [table-keys]",
                "    fix: mend it",
                "  warning: it is table-recovery-off [table-recovery-off]",
                "    fix: mend it",
                "bucket",
                "  note: it is bucket-public [bucket-public]",
                "    fix: mend it",
                "errors: 1, warnings: 1, notes: 1",
            ]
        );
        assert!(!findings.is_healthy());
        assert!(Findings::new(vec![finding(Problem::BucketPublic, "b")], &[Problem::BucketPublic].into()).is_healthy());
    }
}
