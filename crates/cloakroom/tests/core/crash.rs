//! Stops, failures and concurrency at every point. A message is still processed exactly once.

use crate::fixture;

use std::pin::pin;

use cloakroom::{
    Dedupe, Delivery, EndpointSettings, Outcome,
    ports::Placement,
    protocol::{CheckIn, WhenMissing},
};
use cloakroom_sim::wire::Operation;
use fixture::{
    Act, ONCE, World,
    schedule::{interleaved, polled},
    stage::Fault,
};

type Kind = (EndpointSettings, fn(&World) -> Delivery);

/// Both timings of check-in, both placements of the record, and all identities of a message.
fn kinds() -> Vec<Kind> {
    let claimed: fn(&World) -> Delivery = |world| world.claimed("m", &ONCE);
    let plain: fn(&World) -> Delivery = |world| world.plain("m", &ONCE);
    let mut kinds = Vec::new();
    for (check_in, placement) in [
        (CheckIn::BeforeCommit, Placement::Separate),
        (CheckIn::AfterCommit, Placement::Separate),
        (CheckIn::BeforeCommit, Placement::Embedded),
    ] {
        let settings = EndpointSettings { check_in, placement, ..EndpointSettings::default() };
        let dedupe = Dedupe::Retained { ttl_ms: 7 * 24 * 60 * 60 * 1000 };
        let retained = EndpointSettings { dedupe, ..settings.clone() };
        kinds.extend([(settings.clone(), claimed), (settings, plain), (retained, plain)]);
    }
    kinds
}

/// Delivers the message again until it is finished.
fn redeliver(world: &World, delivery: &Delivery) {
    let is_finished = |receive_count| world.process(&Delivery { receive_count, ..delivery.clone() }).is_ok();
    assert!((2..100).any(is_finished), "the message is never finished");
}

#[test]
fn message_is_processed_once_although_its_worker_stops_at_any_point() {
    for (settings, message) in kinds() {
        let mut polls = 0;
        loop {
            let world = World::impatient(settings.clone());
            let delivery = message(&world);
            let finished = world.memory.run(polled(world.endpoint.process(&delivery), polls));
            if finished.is_none() {
                redeliver(&world, &delivery);
            }
            world.must_be_processed_once(&delivery);
            if finished.is_some() {
                break;
            }
            polls += 1;
        }
        assert!(polls >= 8, "only {polls} points were tested");
    }
}

#[test]
fn message_is_processed_once_although_two_workers_stop_at_any_point() {
    for (settings, message) in kinds() {
        for polls in 0..25 {
            for polls_again in 0..25 {
                let world = World::impatient(settings.clone());
                let delivery = message(&world);
                let _ = world.memory.run(polled(world.endpoint.process(&delivery), polls));
                let _ = world.memory.run(polled(world.endpoint.process(&delivery), polls_again));
                redeliver(&world, &delivery);
                world.must_be_processed_once(&delivery);
            }
        }
    }
}

#[test]
fn message_is_processed_once_although_any_call_fails() {
    for (settings, message) in kinds() {
        let world = World::with(settings.clone());
        world.outcome(&message(&world));
        let calls = world.stage.calls();
        assert!(calls.len() >= 7, "{calls:?}");
        for (number, call) in calls.iter().enumerate() {
            for fault in [Fault::Refused, Fault::Vanished, Fault::Unanswered] {
                let world = World::with(settings.clone());
                let delivery = message(&world);
                world.fail(&[(number, fault)]);
                let outcome = world.outcome(&delivery);
                let is_resumed = *call == Operation::Commit && fault == Fault::Unanswered;
                let expected = if is_resumed { Outcome::Resumed } else { Outcome::Processed };
                assert_eq!(outcome, expected, "{fault:?} of call {number}, {call:?}");
                world.must_be_processed_once(&delivery);
            }
        }
    }
}

#[test]
fn message_is_processed_once_although_a_call_fails_and_its_worker_stops() {
    for (settings, message) in kinds() {
        for number in 0..12 {
            for (fault, polls) in
                [Fault::Vanished, Fault::Unanswered].into_iter().flat_map(|f| (0..40).map(move |p| (f, p)))
            {
                let world = World::impatient(settings.clone());
                let delivery = message(&world);
                world.fail(&[(number, fault)]);
                let _ = world.memory.run(polled(world.endpoint.process(&delivery), polls));
                world.fail(&[]);
                redeliver(&world, &delivery);
                world.must_be_processed_once(&delivery);
            }
        }
    }
}

