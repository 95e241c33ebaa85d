use futures::{FutureExt as _, future::join};

use crate::{
    memory::Memory,
    ports::{
        batching::BatchingQueue,
        queue::{Queue as _, QueueMessage},
    },
};

use super::*;

fn message(text: &str) -> QueueMessage {
    QueueMessage { body: text.to_owned(), ..QueueMessage::default() }
}

fn coalesced(memory: &Memory) -> BatchingQueue {
    BatchingQueue::new(memory.queues.get("q"), memory.clock.clone(), Duration::from_millis(10))
}

#[test]
fn when_the_leader_is_dropped_another_takes_over() {
    let memory = Memory::with_queues(["q"]);
    let queue = coalesced(&memory);
    let mut leader = queue.send(vec![message("leader")]);
    let mut second = queue.send(vec![message("second")]);
    let mut third = queue.send(vec![message("third")]);
    memory.run(async {
        assert!((&mut leader).now_or_never().is_none());
        assert!((&mut second).now_or_never().is_none());
        assert!((&mut third).now_or_never().is_none());
        drop(leader);
        assert!(join(second, third).await.0[0].is_ok());
    });
    let mut sent: Vec<_> = memory.queues.get("q").messages().into_iter().map(|message| message.body).collect();
    sent.sort();
    assert_eq!(sent, ["second", "third"], "what nobody waits for is not sent");
}

#[test]
fn a_leader_that_nobody_polls_holds_up_nobody() {
    let memory = Memory::with_queues(["q"]);
    let queue = coalesced(&memory);
    let mut frozen = queue.send(vec![message("leader")]);
    memory.run(async {
        assert!((&mut frozen).now_or_never().is_none());
        assert!(queue.send(vec![message("second")]).await[0].is_ok());
        assert!(frozen.await[0].is_ok());
    });
    assert_eq!(memory.queues.get("q").len(), 2);
}

#[test]
fn a_leader_who_comes_late_disturbs_nobody() {
    let memory = Memory::with_queues(["q"]);
    let queue = coalesced(&memory);
    let send = |text: &str| queue.send(vec![message(text)]);
    let mut late = send("late");
    memory.run(async {
        assert!((&mut late).now_or_never().is_none());
        // Does not wait for the leader, who is sent, too, and does not know yet.
        assert!(send("hasty").await[0].is_ok());
        let mut second = send("second");
        assert!((&mut second).now_or_never().is_none());
        assert!(late.await[0].is_ok());
        let mut third = send("third");
        assert!((&mut third).now_or_never().is_none());
        // Bounded: each could make the other one begin anew, for ever.
        let (mut both, mut polls) = (join(second, third), 0);
        let both = std::future::poll_fn(|context| {
            polls += 1;
            assert!(polls < 100, "they keep each other from being sent");
            both.poll_unpin(context)
        });
        let (second, third) = both.await;
        assert!(second[0].is_ok() && third[0].is_ok());
    });
    assert_eq!(memory.queues.get("q").len(), 4);
}

#[test]
fn a_full_batch_does_not_wait() {
    let memory = Memory::with_queues(["q"]);
    let queue = coalesced(&memory);
    let before = memory.clock.now();
    memory.run(join_all((0..20).map(|number| queue.send(vec![message(&number.to_string())]))));
    assert_eq!(memory.queues.get("q").len(), 20);
    assert_eq!(memory.clock.now(), before);
}

/// Requests as they were made: when, and of what.
#[derive(Default)]
struct Requests(Mutex<Vec<(u64, Vec<u32>)>>);

/// Answers each number with its double, and takes its time.
async fn double(memory: &Memory, requests: &Requests, numbers: Vec<u32>, takes: Duration) -> Vec<Answer<u32>> {
    requests.0.lock().unwrap().push((memory.clock.monotonic().as_millis() as u64, numbers.clone()));
    memory.clock.sleep(takes).await;
    numbers.into_iter().map(|number| Ok(2 * number)).collect()
}

const MS: Duration = Duration::from_millis(1);

fn prompt(memory: &Memory) -> Batcher<u32, u32> {
    Batcher::new("doubling", 10, Pace::Prompt(10 * MS), memory.clock.clone())
}

#[test]
fn what_is_asked_for_in_one_turn_goes_together_and_at_once() {
    let (memory, requests) = (Memory::new(), Requests::default());
    let coalescer = prompt(&memory);
    let request = |numbers| double(&memory, &requests, numbers, Duration::ZERO);
    let answers = memory.run(join_all((0..3).map(|number| coalescer.one(number, &request))));
    assert_eq!(answers.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [0, 2, 4]);
    assert_eq!(*requests.0.lock().unwrap(), [(0, vec![0, 1, 2])]);
}

#[test]
fn while_a_request_is_under_way_the_next_one_gathers() {
    let (memory, requests) = (Memory::new(), Requests::default());
    let coalescer = prompt(&memory);
    let request = |numbers| double(&memory, &requests, numbers, 4 * MS);
    let after = async |ms: u32| {
        memory.clock.sleep(ms * MS).await;
        coalescer.one(ms, &request).await
    };
    memory.run(join_all((0..4).map(after)));
    assert_eq!(*requests.0.lock().unwrap(), [(0, vec![0]), (4, vec![1, 2, 3])]);
}

