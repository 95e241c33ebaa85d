//! The result of a diagnosis.

use std::{collections::BTreeSet, fmt};

use serde::Serialize;

use crate::admin::diagnosis::{Problem, problem::Severity};

/// One problem that the diagnosis found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The problem. Serialized as its stable id, such as `table-missing`.
    #[serde(rename = "id")]
    pub problem: Problem,
    /// The severity: that of the problem, or a note if the problem is accepted.
    pub severity: Severity,
    /// The table, bucket, queue or other subject that has the problem, such as ``table `orders` ``.
    pub on: String,
    /// What is wrong, and why it matters.
    pub text: String,
    /// What to do, as a command if there is one.
    pub fix: String,
}

impl Finding {
    /// Creates a finding with the severity of its problem.
    pub fn new(problem: Problem, on: impl Into<String>, text: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { problem, severity: problem.severity(), on: on.into(), text: text.into(), fix: fix.into() }
    }
}

/// All findings, in the order of table, bucket and queues. `Display` groups them by subject, for
/// people.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Findings {
    /// The findings. Empty if there is no problem.
    pub findings: Vec<Finding>,
}

impl Findings {
    /// Removes duplicate findings, and makes those of accepted problems notes. Keeps the order.
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

    /// Returns the number of findings of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Returns whether there are no errors and no warnings.
    pub fn is_healthy(&self) -> bool {
        self.findings.iter().all(|finding| finding.severity == Severity::Note)
    }

    /// Returns the subjects of the findings, each once, in their order.
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
            0 => f.write_str("no problems found"),
            _ => write!(f, "errors: {errors}, warnings: {warnings}, notes: {notes}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(problem: Problem, on: &str) -> Finding {
        Finding::new(problem, on, format!("it is {problem}"), "fix it")
    }

    #[test]
    fn findings_are_displayed_once_by_subject_and_severity() {
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
                "    fix: fix it",
                "  warning: it is table-recovery-off [table-recovery-off]",
                "    fix: fix it",
                "bucket",
                "  note: it is bucket-public [bucket-public]",
                "    fix: fix it",
                "errors: 1, warnings: 1, notes: 1",
            ]
        );
        assert!(!findings.is_healthy());
        assert!(Findings::new(vec![finding(Problem::BucketPublic, "b")], &[Problem::BucketPublic].into()).is_healthy());
    }
}
