//! Laws of [`Queue`].

use std::{collections::BTreeMap, time::Duration};

use futures::FutureExt as _;

use crate::{
    conformance::law::{Law, laws},
    format::timestamp::Timestamp,
    ports::{
        clock::Clock,
        queue::{Delivery, Queue, QueueMessage},
    },
};

/// Runs all laws of [`Queue`] on an empty standard queue that has no other users during the run.
///
/// The laws also hold for queues that deliver late, in any order and more than once, and whose
/// clock differs from `clock`. On such a queue they take about a minute.
///
/// # Panics
/// A law is broken. The message has its name and the value that it found.
pub async fn queue(queue: &dyn Queue, clock: &dyn Clock, scope: &str) {
    let subject = |law| Subject { law, queue, clock };
    laws!(scope, subject;
        receive_from_an_empty_queue_returns_no_message,
        call_without_entries_returns_no_results,
        body_and_attributes_arrive_unchanged,
        any_number_of_messages_can_be_sent,
        receive_returns_at_most_the_requested_number,
        message_is_visible_again_after_its_visibility_timeout,
        deleted_message_is_not_received_again,
        a_delete_can_be_repeated,
        unknown_receipt_fails_alone,
        visibility_timeout_of_zero_makes_the_message_visible,
        extended_visibility_timeout_hides_the_message,
        the_receive_count_grows,
        a_message_keeps_its_id,
        delayed_message_is_not_received_early,
        long_poll_ends_when_a_message_arrives,
        dropped_receive_loses_no_message,
    );
}

/// The visibility timeout of received messages, unless a law sets another one.
const VISIBILITY_TIMEOUT: Duration = Duration::from_secs(60);
/// Longer than a queue needs to deliver a message, and shorter than the visibility timeout.
const DELIVERY_MAX: Duration = Duration::from_secs(15);

struct Subject<'a> {
    law: Law<'a>,
    queue: &'a dyn Queue,
    clock: &'a dyn Clock,
}

impl Subject<'_> {
    fn message(&self, suffix: &str) -> QueueMessage {
        QueueMessage { body: self.law.key(suffix), ..QueueMessage::default() }
    }

    async fn send(&self, messages: Vec<QueueMessage>) {
        let count = messages.len();
        let results = self.queue.send(messages).await;
        self.law.same("the number of results of a send", &results.len(), &count);
        for result in results {
            self.law.ok("a send", result);
        }
    }

    /// Receives until each of these messages was delivered. Returns the first delivery of each, in
    /// order.
    async fn receive_each(&self, bodies: &[&str]) -> Vec<Delivery> {
        const POLLS_MAX: usize = 40;
        let mut found = BTreeMap::new();
        for _ in 0..POLLS_MAX {
            for delivery in self.poll(10, Duration::from_secs(5)).await {
                found.entry(delivery.body.clone()).or_insert(delivery);
            }
            let each: Vec<_> = bodies.iter().filter_map(|body| found.get(&self.law.key(body))).cloned().collect();
            if each.len() == bodies.len() {
                return each;
            }
        }
        self.law.broken(format_args!("{POLLS_MAX} polls for {bodies:?} received only {:?}", found.keys()))
    }

    async fn receive_one(&self, body: &str) -> Delivery {
        self.receive_each(&[body]).await.swap_remove(0)
    }

    async fn poll(&self, max: usize, wait: Duration) -> Vec<Delivery> {
        let deliveries = self.law.ok("a receive", self.queue.receive(max, wait, VISIBILITY_TIMEOUT).await);
        self.law.check(
            "a receive count must be at least 1",
            deliveries.iter().all(|d| d.receive_count >= 1),
            &deliveries,
        );
        self.law.check("a receive must return at most the requested number", deliveries.len() <= max, &deliveries);
        deliveries
    }

    /// Requires that none of these messages is received during `wait`. Returns the other messages
    /// that are received.
    async fn must_not_receive(&self, wait: Duration, bodies: &[&str]) -> Vec<Delivery> {
        let until = self.clock.now().after(wait);
        let mut others = Vec::new();
        loop {
            let left = until.since(self.clock.now());
            let deliveries = self.poll(10, left).await;
            let is_one = |d: &Delivery| bodies.iter().any(|body| d.body == self.law.key(body));
            self.law.check("a message that must not be received", !deliveries.iter().any(is_one), &deliveries);
            let is_quiet = deliveries.is_empty() || left.is_zero();
            others.extend(deliveries);
            if is_quiet {
                return others;
            }
        }
    }

    async fn delete(&self, deliveries: &[Delivery]) {
        let results = self.queue.delete(receipts(deliveries)).await;
        self.law.same("the number of results of a delete", &results.len(), &deliveries.len());
        for result in results {
            self.law.ok("a delete", result);
        }
    }

    async fn extend(&self, delivery: &Delivery, visibility: Duration) {
        let results = self.queue.extend(vec![delivery.receipt.clone()], visibility).await;
        self.law.same("the number of results of an extend", &results.len(), &1);
        for result in results {
            self.law.ok("an extend", result);
        }
    }

    fn since(&self, moment: Timestamp) -> Duration {
        self.clock.now().since(moment)
    }
}

