//! Processes that are stopped, and processes that pause and continue.

use std::collections::BTreeSet;

use cloakroom::{Delivery, Outcome, engine::Recovered, memory::Memory, ports::Queue as _};

use crate::{
    audit::{FinalState, Harm},
    naive::{NaiveStock, deterministic, plain, remembering, sending_first, with_an_outbox},
    process::{BROKER, DATABASE, FaultKind, FaultPoint, Process, VISIBILITY, work_alone},
    stock::{Scenario, endpoint, item, with_cloakroom},
};

/// Pauses until long after the message became visible again.
const PAUSED: FaultKind = FaultKind::PausesBefore(2 * VISIBILITY.as_secs());

/// Every naive consumer has a call at which it must not stop.
#[test]
fn process_stopped_between_any_two_calls_does_no_harm_with_cloakroom() {
    let scenario = Scenario { orders: &[("1", 2), ("2", 2)], faults: &[], in_pairs: false };

    macro_rules! harm {
        ($consumer:expr) => {{
            let calls = scenario.calls($consumer);
            let stops = (0..calls).flat_map(|call| {
                [FaultKind::StopsBefore, FaultKind::StopsAfter].map(|kind| (FaultPoint::Call(call), kind))
            });
            stops.filter_map(|stop| scenario.harm_of_naive(stop, $consumer)).collect::<BTreeSet<Harm>>()
        }};
    }
    assert_eq!(harm!(plain), BTreeSet::from([Harm::Doubled, Harm::WrongAnswer]));
    assert_eq!(harm!(sending_first), BTreeSet::from([Harm::Doubled]));
    assert_eq!(harm!(remembering), BTreeSet::from([Harm::Lost]));

    let calls = scenario.calls(with_cloakroom);
    assert!(calls >= 2 * 9, "only {calls} calls");
    for call in 0..calls {
        for kind in [FaultKind::StopsBefore, FaultKind::StopsAfter] {
            assert_eq!(scenario.harm_of_cloakroom((FaultPoint::Call(call), kind)), None, "{kind:?} call {call}");
        }
    }
}

/// (1) The first process reads the stock and pauses. (2) Its message becomes visible again, and
/// another process takes it, and then the second order. (3) The first process continues and writes
/// its copy: a stock without the second order.
#[test]
fn process_paused_before_its_write_does_no_harm_with_cloakroom() {
    let scenario = Scenario { orders: &[("1", 2), ("2", 2)], faults: &[(DATABASE, PAUSED)], in_pairs: true };
    scenario.assert_harm(remembering, Harm::WrongAnswer);
    scenario.assert_harm(with_an_outbox, Harm::WrongAnswer);
    scenario.assert_no_harm();
}

/// The first process pauses at its send, after its write. Another process then finds that the
/// message was processed.
#[test]
fn process_paused_before_its_send_does_no_harm_with_cloakroom() {
    let scenario = Scenario { orders: &[("1", 4), ("2", 4)], faults: &[(BROKER, PAUSED)], in_pairs: true };
    scenario.assert_harm(deterministic, Harm::WrongAnswer);
    scenario.assert_no_harm();
}

/// The queue moves the message to its dead-letter queue after the first receive. The message was
/// committed by then. Its answer is in an outbox that no delivery leads to any more.
#[test]
fn message_dead_lettered_after_its_commit_can_be_finished() {
    let scenario = Scenario { orders: &[("1", 2)], faults: &[], in_pairs: false };

    let (memory, _) = stops_before_sending(&scenario, with_an_outbox);
    assert_eq!(item::<NaiveStock>(&memory, "stock").outbox.len(), 1, "the answer stays in the outbox");
    assert_eq!(FinalState::of_naive(&memory).harm(scenario.orders), Some(Harm::Lost));

    let (memory, dead) = stops_before_sending(&scenario, with_cloakroom);
    assert_eq!(FinalState::of_cloakroom(&memory).harm(scenario.orders), Some(Harm::Lost), "so far");
    // An operator finishes each message of the dead-letter queue that was committed.
    assert_eq!(memory.run(endpoint(memory.ports()).finish(&dead)).unwrap(), Recovered::Finished(Outcome::Resumed));
    assert_eq!(FinalState::of_cloakroom(&memory).harm(scenario.orders), None);
}

/// Stops a process before it sends, and deletes its message from the queue. Returns the message as
/// it is in the dead-letter queue.
fn stops_before_sending(
    scenario: &Scenario,
    consume: impl AsyncFn(&Process, Delivery) -> Result<(), String>,
) -> (Memory, Delivery) {
    let memory = Memory::with_queues(["stock", "orders"]);
    scenario.send(&memory);
    let queue = memory.queues.get("stock");
    let dead = memory.run(async { queue.receive(1, VISIBILITY, VISIBILITY).await.unwrap().remove(0) });
    let taken = Process::new(&memory, &[(BROKER, FaultKind::StopsBefore)]);
    let is_stopped = taken.is_stopped_during(consume(&taken, dead.clone()));
    assert!(memory.run(is_stopped), "the process is stopped");
    memory.run(queue.delete(vec![dead.receipt.clone()]));
    // No worker receives the message.
    work_alone(&memory, &[], "stock", &consume);
    (memory, dead)
}
