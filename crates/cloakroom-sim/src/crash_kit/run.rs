//! One run: a fresh world, earlier messages, and deliveries of the messages under test that go on step by step, with
//! whatever the plan does to them. A step is a call of a port, or the death of a process.

use std::{
    collections::VecDeque,
    sync::{Arc, atomic::Ordering},
};

use cloakroom::{Delivery, Endpoint, Outcome, engine::NotFinished};

use super::{
    CrashKit,
    gate::{Gate, Line, Way},
    picture::Picture,
    plan::{Choice, Plan, Twist},
    report::FindingKind,
    worker::{Is, Worker},
    world::{DeadLetter, Trouble, Variant, World, waits},
};
use crate::wire::Call;

/// What a run that came to its end has shown.
#[derive(Debug)]
pub(super) struct Shown {
    /// When every message was acknowledged.
    pub(super) picture: Picture,
    /// After a late duplicate of each. It would mend what is left behind, so one picture cannot be in the place of both.
    pub(super) late: Picture,
    pub(super) choices: Vec<Choice>,
    /// How each message ended, as whoever acknowledged it was told.
    pub(super) outcomes: Vec<Outcome>,
}

pub(super) struct Run<'a> {
    pub(super) world: World<'a>,
    letters: Vec<&'a DeadLetter>,
    deliveries: Vec<Delivery>,
    outcomes: Vec<Option<Outcome>>,
    /// How many messages had ended when each was delivered last.
    delivered: Vec<usize>,
    /// Of each message whose handler has deferred it: how many messages had ended when it was delivered.
    deferred: Vec<Option<usize>>,
    /// The first one has the turn.
    alive: VecDeque<Worker>,
    /// A process that is free.
    idle: Option<(Endpoint, Arc<Gate>)>,
    workers: usize,
    receives_max: u32,
    last_error: String,
}

/// Deliveries of one message after which it should be finished, beyond those that its handler may ask for.
const REDELIVERIES_MAX: u32 = 8;

