//! Actions of workers.

use cloakroom::protocol::{
    Consistency, Do,
    embedding::{self, Known},
};

use crate::model::{
    action::Action,
    definition::Model,
    scenario::{Handler, Identity, Placement},
    step::StepMode,
    worker::ModelWorker,
    world::ModelWorld,
    wrong_orders::WrongOrder,
};

impl Model {
    /// Adds all actions of workers.
    pub(super) fn work_actions(&self, world: &ModelWorld, actions: &mut Vec<Action>) {
        for (number, worker) in world.workers.iter().enumerate() {
            // Of several equal workers only one needs to act.
            if number > 0 && world.workers[number - 1] == *worker {
                continue;
            }
            let todo = worker.todo();
            if world.given_up > 0 && worker.may_give_up() {
                actions.push(Action::Work {
                    worker: number,
                    position: 0,
                    mode: StepMode::GivenUp,
                    placement: Placement::Separate,
                });
            }
            if let Do::Commit(_) = todo {
                self.commit_actions(world, number, actions);
                continue;
            }
            let is_shared = matches!(todo, Do::ReadState(_));
            let wants =
                |position: &usize| if is_shared { *position == 0 } else { worker.members[*position].todo == todo };
            for position in (0..worker.members.len()).filter(wants) {
                let act = |mode| Action::Work { worker: number, position, mode, placement: Placement::Separate };
                actions.extend(self.ways(world, worker, position).into_iter().map(act));
            }
        }
        actions.extend((0..world.late.len()).map(|late| Action::Land { late }));
    }

    /// The modes in which a worker can take its next step, unless that is a commit.
    fn ways(&self, world: &ModelWorld, worker: &ModelWorker, position: usize) -> Vec<StepMode> {
        let member = &worker.members[position];
        let spec = member.spec(self);
        let late = |order| {
            if self.order == Some(order) { vec![StepMode::Normal, StepMode::Stale] } else { vec![StepMode::Normal] }
        };
        match worker.todo() {
            Do::ReadPayload if spec.handler == Handler::MayReject => vec![StepMode::Normal, StepMode::Failing],
            Do::ReadPayload => late(WrongOrder::StalePayload),
            Do::ReadRecord if worker.view.is_none() && self.order == Some(WrongOrder::StaleSecondLook) => {
                vec![StepMode::Normal, StepMode::Stale]
            }
            Do::ReadRecord => late(WrongOrder::StaleRecord),
            Do::ReadState(Consistency::Any) => {
                let past = world.past[usize::from(spec.entity)].len();
                let past = if world.stale_reads > 0 && !worker.reads_strongly { past } else { 0 };
                std::iter::once(StepMode::Normal).chain((0..past).map(StepMode::Past)).collect()
            }
            Do::CheckIn if worker.members.len() > 1 && world.faults > 0 => vec![StepMode::Normal, StepMode::Failed],
            Do::ReadState(Consistency::Strong)
            | Do::Handle
            | Do::Park
            | Do::SendAgain
            | Do::CheckIn
            | Do::Commit(_)
            | Do::StoreClaims
            | Do::Dispatch
            | Do::Settle
            | Do::Clear
            | Do::Acknowledge(_)
            | Do::Leave => vec![StepMode::Normal],
        }
    }

    /// Adds the modes of a commit, and the embedded records that the commit can omit.
    fn commit_actions(&self, world: &ModelWorld, number: usize, actions: &mut Vec<Action>) {
        let worker = &world.workers[number];
        let can_embed = worker.members.iter().any(|member| member.can_embed(self));
        let mut placements: Vec<Placement> = self.scenario.placements.to_vec();
        if !can_embed {
            placements = vec![Placement::Separate];
        }
        let answers: &[StepMode] = match world.faults {
            0 => &[StepMode::Normal],
            _ if worker.positions(worker.todo()).len() > 1 => {
                &[StepMode::Normal, StepMode::Late, StepMode::Hidden, StepMode::Refused]
            }
            _ => &[StepMode::Normal, StepMode::Late, StepMode::Hidden],
        };
        for placement in placements {
            let act = |mode: &StepMode| Action::Work { worker: number, position: 0, mode: *mode, placement };
            actions.extend(answers.iter().map(act));
        }
        let carried = worker.view.iter().flat_map(|view| view.records.messages());
        let is_seen_settled = |message: &u8| {
            let known = if world.is_settled(self, *message) { Known::Settled } else { Known::NotSettled };
            let is_remembered = world.renewals < self.scenario.renewals;
            match self.order {
                Some(WrongOrder::DropAfterStaleLook) => self.identity(*message) == Identity::Claim,
                Some(WrongOrder::DropRemembered) if is_remembered => self.identity(*message) == Identity::Id,
                Some(_) | None => embedding::may_drop(known),
            }
        };
        let leave_out = |message| Action::Work {
            worker: number,
            position: 0,
            mode: StepMode::Without(message),
            placement: Placement::Embedded,
        };
        actions.extend(carried.filter(is_seen_settled).map(leave_out));
    }
}
