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

fn batching_queue(memory: &Memory) -> BatchingQueue {
    BatchingQueue::new(memory.queues.get("q"), memory.clock.clone(), Duration::from_millis(10))
}

#[test]
fn follower_takes_over_when_its_leader_is_dropped() {
    let memory = Memory::with_queues(["q"]);
    let queue = batching_queue(&memory);
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
    assert_eq!(sent, ["second", "third"], "the entry of a dropped caller is not sent");
}

#[test]
fn unpolled_leader_does_not_block_other_callers() {
    let memory = Memory::with_queues(["q"]);
    let queue = batching_queue(&memory);
    let mut frozen = queue.send(vec![message("leader")]);
    memory.run(async {
        assert!((&mut frozen).now_or_never().is_none());
        assert!(queue.send(vec![message("second")]).await[0].is_ok());
        assert!(frozen.await[0].is_ok());
    });
    assert_eq!(memory.queues.get("q").len(), 2);
}

#[test]
fn late_leader_does_not_take_the_entries_of_a_new_leader() {
    let memory = Memory::with_queues(["q"]);
    let queue = batching_queue(&memory);
    let send = |text: &str| queue.send(vec![message(text)]);
    let mut late = send("late");
    memory.run(async {
        assert!((&mut late).now_or_never().is_none());
        // This caller does not wait for the leader. It also sends the leader's entry, and the
        // leader is not polled yet.
        assert!(send("hasty").await[0].is_ok());
        let mut second = send("second");
        assert!((&mut second).now_or_never().is_none());
        assert!(late.await[0].is_ok());
        let mut third = send("third");
        assert!((&mut third).now_or_never().is_none());
        // The polls are limited, because each caller could make the other one start again, forever.
        let (mut both, mut polls) = (join(second, third), 0);
        let both = std::future::poll_fn(|context| {
            polls += 1;
            assert!(polls < 100, "the two callers prevent each other's request");
            both.poll_unpin(context)
        });
        let (second, third) = both.await;
        assert!(second[0].is_ok() && third[0].is_ok());
    });
    assert_eq!(memory.queues.get("q").len(), 4);
}

#[test]
fn full_batch_is_sent_at_once() {
    let memory = Memory::with_queues(["q"]);
    let queue = batching_queue(&memory);
    let before = memory.clock.now();
    memory.run(join_all((0..20).map(|number| queue.send(vec![message(&number.to_string())]))));
    assert_eq!(memory.queues.get("q").len(), 20);
    assert_eq!(memory.clock.now(), before);
}

/// The requests that were made: the time of each, and its values.
#[derive(Default)]
struct Requests(Mutex<Vec<(u64, Vec<u32>)>>);

/// Answers each number with its double, after the time `takes`.
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
fn calls_of_one_executor_turn_share_a_request_without_waiting() {
    let (memory, requests) = (Memory::new(), Requests::default());
    let batcher = prompt(&memory);
    let request = |numbers| double(&memory, &requests, numbers, Duration::ZERO);
    let answers = memory.run(join_all((0..3).map(|number| batcher.one(number, &request))));
    assert_eq!(answers.into_iter().map(Result::unwrap).collect::<Vec<_>>(), [0, 2, 4]);
    assert_eq!(*requests.0.lock().unwrap(), [(0, vec![0, 1, 2])]);
}

#[test]
fn entries_gather_while_a_request_is_in_flight() {
    let (memory, requests) = (Memory::new(), Requests::default());
    let batcher = prompt(&memory);
    let request = |numbers| double(&memory, &requests, numbers, 4 * MS);
    let after = async |ms: u32| {
        memory.clock.sleep(ms * MS).await;
        batcher.one(ms, &request).await
    };
    memory.run(join_all((0..4).map(after)));
    assert_eq!(*requests.0.lock().unwrap(), [(0, vec![0]), (4, vec![1, 2, 3])]);
}

#[test]
fn caller_waits_at_most_the_pace_for_an_unanswered_request() {
    let (memory, requests) = (Memory::new(), Requests::default());
    let batcher = prompt(&memory);
    let request = |numbers| double(&memory, &requests, numbers, 1_000 * MS);
    let second = async {
        memory.clock.sleep(MS).await;
        batcher.one(2, &request).await
    };
    let answers = memory.run(join(batcher.one(1, &request), second));
    assert_eq!((answers.0.ok(), answers.1.ok()), (Some(2), Some(4)));
    assert_eq!(*requests.0.lock().unwrap(), [(0, vec![1]), (11, vec![2])]);
}