impl<'a> Run<'a> {
    pub(super) fn new(
        kit: &'a CrashKit,
        variant: Variant,
        letters: &[&'a DeadLetter],
        seed: u64,
        is_traced: bool,
    ) -> Result<Self, Trouble> {
        let world = World::new(kit, variant, seed, is_traced);
        let numbered = letters.iter().zip(1..);
        let deliveries = numbered.map(|(letter, number)| world.delivery(letter, format!("message-{number}")));
        Ok(Self {
            deliveries: deliveries.collect::<Result<_, _>>()?,
            world,
            letters: letters.to_vec(),
            outcomes: vec![None; letters.len()],
            delivered: vec![0; letters.len()],
            deferred: vec![None; letters.len()],
            alive: VecDeque::new(),
            idle: None,
            workers: 0,
            receives_max: kit.settings.attempts_max.saturating_add(REDELIVERIES_MAX),
            last_error: String::new(),
        })
    }

    /// What can be observed before any of the messages under test was delivered.
    pub(super) fn before(&self) -> Result<Picture, Trouble> {
        self.world.process_given()?;
        Ok(self.picture())
    }

    /// Plays: deliveries of these messages at the same time, each alone or several in one batch, then redeliveries until every
    /// message is acknowledged, then a duplicate of each that comes when all is over.
    pub(super) fn play(&mut self, plan: &Plan, deliveries: &[&[usize]]) -> Result<Shown, Trouble> {
        self.world.process_given()?;
        self.world.hall.forget();
        for messages in deliveries {
            self.deliver(messages)?;
        }
        let together = deliveries.iter().map(|messages| messages.len()).max().unwrap_or(1);
        let mut choices = Vec::new();
        loop {
            self.world.hall.step.store(choices.len(), Ordering::Relaxed);
            self.world.hall.arrive(choices.len());
            let Some(front) = self.alive.front() else {
                let left: Vec<usize> = self.left().take(together).collect();
                if left.is_empty() {
                    break;
                }
                self.deliver(&left)?;
                continue;
            };
            let Some(call) = front.gate.next() else { return Err(waits(&self.letters_of(&front.messages))) };
            if choices.len() >= STEPS_MAX {
                return Err(self.never_finished(front.messages[0]));
            }
            let step = choices.len();
            choices.push(Choice { operation: call.operation, has_other: self.alive.len() > 1 });
            match plan.at(step) {
                None => self.go_on(Way::Through)?,
                Some(Twist::Call(way)) => self.go_on(way)?,
                Some(Twist::Stop) => self.stop(call),
                Some(Twist::Switch) => {
                    self.alive.rotate_left(1);
                    self.go_on(Way::Through)?;
                }
            }
        }
        self.world.hall.arrive(usize::MAX);
        self.outcomes.iter_mut().for_each(|outcome| *outcome = outcome.or(Some(Outcome::Deferred)));
        let picture = self.picture();
        self.deliver_when_all_is_over()?;
        let outcomes = self.outcomes.iter().flatten().copied().collect();
        Ok(Shown { picture, late: self.picture(), choices, outcomes })
    }

    /// The messages that are to be delivered again: all that have not ended, but for those that were deferred and for which nothing
    /// has changed since.
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

    /// A delivery, to a process that is free or to a new one. It goes as far as its first call.
    fn deliver(&mut self, messages: &[usize]) -> Result<(), Trouble> {
        for message in messages {
            self.delivered[*message] = self.ended();
            let delivery = &mut self.deliveries[*message];
            delivery.receive_count += 1;
            if delivery.receive_count > self.receives_max {
                return Err(self.never_finished(*message));
            }
            let (worker, kind, receive_count) = (self.workers, self.letters[*message].kind, delivery.receive_count);
            self.world.hall.note(|| Line::Received { worker, kind, receive_count });
        }
        let deliveries = messages.iter().map(|message| self.deliveries[*message].clone()).collect();
        let (endpoint, gate) = match self.idle.take() {
            Some(idle) => idle,
            None => self.world.endpoint(false)?,
        };
        gate.worker.store(self.workers, Ordering::Relaxed);
        self.workers += 1;
        self.alive.push_front(Worker::new(messages.to_vec(), endpoint, gate, deliveries));
        self.settle()?;
        // Who came first has the first turn.
        self.alive.rotate_left(usize::from(!self.alive.is_empty()));
        Ok(())
    }

    fn go_on(&mut self, way: Way) -> Result<(), Trouble> {
        if let Some(front) = self.alive.front() {
            front.gate.open(way);
        }
        self.settle()
    }

    /// Lets whoever has the turn go as far as the next call.
    fn settle(&mut self) -> Result<(), Trouble> {
        let Some(front) = self.alive.front_mut() else { return Ok(()) };
        let is = front.go_on();
        let letters = self.letters_of(&self.alive[0].messages);
        self.world.nothing_strange(&letters)?;
        match is {
            Is::AtGate => Ok(()),
            Is::Stuck => Err(waits(&letters)),
            Is::Ended(results) => {
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
                    "its handler defers the message, which comes again".to_owned()
                }
                Ok(outcome) => {
                    self.outcomes[*message].get_or_insert(*outcome);
                    format!("{outcome:?}, and acknowledges the message")
                }
                Err(error) => {
                    self.last_error = error.to_string();
                    format!("{error}; the message goes back to its queue")
                }
            };
            self.world.hall.note(|| Line::Ended { worker: worker.gate.worker.load(Ordering::Relaxed), how });
        }
        self.idle = Some((worker.endpoint, worker.gate));
    }

    fn stop(&mut self, call: Call) {
        if let Some(worker) = self.alive.pop_front() {
            let number = worker.gate.worker.load(Ordering::Relaxed);
            self.world.hall.note(|| Line::Stopped { worker: number, before: call });
        }
    }

    fn deliver_when_all_is_over(&self) -> Result<(), Trouble> {
        let (endpoint, gate) = self.world.endpoint(true)?;
        gate.worker.store(self.workers, Ordering::Relaxed);
        self.world.hall.note(|| Line::AllIsOver);
        for (message, letter) in self.letters.iter().enumerate() {
            let earlier = &self.deliveries[message];
            let delivery = Delivery { receive_count: earlier.receive_count + 1, ..earlier.clone() };
            let is = Worker::new(vec![message], endpoint.clone(), Arc::clone(&gate), vec![delivery]).go_on();
            self.world.nothing_strange(&[letter])?;
            match is {
                Is::Ended(_) => {}
                Is::AtGate | Is::Stuck => return Err(waits(&[letter])),
            }
        }
        Ok(())
    }

    fn letters_of(&self, messages: &[usize]) -> Vec<&'a DeadLetter> {
        messages.iter().map(|message| self.letters[*message]).collect()
    }

    fn never_finished(&self, message: usize) -> Trouble {
        let kind = self.letters[message].kind;
        let text =
            format!("`{kind}` is not finished, however often it is delivered. The last error: {}", self.last_error);
        Trouble::new(FindingKind::NeverFinished, text)
    }

    fn picture(&self) -> Picture {
        let messages: Vec<_> = self.letters.iter().copied().zip(&self.deliveries).collect();
        self.world.picture(&messages)
    }
}

/// More than any message takes, whatever happens to it.
const STEPS_MAX: usize = 10_000;
