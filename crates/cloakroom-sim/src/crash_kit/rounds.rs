//! What is tried with a message, round by round.

use cloakroom::{Outcome, ports::Placement, protocol::CheckIn};

use super::{
    CrashKit,
    gate::Way,
    picture::Picture,
    plan::{Choice, Plan, Search, Twist},
    refusal::is_by_handler,
    report::{Difference, Finding, FindingKind, Round, Tested},
    run::Shown,
    scene::Scene,
    world::{DeadLetter, Expected, Variant},
};
use crate::wire::Operation;

/// How often a handler is run on the same, to see whether it does the same.
const SAME_AGAIN: usize = 4;

/// A worker on its own needs fewer runs than two: what goes wrong with it mostly does at its first disturbance.
const SHARE: usize = 4;

/// Both timings of check-in, both identities and both placements. With check-in after the commit records lie beside the state,
/// whatever the placement.
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

fn variants(kit: &CrashKit) -> impl Iterator<Item = Variant> {
    let wanted = kit.placement;
    VARIANTS.into_iter().filter(move |variant| wanted.is_none_or(|placement| placement == variant.placement))
}

fn stops(_: &Plan, _: Choice) -> Vec<Twist> {
    vec![Twist::Stop]
}

fn answers(plan: &Plan, choice: Choice) -> Vec<Twist> {
    if !plan.is_empty() {
        return vec![Twist::Stop];
    }
    let late: &[usize] = match choice.operation {
        // The one call that must not be repeated while it is under way.
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
    let late = late.iter().map(|steps| Way::Late(*steps));
    [Way::Refused, Way::Vanished, Way::Unanswered].into_iter().chain(late).map(Twist::Call).collect()
}

fn turns(plan: &Plan, choice: Choice) -> Vec<Twist> {
    match (choice.has_other, plan.stops()) {
        (false, _) => vec![],
        (true, 0) => vec![Twist::Switch, Twist::Stop],
        (true, _) => vec![Twist::Switch],
    }
}

/// How a message ends that came to no end, or was not tried to the end.
const CUT_SHORT: &str = "cut short by what was found";

/// Everything with one message. The finding, if there is one, ended it.
pub(super) fn alone(kit: &CrashKit, letter: &DeadLetter) -> (Tested, Option<Finding>) {
    let message = format!("`{}` for `{}`", letter.kind, letter.partition);
    let mut tested = Tested { message, ends: CUT_SHORT.to_owned(), rounds: Vec::new() };
    let finding = variants(kit).try_for_each(|variant| alone_as(kit, letter, variant, &mut tested)).err();
    (tested, finding.map(|finding| *finding))
}

fn alone_as(kit: &CrashKit, letter: &DeadLetter, variant: Variant, tested: &mut Tested) -> Result<(), Box<Finding>> {
    let letters = [letter];
    let mut scene = Scene { kit, variant, letters: &letters, right: Vec::new(), kind: FindingKind::Differs };
    let shown = undisturbed(&scene, letter, tested)?;
    scene.right.push((shown.picture.clone(), shown.picture.clone()));
    is_the_same_again(&scene, &shown)?;
    let stops = Search { twists: stops, twists_max: 2, runs_max: kit.runs_max / SHARE };
    tested.rounds.push((Round::Stops, scene.search(stops, &[&[0]])?));
    let answers = Search { twists: answers, twists_max: 2, runs_max: kit.runs_max / SHARE };
    tested.rounds.push((Round::Answers, scene.search(answers, &[&[0]])?));
    let turns = Search { twists: turns, twists_max: usize::MAX, runs_max: kit.runs_max };
    tested.rounds.push((Round::Deliveries, scene.search(turns, &[&[0], &[0]])?));
    Ok(())
}

/// The run that all others are compared with.
fn undisturbed(scene: &Scene<'_>, letter: &DeadLetter, tested: &mut Tested) -> Result<Shown, Box<Finding>> {
    let fail = |kind, text: String| Err(Box::new(scene.finding(kind, text)));
    let mut run = scene.run(0, false).map_err(|trouble| scene.stopped(trouble))?;
    let shown = run.play(&Plan::default(), &[&[0]]).map_err(|trouble| scene.stopped(trouble))?;
    let calls = shown.choices.len();
    let is_parked = shown.outcomes == [Outcome::Parked];
    let is_deferred = shown.outcomes == [Outcome::Deferred];
    let reason = if is_parked { run.world.reason_of_parking() } else { String::new() };
    tested.ends = match is_parked {
        true => format!("refused ({reason}), {calls} calls"),
        false if is_deferred => format!("deferred, {calls} calls"),
        false => format!("processed, {calls} calls"),
    };
    if reason.contains(" panicked: ") {
        return fail(FindingKind::Panicked, reason);
    }
    let is_expected = match letter.expected {
        Expected::Accepted => !is_parked && !is_deferred,
        Expected::Refused => is_parked,
        Expected::Deferred => is_deferred,
    };
    if !is_expected {
        let what = if is_deferred {
            "deferred (a message that comes before, `given`, may lead to a state on which its handler accepts it)"
                .to_owned()
        } else if is_parked {
            format!("parked in the dead-letter queue: {reason}")
        } else {
            "accepted".to_owned()
        };
        let text = match letter.expected {
            Expected::Accepted => format!("it was not accepted, but {what}"),
            Expected::Refused => format!("it should be refused, and was {what}"),
            Expected::Deferred => format!("it should be deferred, and was {what}"),
        };
        return fail(FindingKind::Unexpected, text);
    }
    if is_parked && !is_by_handler(&reason, &shown.choices) {
        let text = format!("it was parked, but it was not its handler that refused it: {reason}");
        return fail(FindingKind::Unexpected, text);
    }
    is_complete(scene, &shown, letter.expected)?;
    Ok(shown)
}

/// What must be true even of the run with which others are compared.
fn is_complete(scene: &Scene<'_>, shown: &Shown, expected: Expected) -> Result<(), Box<Finding>> {
    let before = scene.run(0, false).and_then(|run| run.before());
    let before = before.map_err(|trouble| scene.stopped(trouble))?;
    let mut differences = shown.picture.differences(&before);
    // Of a message that is refused there must be no trace but this one, and of one that is deferred none.
    differences.retain(|Difference { field, .. }| match expected {
        Expected::Refused => !field.starts_with("parked in "),
        Expected::Accepted => field.starts_with("outbox record "),
        Expected::Deferred => true,
    });
    let has_parked = shown.picture.has("parked in ");
    if differences.is_empty() && has_parked == (expected == Expected::Refused) {
        return Ok(());
    }
    let text = "something is left that should not be, although nothing disturbed the message:";
    Err(Box::new(Finding { differences, ..scene.finding(FindingKind::Differs, text) }))
}

/// Has the handler run again on the same: in other processes, and then twice in one, whose first commit does not happen.
fn is_the_same_again(scene: &Scene<'_>, shown: &Shown) -> Result<(), Box<Finding>> {
    let commit = shown.choices.iter().position(|choice| choice.operation == Operation::Commit);
    let twice = commit.map(|step| Plan::of(step, Twist::Call(Way::Vanished)));
    let plans = std::iter::repeat_n(Plan::default(), SAME_AGAIN).chain(twice);
    for (plan, seed) in plans.zip(1..) {
        let again = scene.run(seed, false).and_then(|mut run| run.play(&plan, &[&[0]]));
        let text = "its handler ran twice on the same state and message, with the same clock, and made something else of them:";
        let differences = match again {
            Ok(again) if again.picture == shown.picture => continue,
            Ok(again) => again.picture.differences(&shown.picture),
            Err(trouble) => return Err(scene.stopped(trouble)),
        };
        return Err(Box::new(Finding { differences, ..scene.finding(FindingKind::DependsOnOutside, text) }));
    }
    Ok(())
}

/// Two messages of one partition at the same time.
pub(super) fn together(kit: &CrashKit, letters: [&DeadLetter; 2]) -> (Tested, Option<Finding>) {
    let [one, other] = letters.map(|letter| letter.kind);
    let message = format!("`{one}` and `{other}` for `{}`", letters[0].partition);
    let mut tested = Tested { message, ends: CUT_SHORT.to_owned(), rounds: Vec::new() };
    let finding = variants(kit).try_for_each(|variant| together_as(kit, &letters, variant, &mut tested)).err();
    if finding.is_none() {
        tested.ends = "equal to one after the other".to_owned();
    }
    (tested, finding.map(|finding| *finding))
}

fn together_as(
    kit: &CrashKit,
    letters: &[&DeadLetter; 2],
    variant: Variant,
    tested: &mut Tested,
) -> Result<(), Box<Finding>> {
    let mut scene = Scene { kit, variant, letters, right: Vec::new(), kind: FindingKind::NoOrder };
    for order in [[&[0][..], &[1]], [&[1], &[0]]] {
        let shown = scene.run(0, false).and_then(|mut run| run.play(&Plan::default(), &order));
        let Shown { picture, late, outcomes, .. } = shown.map_err(|trouble| scene.stopped(trouble))?;
        // SUBTLE: the payload of a message that was parked is still there, and the other message may have led to a state on
        // which its handler accepts a duplicate. Other duplicates change nothing
        // (`a_message_that_is_refused_until_another_one_was_processed_passes`).
        let late = if outcomes.contains(&Outcome::Parked) { late } else { picture.clone() };
        scene.right.push((picture, late));
    }
    for order in [[&[0][..], &[1]], [&[1], &[0]]] {
        let search = Search { twists: turns, twists_max: usize::MAX, runs_max: kit.runs_max / 2 };
        tested.rounds.push((Round::Meetings, scene.search(search, &order)?));
    }
    if kit.settings.fold_max > 1 {
        folded(kit, scene, tested)?;
    }
    Ok(())
}

/// The two in one batch, so that they are committed together: in both orders, and in company of a duplicate of one of them.
///
/// SUBTLE: a message of a batch is acknowledged with the others. If it was parked, and their process dies, it is received again, and what they
/// have made of the state may suit it by then: so it is processed, and lies parked, too
/// (`a_message_that_is_refused_until_another_one_was_processed_passes`).
fn folded(kit: &CrashKit, mut scene: Scene<'_>, tested: &mut Tested) -> Result<(), Box<Finding>> {
    let orders = scene.right.clone();
    for (other, _) in &orders {
        let too = |picture: &Picture| picture.with_parked_of(other);
        scene.right.extend(orders.iter().map(|(picture, late)| (too(picture), too(late))));
    }
    let runs_max = kit.runs_max / SHARE;
    for (twists, twists_max, deliveries) in [
        (stops as fn(&Plan, Choice) -> Vec<Twist>, 2, &[&[0, 1][..]][..]),
        (answers, 2, &[&[1, 0]]),
        (turns, usize::MAX, &[&[0, 1], &[1]]),
    ] {
        let search = Search { twists, twists_max, runs_max };
        tested.rounds.push((Round::Folds, scene.search(search, deliveries)?));
    }
    Ok(())
}
