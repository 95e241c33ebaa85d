//! One run: a new world, earlier messages, and deliveries of the messages under test. They continue
//! step by step, and the plan disturbs them. A step is a call of a port, or the stop of a process.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

use cloakroom::{Delivery, Endpoint, Outcome, engine::NotFinished};

use crate::{
    crash_kit::{
        events::{CallOutcome, RunEvent},
        gate::Gate,
        kit_message::KitMessage,
        plan::{Choice, Disturbance, Plan},
        report::FindingKind,
        setup::Setup,
        snapshot::Snapshot,
        worker::{CrashWorker, WorkerState},
        world::{CrashWorld, RunFailure, Variant, waits},
    },
    wire::Call,
};

/// The result of a run that ended.
#[derive(Debug)]
pub(super) struct RunResult {
    /// The snapshot when every message was acknowledged.
    pub(super) snapshot: Snapshot,
    /// The snapshot after a late duplicate of each message. A late duplicate may repair what the
    /// run left, so both snapshots are compared.
    pub(super) late: Snapshot,
    pub(super) choices: Vec<Choice>,
    /// The outcome of each message that was reported to the worker that acknowledged it.
    pub(super) outcomes: Vec<Outcome>,
}

pub(super) struct CrashRun<'a> {
    pub(super) world: CrashWorld<'a>,
    kit_messages: Vec<&'a KitMessage>,
    deliveries: Vec<Delivery>,
    outcomes: Vec<Option<Outcome>>,
    /// For each message: how many messages had ended when it was last delivered.
    delivered: Vec<usize>,
    /// For each message that was deferred: how many messages had ended when it was delivered.
    deferred: Vec<Option<usize>>,
    /// The workers that are running. The first one continues next.
    alive: VecDeque<CrashWorker>,
    /// A process without a delivery.
    idle: Option<(Endpoint, Arc<Gate>)>,
    workers: usize,
    receives_max: u32,
    last_error: String,
}

/// How many deliveries of one message may be needed beyond those that its handler may ask for.
const REDELIVERIES_MAX: u32 = 8;