#[test]
fn follower_of_a_dropped_sender_gets_an_error_and_the_next_request_is_sent() {
    let (memory, requests) = (Memory::new(), Requests::default());
    let batcher = prompt(&memory);
    let request = |numbers| double(&memory, &requests, numbers, 1_000 * MS);
    memory.run(async {
        let mut sender = Box::pin(batcher.one(1, &request));
        let mut follower = Box::pin(batcher.one(2, &request));
        assert!((&mut sender).now_or_never().is_none() && (&mut follower).now_or_never().is_none());
        assert!((&mut sender).now_or_never().is_none(), "the request is in flight");
        drop(sender);
        let error = follower.await.expect_err("the outcome is unknown");
        assert!(error.may_have_happened() && error.may_be_repeated(), "{error}");
        let before = memory.clock.monotonic();
        assert_eq!(batcher.one(3, &request).await.ok(), Some(6));
        assert_eq!(memory.clock.monotonic(), before + 1_000 * MS, "it does not wait for the dropped request");
    });
}

/// The first request takes longer than a follower waits for its leader, and the next request takes
/// much longer.
#[test]
fn follower_in_flight_does_not_send_the_next_request() {
    let memory = Memory::new();
    let batcher = prompt(&memory);
    let request = async |numbers: Vec<u32>| {
        memory.clock.sleep(if numbers.contains(&3) { 10_000 * MS } else { 25 * MS }).await;
        numbers.into_iter().map(|number| Ok(2 * number)).collect()
    };
    memory.run(async {
        let first = join(batcher.one(1, &request), batcher.one(2, &request));
        let third = async {
            memory.clock.sleep(19 * MS).await;
            batcher.one(3, &request).await
        };
        let answered = async {
            let answers = first.await;
            (answers, memory.clock.monotonic())
        };
        let ((answers, at), _) = join(answered, third).await;
        assert_eq!((answers.0.ok(), answers.1.ok(), at), (Some(2), Some(4), 25 * MS));
    });
}

/// Returns the sender of a request in flight. It is not polled again, as if its task were busy or
/// its connection dead.
fn sent_and_frozen<F: Future<Output = Answer<u32>>>(sender: F) -> std::pin::Pin<Box<F>> {
    let mut sender = Box::pin(sender);
    assert!((&mut sender).now_or_never().is_none(), "the sender ends its turn");
    sender
}

#[test]
fn follower_repeats_its_request_alone_while_the_sender_is_not_polled() {
    let (memory, requests) = (Memory::new(), Requests::default());
    let batcher = prompt(&memory).answers_within(1_000 * MS);
    let request = |numbers| double(&memory, &requests, numbers, 50 * MS);
    memory.run(async {
        let mut sender = sent_and_frozen(batcher.one_or_alone(1, &request));
        let mut follower = Box::pin(batcher.one_or_alone(2, &request));
        assert!((&mut follower).now_or_never().is_none());
        assert!((&mut sender).now_or_never().is_none(), "the request of both is under way");
        assert_eq!(follower.await.ok(), Some(4));
        assert_eq!(memory.clock.monotonic(), (20 + 1_000 + 50) * MS);
        assert_eq!(sender.await.ok(), Some(2));
    });
    assert_eq!(*requests.0.lock().unwrap(), [(0, vec![1, 2]), (1_020, vec![2])]);
}

#[test]
fn follower_repeats_its_request_alone_when_the_sender_is_dropped() {
    let (memory, requests) = (Memory::new(), Requests::default());
    let batcher = prompt(&memory);
    let request = |numbers| double(&memory, &requests, numbers, 50 * MS);
    memory.run(async {
        let mut sender = sent_and_frozen(batcher.one_or_alone(1, &request));
        let mut follower = Box::pin(batcher.one_or_alone(2, &request));
        assert!((&mut follower).now_or_never().is_none());
        assert!((&mut sender).now_or_never().is_none(), "the request of both is under way");
        drop(sender);
        assert_eq!(follower.await.ok(), Some(4));
    });
    assert_eq!(*requests.0.lock().unwrap(), [(0, vec![1, 2]), (0, vec![2])]);
}

#[test]
fn follower_of_an_unanswered_send_gets_an_unknown_outcome() {
    let (memory, requests) = (Memory::new(), Requests::default());
    let batcher = prompt(&memory).answers_within(10_000 * MS);
    let request = |numbers| double(&memory, &requests, numbers, 1_000_000 * MS);
    memory.run(async {
        let mut sender = sent_and_frozen(batcher.one(1, &request));
        let mut followers = Box::pin(batcher.all(vec![2, 3], &request));
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