#[test]
fn message_is_processed_once_although_its_commit_applies_late() {
    for (settings, message) in kinds() {
        for calls in 0..12 {
            let world = World::with(settings.clone());
            let delivery = message(&world);
            world.stage.plan(one_late(calls));
            world.outcome(&delivery);
            world.memory.run(world.stage.arrive(true));
            world.must_be_processed_once(&delivery);
        }
    }
}

/// Makes the first commit apply after this number of further calls.
fn one_late(calls: usize) -> impl FnMut(usize, Operation) -> Option<Fault> + Send + 'static {
    let mut left = 1;
    move |_, operation| {
        let is_first = operation == Operation::Commit && std::mem::take(&mut left) == 1;
        is_first.then_some(Fault::Late(calls))
    }
}

#[test]
fn message_is_processed_once_by_two_interleaved_workers() {
    let mut conflicts = 0;
    for (settings, message) in kinds() {
        for seed in 0..200 {
            let world = World::impatient(settings.clone());
            let delivery = message(&world);
            let workers = vec![world.endpoint.process(&delivery), world.endpoint.process(&delivery)];
            let outcomes = world.memory.run(interleaved(workers, seed));
            assert!(outcomes.iter().all(Result::is_ok), "seed {seed}: {outcomes:?}");
            world.must_be_processed_once(&delivery);
            conflicts += world.counts().conflict;
        }
    }
    assert!(conflicts > 50, "only {conflicts} conflicts");
}

/// The worker that succeeds acknowledges the message. Records that another worker left do not cause
/// another delivery.
#[test]
fn message_is_processed_once_although_one_worker_pauses_and_another_stops() {
    let mut acknowledged = 0;
    for (settings, message) in kinds() {
        for polls_before in 1..24 {
            for polls in 1..40 {
                let world = World::impatient(settings.clone());
                let delivery = message(&world);
                let mut slow = pin!(world.endpoint.process(&delivery));
                let outcome = world.memory.run(async {
                    match polled(slow.as_mut(), polls_before).await {
                        Some(outcome) => outcome,
                        None => {
                            let _ = polled(world.endpoint.process(&delivery), polls).await;
                            slow.await
                        }
                    }
                });
                match outcome {
                    Ok(_) => acknowledged += 1,
                    Err(_) => redeliver(&world, &delivery),
                }
                world.must_be_processed_once(&delivery);
            }
        }
    }
    assert!(acknowledged > 1_000, "only {acknowledged} acknowledgements");
}

#[test]
fn interleaved_messages_of_one_partition_are_each_processed_once() {
    for (settings, _) in kinds() {
        for seed in 0..60 {
            let world = World::impatient(settings.clone());
            let deliveries: Vec<_> =
                (1..5).map(|n| world.claimed(&format!("m-{n}"), &[Act::Add(10_i64.pow(n)), Act::Note(n)])).collect();
            let twice = deliveries.iter().chain(&deliveries);
            let workers = twice.map(|delivery| world.endpoint.process(delivery)).collect();
            let outcomes = world.memory.run(interleaved(workers, seed));
            assert!(outcomes.iter().all(Result::is_ok), "seed {seed}: {outcomes:?}");
            assert_eq!((world.total(), world.account().0), (11_110, 4), "seed {seed}");
            assert_eq!(world.items(), Vec::<String>::new(), "seed {seed}");
        }
    }
}

/// Calls fail at random in every way, workers stop at random, and two workers run concurrently.
#[test]
fn message_is_processed_once_under_random_faults_stops_and_concurrency() {
    let mut faults = 0;
    for (settings, message) in kinds() {
        for seed in 0..400 {
            let world =
                World::impatient(EndpointSettings { when_missing: WhenMissing::Acknowledge, ..settings.clone() });
            let delivery = message(&world);
            let mut random = fastrand::Rng::with_seed(seed);
            let stops = [random.usize(..80), random.usize(..80)];
            world.stage.plan(move |_, _| {
                let ways = [Fault::Refused, Fault::Vanished, Fault::Unanswered, Fault::Late(random.usize(..10))];
                (random.u8(..) < 40).then(|| random.choice(ways)).flatten()
            });
            let workers = stops.iter().map(|polls| polled(world.endpoint.process(&delivery), *polls)).collect();
            let outcomes = world.memory.run(interleaved(workers, seed));
            faults += world.counts().unknown_commit;
            // A worker that succeeds acknowledges the message, so there is no further delivery.
            if !outcomes.iter().flatten().any(Result::is_ok) {
                redeliver(&world, &delivery);
            }
            world.stage.plan(|_, _| None);
            world.memory.run(world.stage.arrive(true));
            world.must_be_processed_once(&delivery);
        }
    }
    assert!(faults > 100, "only {faults} unknown commits");
}