#[test]
fn nobody_waits_long_for_a_request_that_is_not_answered() {
    let (memory, requests) = (Memory::new(), Requests::default());
    let coalescer = prompt(&memory);
    let request = |numbers| double(&memory, &requests, numbers, 1_000 * MS);
    let second = async {
        memory.clock.sleep(MS).await;
        coalescer.one(2, &request).await
    };
    let answers = memory.run(join(coalescer.one(1, &request), second));
    assert_eq!((answers.0.ok(), answers.1.ok()), (Some(2), Some(4)));
    assert_eq!(*requests.0.lock().unwrap(), [(0, vec![1]), (11, vec![2])]);
}

#[test]
fn who_waits_for_a_request_whose_sender_is_dropped_is_told_and_the_next_one_goes() {
    let (memory, requests) = (Memory::new(), Requests::default());
    let coalescer = prompt(&memory);
    let request = |numbers| double(&memory, &requests, numbers, 1_000 * MS);
    memory.run(async {
        let mut sender = Box::pin(coalescer.one(1, &request));
        let mut follower = Box::pin(coalescer.one(2, &request));
        assert!((&mut sender).now_or_never().is_none() && (&mut follower).now_or_never().is_none());
        assert!((&mut sender).now_or_never().is_none(), "the request is under way");
        drop(sender);
        let error = follower.await.expect_err("nobody knows");
        assert!(error.may_have_happened() && error.may_be_repeated(), "{error}");
        let before = memory.clock.monotonic();
        assert_eq!(coalescer.one(3, &request).await.ok(), Some(6));
        assert_eq!(memory.clock.monotonic(), before + 1_000 * MS, "it waits for no other");
    });
}

/// A request that takes longer than anybody's patience, while the next one hangs.
#[test]
fn who_is_sent_already_sends_for_nobody_else() {
    let memory = Memory::new();
    let coalescer = prompt(&memory);
    let request = async |numbers: Vec<u32>| {
        memory.clock.sleep(if numbers.contains(&3) { 10_000 * MS } else { 25 * MS }).await;
        numbers.into_iter().map(|number| Ok(2 * number)).collect()
    };
    memory.run(async {
        let first = join(coalescer.one(1, &request), coalescer.one(2, &request));
        let third = async {
            memory.clock.sleep(19 * MS).await;
            coalescer.one(3, &request).await
        };
        let answered = async {
            let answers = first.await;
            (answers, memory.clock.monotonic())
        };
        let ((answers, at), _) = join(answered, third).await;
        assert_eq!((answers.0.ok(), answers.1.ok(), at), (Some(2), Some(4), 25 * MS));
    });
}

/// A request under way whose sender is not polled again: its task computes, or its connection is dead.
fn sent_and_frozen<F: Future<Output = Answer<u32>>>(sender: F) -> std::pin::Pin<Box<F>> {
    let mut sender = Box::pin(sender);
    assert!((&mut sender).now_or_never().is_none(), "the sender ends its turn");
    sender
}

#[test]
fn follower_asks_alone_while_the_sender_is_not_polled() {
    let (memory, requests) = (Memory::new(), Requests::default());
    let coalescer = prompt(&memory).answers_within(1_000 * MS);
    let request = |numbers| double(&memory, &requests, numbers, 50 * MS);
    memory.run(async {
        let mut sender = sent_and_frozen(coalescer.one_or_alone(1, &request));
        let mut follower = Box::pin(coalescer.one_or_alone(2, &request));
        assert!((&mut follower).now_or_never().is_none());
        assert!((&mut sender).now_or_never().is_none(), "the request of both is under way");
        assert_eq!(follower.await.ok(), Some(4));
        assert_eq!(memory.clock.monotonic(), (20 + 1_000 + 50) * MS);
        assert_eq!(sender.await.ok(), Some(2));
    });
    assert_eq!(*requests.0.lock().unwrap(), [(0, vec![1, 2]), (1_020, vec![2])]);
}

#[test]
fn follower_asks_alone_when_the_sender_is_dropped() {
    let (memory, requests) = (Memory::new(), Requests::default());
    let coalescer = prompt(&memory);
    let request = |numbers| double(&memory, &requests, numbers, 50 * MS);
    memory.run(async {
        let mut sender = sent_and_frozen(coalescer.one_or_alone(1, &request));
        let mut follower = Box::pin(coalescer.one_or_alone(2, &request));
        assert!((&mut follower).now_or_never().is_none());
        assert!((&mut sender).now_or_never().is_none(), "the request of both is under way");
        drop(sender);
        assert_eq!(follower.await.ok(), Some(4));
    });
    assert_eq!(*requests.0.lock().unwrap(), [(0, vec![1, 2]), (0, vec![2])]);
}

#[test]
fn follower_of_an_unanswered_send_learns_that_the_outcome_is_unknown() {
    let (memory, requests) = (Memory::new(), Requests::default());
    let coalescer = prompt(&memory).answers_within(10_000 * MS);
    let request = |numbers| double(&memory, &requests, numbers, 1_000_000 * MS);
    memory.run(async {
        let mut sender = sent_and_frozen(coalescer.one(1, &request));
        let mut followers = Box::pin(coalescer.all(vec![2, 3], &request));
        assert!((&mut followers).now_or_never().is_none());
        assert!((&mut sender).now_or_never().is_none(), "the request of all is under way");
        for answer in followers.await {
            let error = answer.expect_err("there is no answer");
            assert!(error.may_have_happened() && error.may_be_repeated(), "{error}");
            assert!(error.to_string().starts_with("doubling failed: no answer within 10000 ms"), "{error}");
        }
        assert_eq!(memory.clock.monotonic(), (20 + 10_000) * MS);
    });
    assert_eq!(*requests.0.lock().unwrap(), [(0, vec![1, 2, 3])], "an entry is in one request");
}
