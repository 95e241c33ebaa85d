//! Moving messages out of a dead-letter queue: `StartMessageMoveTask`, `ListMessageMoveTasks` and
//! `CancelMessageMoveTask`.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

use crate::clock::Millis;
use crate::identifier;
use crate::sqs::address::name_in_arn;
use crate::sqs::error::{Error, Kind};
use crate::sqs::message::{Content, Delivery, Message};
use crate::sqs::move_task::{MoveTask, Status};
use crate::sqs::parameters::within;
use crate::sqs::queues::Queues;
use crate::sqs::service::{Answer, Sqs};

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Start {
    source_arn: String,
    destination_arn: Option<String>,
    max_number_of_messages_per_second: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct List {
    source_arn: String,
    max_results: Option<i64>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Cancel {
    task_handle: String,
}

impl Sqs {
    pub(super) fn start_message_move_task(&self, start: Start) -> Result<Answer, Error> {
        let handle = self.change(|queues, now| queues.start_task(start, now))?;
        self.run_move_task(handle.clone());
        Ok(Answer::new(&json!({ "TaskHandle": handle })))
    }

    pub(super) fn list_message_move_tasks(&self, list: &List) -> Result<Answer, Error> {
        self.change(|queues, _| {
            let source = name_in_arn(&list.source_arn).filter(|n| queues.by_name.contains_key(*n));
            source.ok_or_else(|| missing(&list.source_arn))?;
            let tasks = queues.tasks.iter().rev();
            let tasks = tasks.filter(|task| task.source_arn == list.source_arn);
            let max = within("MaxResults", list.max_results, 1, 10)?.unwrap_or(1);
            let max = usize::try_from(max).unwrap_or(1);
            let results: Vec<_> = tasks.take(max).map(MoveTask::to_json).collect();
            Ok(Answer::new(&json!({ "Results": results })))
        })
    }

    pub(super) fn cancel_message_move_task(&self, cancel: &Cancel) -> Result<Answer, Error> {
        self.change(|queues, _| {
            let mut tasks = queues.tasks.iter_mut();
            let task = tasks
                .find(|task| task.handle == cancel.task_handle && task.status == Status::Running)
                .ok_or_else(|| Kind::ResourceNotFound.because("There is no running task with this handle."))?;
            task.end(Status::Cancelled);
            let moved = task.moved;
            Ok(Answer::new(&json!({ "ApproximateNumberOfMessagesMoved": moved })))
        })
    }

    /// Resumes the tasks that were running when the process ended.
    pub(super) fn resume_move_tasks(&self) {
        let running: Vec<String> = self.change(|queues, _| {
            let tasks = queues.tasks.iter();
            let running = tasks.filter(|task| task.status == Status::Running);
            running.map(|task| task.handle.clone()).collect()
        });
        running.into_iter().for_each(|handle| self.run_move_task(handle));
    }

    fn run_move_task(&self, handle: String) {
        let sqs = self.clone();
        let mut stop = self.stop.clone();
        tokio::spawn(async move {
            while sqs.change(|queues, now| queues.continue_task(&handle, now)) {
                tokio::select! {
                    () = tokio::time::sleep(Duration::from_secs(1)) => {}
                    _ = stop.changed() => return,
                }
            }
        });
    }
}

fn missing(arn: &str) -> Error {
    Kind::ResourceNotFound.because(format!("The resource that you specified doesn't exist: {arn}."))
}

impl Queues {
    pub(super) fn start_task(&mut self, start: Start, now: Millis) -> Result<String, Error> {
        let exists = |arn: &str| name_in_arn(arn).is_some_and(|n| self.by_name.contains_key(n));
        for arn in std::iter::once(&start.source_arn).chain(&start.destination_arn) {
            if !exists(arn) {
                return Err(missing(arn));
            }
        }
        let source = name_in_arn(&start.source_arn).unwrap_or_default().to_owned();
        if self.sources_of(&source).is_empty() {
            return Err(
                Kind::InvalidParameterValue.because("Source queue must be configured as a Dead DeadLetter Queue.")
            );
        }
        let mut tasks = self.tasks.iter();
        if tasks.any(|t| t.source_arn == start.source_arn && t.status == Status::Running) {
            return Err(Kind::UnsupportedOperation.because(
                "There is already a task running. Only one active task is allowed for a source \
                 queue arn at a given time.",
            ));
        }
        let destination = start.destination_arn.as_deref().and_then(name_in_arn);
        if destination.is_some_and(|name| name.ends_with(".fifo") != source.ends_with(".fifo")) {
            let why = "Destination queue must be of the same type as the source queue.";
            return Err(Kind::InvalidParameterValue.because(why));
        }
        let most_per_second = within("MaxNumberOfMessagesPerSecond", start.max_number_of_messages_per_second, 1, 500)?;
        let handle = identifier::unique();
        let to_move = self.get(&source)?.counts().ready;
        self.tasks.push(MoveTask {
            handle: handle.clone(),
            started_at: now,
            source_arn: start.source_arn,
            destination_arn: start.destination_arn,
            most_per_second: most_per_second.and_then(|max| usize::try_from(max).ok()),
            status: Status::Running,
            moved: 0,
            to_move,
            failure: None,
            changed: true,
        });
        Ok(handle)
    }

    /// Moves the messages of this second, and returns whether there are more to move.
    pub(super) fn continue_task(&mut self, handle: &str, now: Millis) -> bool {
        let Some(index) = self.tasks.iter().position(|task| task.handle == handle) else {
            return false;
        };
        let mut task = self.tasks[index].clone();
        if task.status == Status::Running {
            match self.move_some(&mut task, now) {
                Ok(true) => task.end(Status::Completed),
                Ok(false) => task.changed = true,
                Err(failure) => {
                    task.failure = Some(failure);
                    task.end(Status::Failed);
                }
            }
        }
        let running = task.status == Status::Running;
        self.tasks[index] = task;
        running
    }

    /// Moves messages, and returns whether none is left.
    fn move_some(&mut self, task: &mut MoveTask, now: Millis) -> Result<bool, String> {
        let gone = |queue: &str| format!("the queue {queue} no longer exists");
        let source = name_in_arn(&task.source_arn).unwrap_or_default();
        let max = task.most_per_second.unwrap_or(usize::MAX);
        let queue = self.by_name.get_mut(source).ok_or_else(|| gone(source))?;
        queue.advance(now);
        for moved in 0..max {
            let queue = self.by_name.get_mut(source).ok_or_else(|| gone(source))?;
            let Some(message) = queue.remove_next() else {
                return Ok(true);
            };
            let origin = task.destination_arn.as_ref();
            let origin = origin.or(message.content.dead_letter_source.as_ref());
            let target = origin.and_then(|arn| name_in_arn(arn)).map(str::to_owned);
            let target = target.filter(|target| self.by_name.contains_key(target));
            let target = target.as_deref().unwrap_or(source);
            let is_unmoved = target == source;
            self.add_moved(target, message, is_unmoved, now);
            if is_unmoved {
                return Err("CouldNotDetermineMessageSource".into());
            }
            task.moved += 1;
            tracing::trace!(moved, target, "moved a message");
        }
        Ok(false)
    }

    /// Adds a removed message to `target` as a new message or, if `is_unmoved`, unchanged.
    fn add_moved(&mut self, target: &str, message: Message, is_unmoved: bool, now: Millis) {
        let Some(queue) = self.by_name.get_mut(target) else {
            return;
        };
        if is_unmoved {
            queue.add(now, message.content, 0, message.delivery);
            return;
        }
        let content = Content {
            id: identifier::unique(),
            sent_at: now,
            dead_letter_source: None,
            ..Arc::unwrap_or_clone(message.content)
        };
        queue.add(now, Arc::new(content), 0, Delivery::default());
    }
}
