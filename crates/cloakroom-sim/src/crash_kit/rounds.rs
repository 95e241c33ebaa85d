//! The rounds of runs for a message.

use cloakroom::{Outcome, ports::Placement, protocol::CheckIn};

use crate::{
    crash_kit::{
        case::TestCase,
        events::CallOutcome,
        kit_message::{Expectation, KitMessage},
        plan::{Choice, Disturbance, Plan, Search},
        refusal::is_by_handler,
        report::{Difference, Finding, FindingKind, Round, Tested},
        run::RunResult,
        setup::Setup,
        snapshot::Snapshot,
        world::Variant,
    },
    wire::Operation,
};

/// How often a handler runs again on the same input, to check that it has the same effect.
const SAME_AGAIN: usize = 4;

/// The divisor of the maximum number of runs for a single worker. Most problems of a single worker
/// show at the first disturbance.
const SHARE: usize = 4;

/// Both timings of check-in, both identities and both placements. With check-in after the commit
/// all records are separate, in both placements.
const VARIANTS: [Variant; 6] = [
    variant(CheckIn::BeforeCommit, true, Placement::Separate),
    variant(CheckIn::BeforeCommit, false, Placement::Separate),
    variant(CheckIn::AfterCommit, true, Placement::Separate),
    variant(CheckIn::AfterCommit, false, Placement::Separate),
    variant(CheckIn::BeforeCommit, true, Placement::Embedded),
    variant(CheckIn::BeforeCommit, false, Placement::Embedded),
];

const fn variant(check_in: CheckIn, is_claimed: bool, placement: Placement) -> Variant {
    Variant { check_in, is_claimed, placement }
}

fn variants(setup: &Setup) -> impl Iterator<Item = Variant> {
    let wanted = setup.placement;
    VARIANTS.into_iter().filter(move |variant| wanted.is_none_or(|placement| placement == variant.placement))
}

fn stops(_: &Plan, _: Choice) -> Vec<Disturbance> {
    vec![Disturbance::Stop]
}

fn answers(plan: &Plan, choice: Choice) -> Vec<Disturbance> {
    if !plan.is_empty() {
        return vec![Disturbance::Stop];
    }
    let late: &[usize] = match choice.operation {
        // A commit is the one call that must not be repeated while it is in flight, so its delays
        // are tried in more detail.
        Operation::Commit => &[1, 2, 3, 4, 5, 6, 7, 8, 9, usize::MAX],
        Operation::CheckIn
        | Operation::StoreClaims
        | Operation::Send
        | Operation::DeletePayload
        | Operation::PutEntry
        | Operation::Retain
        | Operation::Clear
        | Operation::WriteFailures => &[1, usize::MAX],
        Operation::ReadState
        | Operation::HasRecords
        | Operation::ReadRecord
        | Operation::ReadFailures
        | Operation::ReadPayload
        | Operation::HasEntry
        | Operation::OpenQueue
        | Operation::Receive
        | Operation::Acknowledge
        | Operation::Extend => &[],
    };
    let late = late.iter().map(|steps| CallOutcome::Late(*steps));
    [CallOutcome::Refused, CallOutcome::Vanished, CallOutcome::Unanswered]
        .into_iter()
        .chain(late)
        .map(Disturbance::Call)
        .collect()
}

fn interleavings(plan: &Plan, choice: Choice) -> Vec<Disturbance> {
    match (choice.has_other, plan.stops()) {
        (false, _) => vec![],
        (true, 0) => vec![Disturbance::Switch, Disturbance::Stop],
        (true, _) => vec![Disturbance::Switch],
    }
}

/// The end of a message that was not tested completely.
const CUT_SHORT: &str = "stopped by a finding";

/// Runs all rounds with one message. A finding ends them.
pub(super) fn test_alone(setup: &Setup, kit_message: &KitMessage) -> (Tested, Option<Finding>) {
    let message = format!("`{}` for `{}`", kit_message.kind, kit_message.partition);
    let mut tested = Tested { message, ends: CUT_SHORT.to_owned(), rounds: Vec::new() };
    let finding = variants(setup).try_for_each(|variant| test_alone_in(setup, kit_message, variant, &mut tested)).err();
    (tested, finding.map(|finding| *finding))
}

