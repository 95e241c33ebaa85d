//! Processes that are killed, and processes that come back from the dead.

use std::collections::BTreeSet;

use cloakroom::{Delivery, Outcome, engine::Recovered, memory::Memory, ports::Queue as _};

use crate::{
    audit::{Books, Harm},
    naive::{NaiveStock, deterministic, plain, remembering, sending_first, with_an_outbox},
    site::{At, BROKER, DATABASE, How, Site, VISIBILITY, work_alone},
    stock::{Scenario, endpoint, item, ours},
};

/// Until long after the message became visible again.
const ASLEEP: How = How::SleepsBefore(2 * VISIBILITY.as_secs());

/// Every naive consumer has a call at which it must not die.
#[test]
fn a_process_is_killed_between_any_two_steps() {
    let scenario = Scenario { orders: &[("1", 2), ("2", 2)], troubles: &[], in_pairs: false };

    macro_rules! harm {
        ($consumer:expr) => {{
            let calls = scenario.calls($consumer);
            let deaths = (0..calls).flat_map(|call| [How::DiesBefore, How::DiesAfter].map(|how| (At::Call(call), how)));
            deaths.filter_map(|death| scenario.harm_of_naive(death, $consumer)).collect::<BTreeSet<Harm>>()
        }};
    }
    assert_eq!(harm!(plain), BTreeSet::from([Harm::Doubled, Harm::Ghost]));
    assert_eq!(harm!(sending_first), BTreeSet::from([Harm::Doubled]));
    assert_eq!(harm!(remembering), BTreeSet::from([Harm::Lost]));

    let calls = scenario.calls(ours);
    assert!(calls >= 2 * 9, "{calls} calls only");
    for call in 0..calls {
        for how in [How::DiesBefore, How::DiesAfter] {
            assert_eq!(scenario.harm_of_ours((At::Call(call), how)), None, "{how:?} call {call}");
        }
    }
}

/// The first process reads the stock and is swapped out. Its message becomes visible again, another process takes it, and the
/// second order's, too. Then the first one goes on, and writes what it has: a stock without the second order.
#[test]
fn a_zombie_wakes_after_its_message_went_to_somebody_else() {
    let scenario = Scenario { orders: &[("1", 2), ("2", 2)], troubles: &[(DATABASE, ASLEEP)], in_pairs: true };
    scenario.breaks(remembering, Harm::Ghost);
    scenario.breaks(with_an_outbox, Harm::Ghost);
    scenario.holds();
}

/// A zombie that wakes at its send: it has written, and somebody else finds that the message was processed.
#[test]
fn a_zombie_wakes_with_an_answer_in_its_hand() {
    let scenario = Scenario { orders: &[("1", 4), ("2", 4)], troubles: &[(BROKER, ASLEEP)], in_pairs: true };
    scenario.breaks(deterministic, Harm::Ghost);
    scenario.holds();
}

/// The queue gives up after the first receive, and moves the message to its dead-letter queue. It was committed by then, and its
/// answer waits in an outbox to which no message leads any more.
#[test]
fn a_message_goes_to_the_dead_letters_after_its_commit() {
    let scenario = Scenario { orders: &[("1", 2)], troubles: &[], in_pairs: false };

    let (memory, _) = dies_before_its_send(&scenario, with_an_outbox);
    assert_eq!(item::<NaiveStock>(&memory, "stock").outbox.len(), 1, "stranded");
    assert_eq!(Books::of_naive(&memory).harm(scenario.orders), Some(Harm::Lost));

    let (memory, dead) = dies_before_its_send(&scenario, ours);
    assert_eq!(Books::of_ours(&memory).harm(scenario.orders), Some(Harm::Lost), "so far");
    // Whoever goes through the dead letters asks for each whether it has only to be finished.
    assert_eq!(memory.run(endpoint(memory.ports()).finish(&dead)).unwrap(), Recovered::Finished(Outcome::Resumed));
    assert_eq!(Books::of_ours(&memory).harm(scenario.orders), None);
}

/// A process dies before it sends, and the queue gives its message up. The message as it is in the dead-letter queue.
fn dies_before_its_send(
    scenario: &Scenario,
    consume: impl AsyncFn(&Site, Delivery) -> Result<(), String>,
) -> (Memory, Delivery) {
    let memory = Memory::with_queues(["stock", "orders"]);
    scenario.send(&memory);
    let queue = memory.queues.get("stock");
    let dead = memory.run(async { queue.receive(1, VISIBILITY, VISIBILITY).await.unwrap().remove(0) });
    let taken = Site::new(&memory, &[(BROKER, How::DiesBefore)]);
    let dies = taken.until_it_dies(consume(&taken, dead.clone()));
    assert!(memory.run(dies), "it dies");
    memory.run(queue.delete(vec![dead.receipt.clone()]));
    // Nobody comes for it.
    work_alone(&memory, &[], "stock", &consume);
    (memory, dead)
}
