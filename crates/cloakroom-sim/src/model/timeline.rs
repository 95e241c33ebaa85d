//! A path through the model, for people.

use std::fmt::{self, Write as _};

use super::{Action, Model, work::How, world::World};

/// How a state was reached, step by step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Timeline {
    /// Which invariant does not hold at its end.
    pub violated: &'static str,
    lines: Vec<String>,
}

impl Timeline {
    /// Follows actions from the beginning, and gives names to the workers.
    pub(super) fn new(model: &Model, violated: &'static str, actions: Vec<Action>) -> Self {
        let mut world = World::new(&model.scenario);
        let mut names: Vec<String> = Vec::new();
        let mut born = 0;
        let mut lines = Vec::new();
        for action in actions {
            let name = |message: u8| model.scenario.messages[usize::from(message)].name;
            let mut line = String::new();
            // Writing to a string cannot fail.
            let _ = match action {
                Action::Deliver { message, copy, .. } | Action::Finish { message, copy } => {
                    born += 1;
                    names.push(format!("worker {born}"));
                    let takes = if matches!(action, Action::Finish { .. }) { "finishes" } else { "receives" };
                    write!(line, "worker {born} {takes} {} (copy {copy})", name(message))
                }
                Action::Work { worker, how } => {
                    let one = &world.workers[worker];
                    let how = if how == How::Well { String::new() } else { format!(" [{how:?}]") };
                    write!(line, "{} on {}: {:?}{how}", names[worker], name(one.message), one.todo)
                }
                Action::Land { late } => write!(line, "the late commit of {} applies", name(world.late[late].message)),
                Action::DeadLetter { message, .. } => {
                    write!(line, "{} is moved to the dead-letter queue", name(message))
                }
                Action::Redrive { message, .. } => write!(line, "{} is put back", name(message)),
                Action::Purge { message, .. } => write!(line, "{} is purged", name(message)),
                Action::Sweep { message } => {
                    born += 1;
                    names.push(format!("sweep {born}"));
                    write!(line, "sweep {born} finds the record of {}", name(message))
                }
            };
            let workers = world.workers.len();
            if let Some(saw) = world.act(model, action) {
                let _ = write!(line, " -> {saw:?}");
            }
            if let Action::Work { worker, .. } = action
                && world.workers.len() < workers
            {
                names.remove(worker);
            }
            let mut named: Vec<_> = std::iter::zip(world.workers.clone(), names).collect();
            named.sort_by_key(|(worker, _)| *worker);
            names = named.into_iter().map(|(_, name)| name).collect();
            model.normalise(&mut world);
            lines.push(line);
        }
        Self { violated, lines }
    }

    /// How many steps it has.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether the invariant does not hold at the beginning.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl fmt::Display for Timeline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, line) in self.lines.iter().enumerate() {
            writeln!(f, "{:>3}  {line}", number + 1)?;
        }
        write!(f, "     violated: {}", self.violated)
    }
}
