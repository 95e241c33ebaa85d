//! The settings of a function and its trigger.

/// The settings of a function, and of the batches of its trigger.
///
/// ```
/// let settings = cloakroom_local::FunctionSettings { batch_size: 100, batch_window_s: 1, ..Default::default() };
/// assert_eq!(settings.timeout_s, 3);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FunctionSettings {
    /// The name of the function, as in its ARN.
    pub name: String,
    /// The maximum duration of an invocation, in seconds: 1 to 900. Default: 3.
    pub timeout_s: u64,
    /// The maximum number of messages of an invocation: 1 to 10, or with a window 1 to 10,000.
    /// Default: 10.
    pub batch_size: usize,
    /// How long messages are collected for an invocation, in seconds: 0 to 300, on FIFO queues only
    /// 0. Default: 0. The queue's visibility timeout should be longer than this window and the
    /// function's timeout together. Otherwise the first messages of the window are received again.
    pub batch_window_s: u64,
    /// Whether the function reports which messages of a batch failed (`ReportBatchItemFailures`).
    /// If it does not, its response applies to all messages. Default: true; AWS's default is false.
    pub reports_failures: bool,
}

impl Default for FunctionSettings {
    fn default() -> Self {
        Self { name: "function".to_owned(), timeout_s: 3, batch_size: 10, batch_window_s: 0, reports_failures: true }
    }
}

impl FunctionSettings {
    /// Checks that AWS would accept the settings for this queue. The error is the reason.
    pub(super) fn validate(&self, queue: &str) -> Result<(), String> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        if self.name.is_empty() || self.name.len() > 64 || !self.name.chars().all(is_plain) {
            return Err(format!("the name `{}` must be 1 to 64 letters, digits, `-` and `_`", self.name));
        }
        within("timeout_s", self.timeout_s, 1, 900)?;
        let is_fifo = queue.ends_with(".fifo");
        within("batch_window_s", self.batch_window_s, 0, if is_fifo { 0 } else { 300 })?;
        let max = if self.batch_window_s > 0 { 10_000 } else { 10 };
        within("batch_size", self.batch_size as u64, 1, max)
    }
}

fn within(field: &str, value: u64, min: u64, max: u64) -> Result<(), String> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(format!("`{field}` is {value}; for this queue it must be from {min} to {max}"))
}
