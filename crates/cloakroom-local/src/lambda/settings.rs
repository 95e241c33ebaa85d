//! How a function is configured, and its trigger.

/// A function, and how its trigger makes batches.
///
/// ```
/// let settings = cloakroom_local::FunctionSettings { batch_size: 100, batch_window_s: 1, ..Default::default() };
/// assert_eq!(settings.timeout_s, 3);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionSettings {
    /// Its name, as in its ARN.
    pub name: String,
    /// How long one invocation may take, in seconds: 1 to 900. Default: 3.
    pub timeout_s: u64,
    /// How many messages an invocation gets at most: 1 to 10, with a window up to 10,000. Default: 10.
    pub batch_size: usize,
    /// How long messages are collected for an invocation, in seconds: 0 to 300; on FIFO queues 0. Default: 0. The queue's
    /// visibility timeout should exceed this and the function's timeout together, or what is collected first comes again.
    pub batch_window_s: u64,
    /// Whether the function reports which messages of a batch failed (`ReportBatchItemFailures`). If not, its answers
    /// count for all messages. Default: yes, other than in AWS.
    pub reports_failures: bool,
}

impl Default for FunctionSettings {
    fn default() -> Self {
        Self { name: "function".to_owned(), timeout_s: 3, batch_size: 10, batch_window_s: 0, reports_failures: true }
    }
}

impl FunctionSettings {
    /// Whether AWS would take them for this queue; if not, why.
    pub(super) fn validate(&self, queue: &str) -> Result<(), String> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(is_plain) {
            return Err(format!("its name `{}` must be 1 to 64 letters, digits and `-_`", self.name));
        }
        within("timeout_s", self.timeout_s, 1, 900)?;
        let is_fifo = queue.ends_with(".fifo");
        within("batch_window_s", self.batch_window_s, 0, if is_fifo { 0 } else { 300 })?;
        let most = if self.batch_window_s > 0 { 10_000 } else { 10 };
        within("batch_size", self.batch_size as u64, 1, most)
    }
}

fn within(field: &str, value: u64, least: u64, most: u64) -> Result<(), String> {
    if (least..=most).contains(&value) {
        return Ok(());
    }
    Err(format!("`{field}` is {value}; for this queue it must be from {least} to {most}"))
}