impl<'a> CrashRun<'a> {
    pub(super) fn new(
        setup: &'a Setup,
        variant: Variant,
        kit_messages: &[&'a KitMessage],
        seed: u64,
        is_traced: bool,
    ) -> Result<Self, RunFailure> {
        let world = CrashWorld::new(setup, variant, seed, is_traced);
        let numbered = kit_messages.iter().zip(1..);
        let deliveries = numbered.map(|(kit_message, number)| world.delivery(kit_message, format!("message-{number}")));
        Ok(Self {
            deliveries: deliveries.collect::<Result<_, _>>()?,
            world,
            kit_messages: kit_messages.to_vec(),
            outcomes: vec![None; kit_messages.len()],
            delivered: vec![0; kit_messages.len()],
            deferred: vec![None; kit_messages.len()],
            alive: VecDeque::new(),
            idle: None,
            workers: 0,
            receives_max: setup.settings.attempts_max.saturating_add(REDELIVERIES_MAX),
            last_error: String::new(),
        })
    }

    /// Returns the snapshot before any of the messages under test was delivered.
    pub(super) fn before(&self) -> Result<Snapshot, RunFailure> {
        self.world.process_given()?;
        Ok(self.snapshot())
    }

    /// Makes the run: delivers these messages at the same time, each alone or several in one batch.
    /// Then redelivers until every message is acknowledged. Then delivers a late duplicate of each.
    pub(super) fn play(&mut self, plan: &Plan, deliveries: &[&[usize]]) -> Result<RunResult, RunFailure> {
        self.world.process_given()?;
        self.world.shared.forget();
        for messages in deliveries {
            self.deliver(messages)?;
        }
        let batch_max = deliveries.iter().map(|messages| messages.len()).max().unwrap_or(1);
        let mut choices = Vec::new();
        loop {
            self.world.shared.step.store(choices.len(), Ordering::Relaxed);
            self.world.shared.apply_late_calls(choices.len());
            let Some(front) = self.alive.front() else {
                let left: Vec<usize> = self.left().take(batch_max).collect();
                if left.is_empty() {
                    break;
                }
                self.deliver(&left)?;
                continue;
            };
            let Some(call) = front.gate.next() else { return Err(waits(&self.kit_messages_of(&front.messages))) };
            if choices.len() >= STEPS_MAX {
                return Err(self.never_finished(front.messages[0]));
            }
            let step = choices.len();
            choices.push(Choice { operation: call.operation, has_other: self.alive.len() > 1 });
            match plan.at(step) {
                None => self.advance(CallOutcome::Answered)?,
                Some(Disturbance::Call(call_outcome)) => self.advance(call_outcome)?,
                Some(Disturbance::Stop) => self.stop(call),
                Some(Disturbance::Switch) => {
                    self.alive.rotate_left(1);
                    self.advance(CallOutcome::Answered)?;
                }
            }
        }
        self.world.shared.apply_late_calls(usize::MAX);
        self.outcomes.iter_mut().for_each(|outcome| *outcome = outcome.or(Some(Outcome::Deferred)));
        let snapshot = self.snapshot();
        self.deliver_late_duplicates()?;
        let outcomes = self.outcomes.iter().flatten().copied().collect();
        Ok(RunResult { snapshot, late: self.snapshot(), choices, outcomes })
    }

    /// The messages to deliver again: those that have not ended, except deferred ones for which
    /// nothing has changed since.
    fn left(&self) -> impl Iterator<Item = usize> {
        let ended = self.ended();
        let is_left =
            move |message: &usize| self.outcomes[*message].is_none() && self.deferred[*message] != Some(ended);
        (0..self.outcomes.len()).filter(is_left)
    }

    /// How many messages have ended.
    fn ended(&self) -> usize {
        self.outcomes.iter().flatten().count()
    }

    /// Delivers messages to an idle process or to a new one, up to its first call.
    fn deliver(&mut self, messages: &[usize]) -> Result<(), RunFailure> {
        for message in messages {
            self.delivered[*message] = self.ended();
            let delivery = &mut self.deliveries[*message];
            delivery.receive_count += 1;
            if delivery.receive_count > self.receives_max {
                return Err(self.never_finished(*message));
            }
            let (worker, kind, receive_count) =
                (self.workers, self.kit_messages[*message].kind, delivery.receive_count);
            self.world.shared.note(|| RunEvent::Received { worker, kind, receive_count });
        }
        let deliveries = messages.iter().map(|message| self.deliveries[*message].clone()).collect();
        let (endpoint, gate) = match self.idle.take() {
            Some(idle) => idle,
            None => self.world.endpoint(false)?,
        };
        gate.worker.store(self.workers, Ordering::Relaxed);
        self.workers += 1;
        self.alive.push_front(CrashWorker::new(messages.to_vec(), endpoint, gate, deliveries));
        self.run_to_next_call()?;
        // The worker that came first continues first.
        self.alive.rotate_left(usize::from(!self.alive.is_empty()));
        Ok(())
    }

    fn advance(&mut self, call_outcome: CallOutcome) -> Result<(), RunFailure> {
        if let Some(front) = self.alive.front() {
            front.gate.open(call_outcome);
        }
        self.run_to_next_call()
    }

    /// Runs the current worker up to its next call.
    fn run_to_next_call(&mut self) -> Result<(), RunFailure> {
        let Some(front) = self.alive.front_mut() else { return Ok(()) };
        let state = front.advance();
        let kit_messages = self.kit_messages_of(&self.alive[0].messages);
        self.world.check_port_calls(&kit_messages)?;
        match state {
            WorkerState::AtGate => Ok(()),
            WorkerState::Stuck => Err(waits(&kit_messages)),
            WorkerState::Ended(results) => {
                self.end(&results);
                Ok(())
            }
        }
    }

    fn end(&mut self, results: &[Result<Outcome, NotFinished>]) {
        let Some(worker) = self.alive.pop_front() else { return };
        for (message, result) in worker.messages.iter().zip(results) {
            let how = match result {
                Ok(Outcome::Deferred) => {
                    self.deferred[*message] = Some(self.delivered[*message]);
                    "its handler defers the message, which is delivered again".to_owned()
                }
                Ok(outcome) => {
                    self.outcomes[*message].get_or_insert(*outcome);
                    format!("{outcome:?}, and acknowledges the message")
                }
                Err(error) => {
                    self.last_error = error.to_string();
                    format!("{error}; the message returns to its queue")
                }
            };
            self.world.shared.note(|| RunEvent::Ended { worker: worker.gate.worker.load(Ordering::Relaxed), how });
        }
        self.idle = Some((worker.endpoint, worker.gate));
    }

    fn stop(&mut self, call: Call) {
        if let Some(worker) = self.alive.pop_front() {
            let number = worker.gate.worker.load(Ordering::Relaxed);
            self.world.shared.note(|| RunEvent::Stopped { worker: number, before: call });
        }
    }

    fn deliver_late_duplicates(&self) -> Result<(), RunFailure> {
        let (endpoint, gate) = self.world.endpoint(true)?;
        gate.worker.store(self.workers, Ordering::Relaxed);
        self.world.shared.note(|| RunEvent::LateDuplicates);
        for (message, kit_message) in self.kit_messages.iter().enumerate() {
            let earlier = &self.deliveries[message];
            let delivery = Delivery { receive_count: earlier.receive_count + 1, ..earlier.clone() };
            let state = CrashWorker::new(vec![message], endpoint.clone(), Arc::clone(&gate), vec![delivery]).advance();
            self.world.check_port_calls(&[kit_message])?;
            match state {
                WorkerState::Ended(_) => {}
                WorkerState::AtGate | WorkerState::Stuck => return Err(waits(&[kit_message])),
            }
        }
        Ok(())
    }

    fn kit_messages_of(&self, messages: &[usize]) -> Vec<&'a KitMessage> {
        messages.iter().map(|message| self.kit_messages[*message]).collect()
    }

    fn never_finished(&self, message: usize) -> RunFailure {
        let kind = self.kit_messages[message].kind;
        let text =
            format!("`{kind}` is not finished, however often it is delivered. The last error: {}", self.last_error);
        RunFailure::new(FindingKind::NeverFinished, text)
    }

    fn snapshot(&self) -> Snapshot {
        let messages: Vec<_> = self.kit_messages.iter().copied().zip(&self.deliveries).collect();
        self.world.snapshot(&messages)
    }
}

/// More steps than any message takes, however it is disturbed.
const STEPS_MAX: usize = 10_000;