fn test_alone_in(
    setup: &Setup,
    kit_message: &KitMessage,
    variant: Variant,
    tested: &mut Tested,
) -> Result<(), Box<Finding>> {
    let kit_messages = [kit_message];
    let mut case = TestCase {
        setup,
        variant,
        kit_messages: &kit_messages,
        accepted_results: Vec::new(),
        kind: FindingKind::Differs,
    };
    let run_result = undisturbed(&case, kit_message, tested)?;
    case.accepted_results.push((run_result.snapshot.clone(), run_result.snapshot.clone()));
    is_repeatable(&case, &run_result)?;
    let stops = Search { disturbances: stops, disturbances_max: 2, runs_max: setup.runs_max / SHARE };
    tested.rounds.push((Round::Stops, case.search(stops, &[&[0]])?));
    let answers = Search { disturbances: answers, disturbances_max: 2, runs_max: setup.runs_max / SHARE };
    tested.rounds.push((Round::Answers, case.search(answers, &[&[0]])?));
    let interleavings = Search { disturbances: interleavings, disturbances_max: usize::MAX, runs_max: setup.runs_max };
    tested.rounds.push((Round::Deliveries, case.search(interleavings, &[&[0], &[0]])?));
    Ok(())
}

/// Makes the run that all others are compared with.
fn undisturbed(case: &TestCase<'_>, kit_message: &KitMessage, tested: &mut Tested) -> Result<RunResult, Box<Finding>> {
    let fail = |kind, text: String| Err(Box::new(case.finding(kind, text)));
    let mut run = case.run(0, false).map_err(|failure| case.stopped(failure))?;
    let run_result = run.play(&Plan::default(), &[&[0]]).map_err(|failure| case.stopped(failure))?;
    let calls = run_result.choices.len();
    let is_parked = run_result.outcomes == [Outcome::Parked];
    let is_deferred = run_result.outcomes == [Outcome::Deferred];
    let reason = if is_parked { run.world.reason_of_parking() } else { String::new() };
    tested.ends = match is_parked {
        true => format!("refused ({reason}), {calls} calls"),
        false if is_deferred => format!("deferred, {calls} calls"),
        false => format!("processed, {calls} calls"),
    };
    if reason.contains(" panicked: ") {
        return fail(FindingKind::Panicked, reason);
    }
    let is_expected = match kit_message.expected {
        Expectation::Accepted => !is_parked && !is_deferred,
        Expectation::Refused => is_parked,
        Expectation::Deferred => is_deferred,
    };
    if !is_expected {
        let what = if is_deferred {
            "deferred (a `given` message may lead to a state on which its handler accepts it)".to_owned()
        } else if is_parked {
            format!("parked in the dead-letter queue: {reason}")
        } else {
            "accepted".to_owned()
        };
        let text = match kit_message.expected {
            Expectation::Accepted => format!("it was not accepted, but {what}"),
            Expectation::Refused => format!("it should be refused, and was {what}"),
            Expectation::Deferred => format!("it should be deferred, and was {what}"),
        };
        return fail(FindingKind::Unexpected, text);
    }
    if is_parked && !is_by_handler(&reason, &run_result.choices) {
        let text = format!("it was parked, but it was not its handler that refused it: {reason}");
        return fail(FindingKind::Unexpected, text);
    }
    is_complete(case, &run_result, kit_message.expected)?;
    Ok(run_result)
}

/// Checks what must be true even of the run that others are compared with.
fn is_complete(case: &TestCase<'_>, run_result: &RunResult, expected: Expectation) -> Result<(), Box<Finding>> {
    let before = case.run(0, false).and_then(|run| run.before());
    let before = before.map_err(|failure| case.stopped(failure))?;
    let mut differences = run_result.snapshot.differences(&before);
    // A refused message must leave nothing but itself in the dead-letter queue. A deferred message
    // must leave nothing.
    differences.retain(|Difference { field, .. }| match expected {
        Expectation::Refused => !field.starts_with("parked in "),
        Expectation::Accepted => field.starts_with("outbox record "),
        Expectation::Deferred => true,
    });
    let has_parked = run_result.snapshot.has("parked in ");
    if differences.is_empty() && has_parked == (expected == Expectation::Refused) {
        return Ok(());
    }
    let text = "the message left something behind, although nothing disturbed it:";
    Err(Box::new(Finding { differences, ..case.finding(FindingKind::Differs, text) }))
}

