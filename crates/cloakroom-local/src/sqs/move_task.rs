//! A task that moves messages out of a dead-letter queue.

use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::clock::Millis;

/// A task that moves messages from a dead-letter queue to their source queues or to another queue.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct MoveTask {
    pub(super) handle: String,
    pub(super) started_at: Millis,
    pub(super) source_arn: String,
    pub(super) destination_arn: Option<String>,
    pub(super) most_per_second: Option<usize>,
    pub(super) status: Status,
    pub(super) moved: usize,
    pub(super) to_move: usize,
    pub(super) failure: Option<String>,
    /// Whether the journal does not contain the latest change.
    #[serde(skip)]
    pub(super) changed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum Status {
    Running,
    Completed,
    Cancelled,
    Failed,
}

impl MoveTask {
    pub(super) fn end(&mut self, status: Status) {
        self.status = status;
        self.changed = true;
    }

    pub(super) fn to_json(&self) -> serde_json::Value {
        // Only a running task can be cancelled, so only a running task shows its handle.
        let handle = (self.status == Status::Running).then_some(&self.handle);
        let mut shown = json!({
            "Status": self.status,
            "SourceArn": self.source_arn,
            "StartedTimestamp": self.started_at,
            "ApproximateNumberOfMessagesMoved": self.moved,
            "ApproximateNumberOfMessagesToMove": self.to_move,
        });
        let optional = [
            ("TaskHandle", handle.map(|handle| json!(handle))),
            ("DestinationArn", self.destination_arn.as_ref().map(|arn| json!(arn))),
            ("MaxNumberOfMessagesPerSecond", self.most_per_second.map(|max| json!(max))),
            ("FailureReason", self.failure.as_ref().map(|why| json!(why))),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                shown[name] = value;
            }
        }
        shown
    }
}