fn receipts(deliveries: &[Delivery]) -> Vec<String> {
    deliveries.iter().map(|delivery| delivery.receipt.clone()).collect()
}

/// A receive without a message returns an empty list, not an error, with and without a wait.
async fn receive_from_an_empty_queue_returns_no_message(s: &Subject<'_>) {
    for wait in [Duration::ZERO, Duration::from_secs(1)] {
        s.law.same("the messages of an empty queue", &s.poll(10, wait).await, &Vec::new());
    }
}

/// A call without entries returns no results. The adapter sends no request, because a service would
/// refuse it.
async fn call_without_entries_returns_no_results(s: &Subject<'_>) {
    s.send(Vec::new()).await;
    s.delete(&[]).await;
    let results = s.queue.extend(Vec::new(), DELIVERY_MAX).await;
    s.law.check("an extend without receipts must return no results", results.is_empty(), &results);
}

/// Text in any script, control characters of JSON texts, and many or large attributes arrive
/// unchanged.
async fn body_and_attributes_arrive_unchanged(s: &Subject<'_>) {
    let texts = ["{\"a\": \"ä€😀 \\u0000\"}\n\t", "<&>'\"", &"x".repeat(100_000)];
    let attributes: BTreeMap<_, _> =
        (0..5).map(|n| (format!("name-{n}_.x"), format!("ä€😀 <&> {n} {}", "y".repeat(n * 500)))).collect();
    for (number, text) in texts.into_iter().enumerate() {
        let body = format!("{number}{text}");
        let attributes = if number == 0 { attributes.clone() } else { BTreeMap::new() };
        s.send(vec![QueueMessage { attributes: attributes.clone(), ..s.message(&body) }]).await;
        let delivery = s.receive_one(&body).await;
        s.law.same("the attributes", &delivery.attributes, &attributes);
        s.delete(&[delivery]).await;
    }
}

/// The adapter splits a send into parts that the service accepts. Every sent message is received at
/// least once.
async fn any_number_of_messages_can_be_sent(s: &Subject<'_>) {
    let bodies: Vec<String> = (0..25).map(|number| format!("message {number}")).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    s.send(bodies.iter().map(|body| s.message(body)).collect()).await;
    let deliveries = s.receive_each(&bodies).await;
    s.delete(&deliveries).await;
}

/// A worker with capacity for one message receives one message.
async fn receive_returns_at_most_the_requested_number(s: &Subject<'_>) {
    let bodies = ["a", "b", "c"];
    s.send(bodies.iter().map(|body| s.message(body)).collect()).await;
    let mut left: Vec<String> = bodies.iter().map(|body| s.law.key(body)).collect();
    for _ in 0..40 {
        let deliveries = s.poll(1, Duration::from_secs(5)).await;
        left.retain(|body| deliveries.iter().all(|delivery| delivery.body != *body));
        s.delete(&deliveries).await;
        if left.is_empty() {
            return;
        }
    }
    s.law.broken(format_args!("{left:?} were not received"));
}

/// A deleted message is not received again, also after its visibility timeout. A message that was
/// not deleted is received again.
async fn deleted_message_is_not_received_again(s: &Subject<'_>) {
    s.send(["a", "b", "kept"].map(|body| s.message(body)).into()).await;
    let deliveries = s.receive_each(&["a", "b", "kept"]).await;
    for delivery in &deliveries {
        s.extend(delivery, Duration::from_secs(2)).await;
    }
    s.delete(&deliveries[..2]).await;
    let others = s.must_not_receive(Duration::from_secs(4), &["a", "b"]).await;
    match others.is_empty() {
        true => s.delete(&[s.receive_one("kept").await]).await,
        false => s.delete(&others).await,
    }
}

/// Deleting a message that is already deleted succeeds.
async fn a_delete_can_be_repeated(s: &Subject<'_>) {
    s.send(vec![s.message("a")]).await;
    let delivery = [s.receive_one("a").await];
    s.delete(&delivery).await;
    s.delete(&delivery).await;
}

/// An entry with a receipt that the queue never issued fails. The other entries succeed, in deletes
/// and in extends.
async fn unknown_receipt_fails_alone(s: &Subject<'_>) {
    s.send(["a", "b"].map(|body| s.message(body)).into()).await;
    let deliveries = s.receive_each(&["a", "b"]).await;
    let among = [&deliveries[0].receipt, "no receipt", &deliveries[1].receipt].map(str::to_owned);
    let extended = s.queue.extend(among.to_vec(), Duration::from_secs(2)).await;
    let deleted = s.queue.delete(among.to_vec()).await;
    for results in [extended, deleted] {
        let succeeded: Vec<bool> = results.iter().map(Result::is_ok).collect();
        s.law.check("only the second entry must fail", succeeded == [true, false, true], &results);
    }
    s.must_not_receive(Duration::from_secs(4), &["a", "b"]).await;
}