/// Runs the handler again on the same input: in other processes, and then twice in one process,
/// whose first commit does not take effect.
fn is_repeatable(case: &TestCase<'_>, run_result: &RunResult) -> Result<(), Box<Finding>> {
    let commit = run_result.choices.iter().position(|choice| choice.operation == Operation::Commit);
    let twice = commit.map(|step| Plan::of(step, Disturbance::Call(CallOutcome::Vanished)));
    let plans = std::iter::repeat_n(Plan::default(), SAME_AGAIN).chain(twice);
    for (plan, seed) in plans.zip(1..) {
        let again = case.run(seed, false).and_then(|mut run| run.play(&plan, &[&[0]]));
        let text = "its handler ran twice on the same state and message, with the same clock, and had another effect:";
        let differences = match again {
            Ok(again) if again.snapshot == run_result.snapshot => continue,
            Ok(again) => again.snapshot.differences(&run_result.snapshot),
            Err(failure) => return Err(case.stopped(failure)),
        };
        return Err(Box::new(Finding { differences, ..case.finding(FindingKind::DependsOnOutside, text) }));
    }
    Ok(())
}

/// Processes two messages of one partition at the same time.
pub(super) fn test_pair(setup: &Setup, kit_messages: [&KitMessage; 2]) -> (Tested, Option<Finding>) {
    let [one, other] = kit_messages.map(|kit_message| kit_message.kind);
    let message = format!("`{one}` and `{other}` for `{}`", kit_messages[0].partition);
    let mut tested = Tested { message, ends: CUT_SHORT.to_owned(), rounds: Vec::new() };
    let finding =
        variants(setup).try_for_each(|variant| test_pair_in(setup, &kit_messages, variant, &mut tested)).err();
    if finding.is_none() {
        tested.ends = "equal to one after the other".to_owned();
    }
    (tested, finding.map(|finding| *finding))
}

fn test_pair_in(
    setup: &Setup,
    kit_messages: &[&KitMessage; 2],
    variant: Variant,
    tested: &mut Tested,
) -> Result<(), Box<Finding>> {
    let mut case = TestCase { setup, variant, kit_messages, accepted_results: Vec::new(), kind: FindingKind::NoOrder };
    for order in [[&[0][..], &[1]], [&[1], &[0]]] {
        let run_result = case.run(0, false).and_then(|mut run| run.play(&Plan::default(), &order));
        let RunResult { snapshot, late, outcomes, .. } = run_result.map_err(|failure| case.stopped(failure))?;
        // SUBTLE: (1) A message is parked, and its payload still exists. (2) The other message
        // leads to a state on which the handler accepts the first one. (3) The late duplicate is
        // then processed. Any other late duplicate changes nothing. If it were compared with the
        // earlier snapshot, a correct handler would be a finding
        // (`message_refused_until_another_one_was_processed_passes_the_kit`).
        let late = if outcomes.contains(&Outcome::Parked) { late } else { snapshot.clone() };
        case.accepted_results.push((snapshot, late));
    }
    for order in [[&[0][..], &[1]], [&[1], &[0]]] {
        let search = Search { disturbances: interleavings, disturbances_max: usize::MAX, runs_max: setup.runs_max / 2 };
        tested.rounds.push((Round::Meetings, case.search(search, &order)?));
    }
    if setup.settings.fold_max > 1 {
        folds(setup, case, tested)?;
    }
    Ok(())
}

/// Delivers both messages in one batch, so that they are committed together: in both orders, and
/// together with a duplicate of one of them.
///
/// SUBTLE: a message of a batch is acknowledged with the others. (1) One of them is parked. (2)
/// Their process stops before it acknowledges them. (3) The message is received again, and the
/// handler may accept it on the state that the others left. So it is processed and also parked.
/// Without these results a correct handler would be a finding
/// (`message_refused_until_another_one_was_processed_passes_the_kit`).
fn folds(setup: &Setup, mut case: TestCase<'_>, tested: &mut Tested) -> Result<(), Box<Finding>> {
    let orders = case.accepted_results.clone();
    for (other, _) in &orders {
        let too = |snapshot: &Snapshot| snapshot.with_parked_of(other);
        case.accepted_results.extend(orders.iter().map(|(snapshot, late)| (too(snapshot), too(late))));
    }
    let runs_max = setup.runs_max / SHARE;
    for (disturbances, disturbances_max, deliveries) in [
        (stops as fn(&Plan, Choice) -> Vec<Disturbance>, 2, &[&[0, 1][..]][..]),
        (answers, 2, &[&[1, 0]]),
        (interleavings, usize::MAX, &[&[0, 1], &[1]]),
    ] {
        let search = Search { disturbances, disturbances_max, runs_max };
        tested.rounds.push((Round::Folds, case.search(search, deliveries)?));
    }
    Ok(())
}
