//! A path through the model, as text.

use std::fmt::{self, Write as _};

use cloakroom::protocol::Do;

use crate::model::{action::Action, definition::Model, scenario::Placement, step::StepMode, world::ModelWorld};

/// The steps that lead to a state that violates an invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Counterexample {
    /// The name of the invariant that the last state violates.
    pub violated: &'static str,
    lines: Vec<String>,
}

impl Counterexample {
    /// Follows the actions from the initial state, and gives each worker a name.
    pub(super) fn new(model: &Model, violated: &'static str, actions: Vec<Action>) -> Self {
        let mut world = ModelWorld::new(&model.scenario);
        let mut names: Vec<String> = Vec::new();
        let mut workers_started = 0;
        let mut lines = Vec::new();
        for action in actions {
            let name = |message: u8| model.scenario.messages[usize::from(message)].name;
            let mut line = String::new();
            // Writing to a string cannot fail.
            let _ = match action {
                Action::Deliver { ref fold, .. } => {
                    workers_started += 1;
                    names.push(format!("worker {workers_started}"));
                    let copy = |(message, copy): &(u8, u8)| format!("{} (copy {copy})", name(*message));
                    write!(
                        line,
                        "worker {workers_started} receives {}",
                        fold.iter().map(copy).collect::<Vec<_>>().join(" and ")
                    )
                }
                Action::Finish { message, copy } => {
                    workers_started += 1;
                    names.push(format!("worker {workers_started}"));
                    write!(line, "worker {workers_started} finishes {} (copy {copy})", name(message))
                }
                Action::Work { worker, mode: StepMode::Without(message), .. } => {
                    write!(line, "{} sees that {} is settled, and omits its record", names[worker], name(message))
                }
                Action::Work { worker, position, mode, placement } => {
                    let one = &world.workers[worker];
                    let todo = one.todo();
                    let is_shared = matches!(todo, Do::ReadState(_) | Do::Commit(_));
                    let members = one.members.iter().enumerate().filter(|(other, _)| is_shared || *other == position);
                    let messages = members.map(|(_, member)| name(member.message)).collect::<Vec<_>>().join(" and ");
                    let mut mode = if mode == StepMode::Normal { String::new() } else { format!(" [{mode:?}]") };
                    if matches!(todo, Do::Commit(_)) && placement == Placement::Embedded {
                        mode = format!(" embedded{mode}");
                    }
                    write!(line, "{} on {messages}: {todo:?}{mode}", names[worker])
                }
                Action::Land { late } => {
                    let parts = world.late[late].parts.iter().map(|part| name(part.message)).collect::<Vec<_>>();
                    write!(line, "the late commit of {} applies", parts.join(" and "))
                }
                Action::Recovered { message, .. } => {
                    write!(line, "{} is moved to the dead-letter queue", name(message))
                }
                Action::Redrive { message, .. } => write!(line, "{} is moved back to its queue", name(message)),
                Action::Expire { message } => write!(line, "the entry of {} expires", name(message)),
                Action::Renew { message } => {
                    write!(line, "the id of {} is used again for another message", name(message))
                }
                Action::ExpireTombstone { entity } => write!(line, "the tombstone of entity {entity} expires"),
                Action::Purge { message, .. } => write!(line, "{} is purged", name(message)),
                Action::Drop { message } => write!(line, "a sweep drops the record of {}", name(message)),
                Action::Sweep { message } => {
                    workers_started += 1;
                    names.push(format!("sweep {workers_started}"));
                    write!(line, "sweep {workers_started} finds the record of {}", name(message))
                }
            };
            let workers = world.workers.len();
            let acting = if let Action::Work { worker, .. } = action { Some(worker) } else { None };
            if let Some(saw) = world.act(model, action) {
                let _ = write!(line, " -> {saw:?}");
            }
            if let Some(worker) = acting {
                if world.workers.len() < workers {
                    names.remove(worker);
                }
                // A member that continues alone keeps the worker's name.
                names.extend(vec![names.get(worker).cloned().unwrap_or_default(); world.workers.len() - names.len()]);
            }
            let mut named: Vec<_> = std::iter::zip(world.workers.clone(), names).collect();
            named.sort_by(|(one, _), (other, _)| one.cmp(other));
            names = named.into_iter().map(|(_, name)| name).collect();
            world.normalise(model.order.is_none());
            lines.push(line);
        }
        Self { violated, lines }
    }

    /// The number of steps.
    pub fn len(&self) -> usize {
        self.lines.len()
    }

    /// Whether the initial state violates the invariant.
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }
}

impl fmt::Display for Counterexample {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, line) in self.lines.iter().enumerate() {
            writeln!(f, "{:>3}  {line}", number + 1)?;
        }
        write!(f, "     violated: {}", self.violated)
    }
}