/// After a receiver stopped, the message becomes visible without any other action.
async fn message_is_visible_again_after_its_visibility_timeout(s: &Subject<'_>) {
    s.send(vec![s.message("a")]).await;
    let began = s.clock.now();
    let received = s.queue.receive(1, DELIVERY_MAX, Duration::from_secs(4)).await;
    s.law.check("one message must be received", received.as_ref().is_ok_and(|received| received.len() == 1), &received);
    s.must_not_receive(Duration::from_secs(2), &["a"]).await;
    let again = s.receive_one("a").await;
    let elapsed = s.since(began);
    s.law.check("the message must be received again within 30 s", elapsed < DELIVERY_MAX + DELIVERY_MAX, &elapsed);
    s.delete(&[again]).await;
}

/// A visibility timeout of zero makes a message visible at once.
async fn visibility_timeout_of_zero_makes_the_message_visible(s: &Subject<'_>) {
    s.send(vec![s.message("a")]).await;
    let delivery = s.receive_one("a").await;
    let given_back = s.clock.now();
    s.extend(&delivery, Duration::ZERO).await;
    let again = s.receive_one("a").await;
    s.law.check(
        "the message must be received again within 15 s",
        s.since(given_back) < DELIVERY_MAX,
        &s.since(given_back),
    );
    s.delete(&[again]).await;
}

/// A visibility timeout counts from the call that set it. At its end the message becomes visible.
async fn extended_visibility_timeout_hides_the_message(s: &Subject<'_>) {
    s.send(vec![s.message("a")]).await;
    let delivery = s.receive_one("a").await;
    let extended = s.clock.now();
    s.extend(&delivery, Duration::from_secs(4)).await;
    s.must_not_receive(Duration::from_secs(2), &["a"]).await;
    let again = s.receive_one("a").await;
    s.law.check("the message must be received again within 15 s", s.since(extended) < DELIVERY_MAX, &s.since(extended));
    s.delete(&[again]).await;
}

/// Every receive of a message increases its receive count. Workers park a message by this count.
async fn the_receive_count_grows(s: &Subject<'_>) {
    s.send(vec![s.message("a")]).await;
    let mut last = 0;
    for _ in 0..3 {
        let delivery = s.receive_one("a").await;
        s.law.check("the receive count must grow", delivery.receive_count > last, &(last, &delivery));
        last = delivery.receive_count;
        s.extend(&delivery, Duration::ZERO).await;
    }
    let delivery = s.receive_one("a").await;
    s.delete(&[delivery]).await;
}

/// All deliveries of a message have the same queue id. No other message has it.
async fn a_message_keeps_its_id(s: &Subject<'_>) {
    s.send(["a", "b"].map(|body| s.message(body)).into()).await;
    let deliveries = s.receive_each(&["a", "b"]).await;
    let ids: Vec<&str> = deliveries.iter().map(|delivery| &*delivery.id).collect();
    s.law.check("two messages must have two ids", !ids.contains(&"") && ids[0] != ids[1], &ids);
    s.extend(&deliveries[0], Duration::ZERO).await;
    let again = s.receive_one("a").await;
    s.law.same("the id at the next delivery", &again.id, &deliveries[0].id);
    s.delete(&[again, deliveries[1].clone()]).await;
}

/// A message with a delay is received after the delay, and not before.
async fn delayed_message_is_not_received_early(s: &Subject<'_>) {
    let sent = s.clock.now();
    s.send(vec![QueueMessage { delay_s: 4, ..s.message("late") }]).await;
    s.must_not_receive(Duration::from_secs(2), &["late"]).await;
    let late = s.receive_one("late").await;
    // The queue's clock may differ and may round to seconds.
    s.law.check("the message must be delayed", s.since(sent) >= Duration::from_secs(3), &s.since(sent));
    s.law.check(
        "the message must be received within 30 s",
        s.since(sent) < DELIVERY_MAX + DELIVERY_MAX,
        &s.since(sent),
    );
    s.delete(&[late]).await;
}

/// A long poll returns with the first message, not at the end of the wait.
async fn long_poll_ends_when_a_message_arrives(s: &Subject<'_>) {
    let began = s.clock.now();
    let send = async {
        s.clock.sleep(Duration::from_secs(1)).await;
        s.send(vec![s.message("a")]).await;
    };
    let (deliveries, ()) = futures::join!(s.poll(10, Duration::from_secs(20)), send);
    s.law.check("the long poll must return the message", !deliveries.is_empty(), &deliveries);
    s.law.check("the long poll must end within 15 s", s.since(began) < DELIVERY_MAX, &s.since(began));
    s.delete(&deliveries).await;
}

/// If a receive is dropped, another receiver gets its messages after their visibility timeout.
async fn dropped_receive_loses_no_message(s: &Subject<'_>) {
    s.send(vec![s.message("a")]).await;
    drop(s.queue.receive(10, DELIVERY_MAX, Duration::from_secs(2)).now_or_never());
    let delivery = s.receive_one("a").await;
    s.delete(&[delivery]).await;
}
