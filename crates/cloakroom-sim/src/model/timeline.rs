//! A path through the model, for people.

use std::fmt::{self, Write as _};

use cloakroom::protocol::Do;

use super::{Action, Model, scenario::Placement, work::How, world::World};

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
                Action::Deliver { ref fold, .. } => {
                    born += 1;
                    names.push(format!("worker {born}"));
                    let copy = |(message, copy): &(u8, u8)| format!("{} (copy {copy})", name(*message));
                    write!(line, "worker {born} receives {}", fold.iter().map(copy).collect::<Vec<_>>().join(" and "))
                }
                Action::Finish { message, copy } => {
                    born += 1;
                    names.push(format!("worker {born}"));
                    write!(line, "worker {born} finishes {} (copy {copy})", name(message))
                }
                Action::Work { worker, how: How::Without(message), .. } => {
                    write!(line, "{} sees {} settled, and leaves its record out", names[worker], name(message))
                }
                Action::Work { worker, place, how, placement } => {
                    let one = &world.workers[worker];
                    let todo = one.todo();
                    let is_shared = matches!(todo, Do::ReadState(_) | Do::Commit(_));
                    let members = one.members.iter().enumerate().filter(|(other, _)| is_shared || *other == place);
                    let messages = members.map(|(_, member)| name(member.message)).collect::<Vec<_>>().join(" and ");
                    let mut how = if how == How::Well { String::new() } else { format!(" [{how:?}]") };
                    if matches!(todo, Do::Commit(_)) && placement == Placement::Embedded {
                        how = format!(" embedded{how}");
                    }
                    write!(line, "{} on {messages}: {todo:?}{how}", names[worker])
                }
                Action::Land { late } => {
                    let parts = world.late[late].parts.iter().map(|part| name(part.message)).collect::<Vec<_>>();
                    write!(line, "the late commit of {} applies", parts.join(" and "))
                }
                Action::Recovered { message, .. } => {
                    write!(line, "{} is moved to the dead-letter queue", name(message))
                }
                Action::Redrive { message, .. } => write!(line, "{} is put back", name(message)),
                Action::Expire { message } => write!(line, "the entry of {} expires", name(message)),
                Action::Renew { message } => {
                    write!(line, "the id of {} comes again, for another message", name(message))
                }
                Action::ExpireTombstone { entity } => write!(line, "the tombstone of entity {entity} expires"),
                Action::Purge { message, .. } => write!(line, "{} is purged", name(message)),
                Action::Drop { message } => write!(line, "a sweep drops the record of {}", name(message)),
                Action::Sweep { message } => {
                    born += 1;
                    names.push(format!("sweep {born}"));
                    write!(line, "sweep {born} finds the record of {}", name(message))
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
                // Whoever goes on alone keeps the name.
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
