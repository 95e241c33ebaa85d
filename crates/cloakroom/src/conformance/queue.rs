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

/// Runs all laws of [`Queue`] on a standard queue that is empty, and that nobody else uses meanwhile.
///
/// They hold for queues that deliver late, in any order and more than once, and whose clock is another one.
/// On such a queue they take about a minute.
///
/// # Panics
/// With the name of the first law that is broken, and what was seen.
pub async fn queue(queue: &dyn Queue, clock: &dyn Clock, scope: &str) {
    let subject = |law| Subject { law, queue, clock };
    laws!(scope, subject;
        an_empty_queue_answers_with_nothing,
        nothing_to_do_is_answered_with_nothing,
        body_and_attributes_arrive_unchanged,
        any_number_of_messages_can_be_sent,
        no_more_is_received_than_was_asked_for,
        the_end_of_a_lease_gives_the_message_back,
        a_deleted_message_does_not_return,
        a_delete_can_be_repeated,
        a_receipt_that_was_never_given_fails_alone,
        visibility_of_nothing_gives_the_message_back,
        visibility_holds_a_message_back,
        the_receive_count_grows,
        a_message_keeps_its_id,
        a_delayed_message_is_held_back,
        a_long_poll_ends_when_a_message_comes,
        a_receive_that_is_dropped_loses_nothing,
    );
}

/// How long received messages are leased, where a law does not say otherwise.
const LEASE: Duration = Duration::from_secs(60);
/// Longer than what a queue needs to give a message out, shorter than a lease.
const SOON: Duration = Duration::from_secs(15);

struct Subject<'a> {
    law: Law<'a>,
    queue: &'a dyn Queue,
    clock: &'a dyn Clock,
}

impl Subject<'_> {
    fn message(&self, what: &str) -> QueueMessage {
        QueueMessage { body: self.law.key(what), ..QueueMessage::default() }
    }

    async fn send(&self, messages: Vec<QueueMessage>) {
        let count = messages.len();
        let results = self.queue.send(messages).await;
        self.law.same("the number of results of a send", &results.len(), &count);
        for result in results {
            self.law.ok("a send", result);
        }
    }

    /// Receives until there is a delivery of each of these messages, and returns the first of each, in order.
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
        self.law.broken(format_args!("after {POLLS_MAX} polls for {bodies:?} only {:?} were received", found.keys()))
    }

    async fn receive_one(&self, body: &str) -> Delivery {
        self.receive_each(&[body]).await.swap_remove(0)
    }

    async fn poll(&self, max: usize, wait: Duration) -> Vec<Delivery> {
        let deliveries = self.law.ok("a receive", self.queue.receive(max, wait, LEASE).await);
        self.law.check("a receive count begins at 1", deliveries.iter().all(|d| d.receive_count >= 1), &deliveries);
        self.law.check("a receive returns at most what was asked for", deliveries.len() <= max, &deliveries);
        deliveries
    }

    /// Demands that none of these messages is received for a while. Returns others that are.
    async fn must_be_quiet(&self, wait: Duration, bodies: &[&str]) -> Vec<Delivery> {
        let until = self.clock.now().after(wait);
        let mut others = Vec::new();
        loop {
            let left = until.since(self.clock.now());
            let deliveries = self.poll(10, left).await;
            let is_one = |d: &Delivery| bodies.iter().any(|body| d.body == self.law.key(body));
            self.law.check("a message that must not come", !deliveries.iter().any(is_one), &deliveries);
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

/// No message is an answer, not an error; with and without a wait.
async fn an_empty_queue_answers_with_nothing(s: &Subject<'_>) {
    for wait in [Duration::ZERO, Duration::from_secs(1)] {
        s.law.same("an empty queue's answer", &s.poll(10, wait).await, &Vec::new());
    }
}

/// No entries give no results, and no call that a service would refuse.
async fn nothing_to_do_is_answered_with_nothing(s: &Subject<'_>) {
    s.send(Vec::new()).await;
    s.delete(&[]).await;
    let results = s.queue.extend(Vec::new(), SOON).await;
    s.law.check("results of an extend of nothing", results.is_empty(), &results);
}

/// Text in any script, control characters of JSON texts, many and large attributes arrive as they were sent.
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

/// The adapter splits what a service takes in parts; every message sent is received at least once.
async fn any_number_of_messages_can_be_sent(s: &Subject<'_>) {
    let bodies: Vec<String> = (0..25).map(|number| format!("message {number}")).collect();
    let bodies: Vec<&str> = bodies.iter().map(String::as_str).collect();
    s.send(bodies.iter().map(|body| s.message(body)).collect()).await;
    let deliveries = s.receive_each(&bodies).await;
    s.delete(&deliveries).await;
}

/// A worker that has one place left gets one message.
async fn no_more_is_received_than_was_asked_for(s: &Subject<'_>) {
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
    s.law.broken(format_args!("{left:?} did not come"));
}

/// Acknowledged is acknowledged, also when the lease ends; what was not acknowledged returns.
async fn a_deleted_message_does_not_return(s: &Subject<'_>) {
    s.send(["a", "b", "kept"].map(|body| s.message(body)).into()).await;
    let deliveries = s.receive_each(&["a", "b", "kept"]).await;
    for delivery in &deliveries {
        s.extend(delivery, Duration::from_secs(2)).await;
    }
    s.delete(&deliveries[..2]).await;
    let others = s.must_be_quiet(Duration::from_secs(4), &["a", "b"]).await;
    match others.is_empty() {
        true => s.delete(&[s.receive_one("kept").await]).await,
        false => s.delete(&others).await,
    }
}

/// Deleting what is gone already is a success.
async fn a_delete_can_be_repeated(s: &Subject<'_>) {
    s.send(vec![s.message("a")]).await;
    let delivery = [s.receive_one("a").await];
    s.delete(&delivery).await;
    s.delete(&delivery).await;
}

/// An entry with a receipt that the queue never gave fails, and its neighbours succeed; in deletes and extends.
async fn a_receipt_that_was_never_given_fails_alone(s: &Subject<'_>) {
    s.send(["a", "b"].map(|body| s.message(body)).into()).await;
    let deliveries = s.receive_each(&["a", "b"]).await;
    let among = [&deliveries[0].receipt, "no receipt", &deliveries[1].receipt].map(str::to_owned);
    let extended = s.queue.extend(among.to_vec(), Duration::from_secs(2)).await;
    let deleted = s.queue.delete(among.to_vec()).await;
    for results in [extended, deleted] {
        let succeeded: Vec<bool> = results.iter().map(Result::is_ok).collect();
        s.law.check("the results of good, bad, good", succeeded == [true, false, true], &results);
    }
    s.must_be_quiet(Duration::from_secs(4), &["a", "b"]).await;
}

/// A receiver that died is noticed by nothing else.
async fn the_end_of_a_lease_gives_the_message_back(s: &Subject<'_>) {
    s.send(vec![s.message("a")]).await;
    let received = s.clock.now();
    let leased = s.queue.receive(1, SOON, Duration::from_secs(4)).await;
    s.law.check("one is received", leased.as_ref().is_ok_and(|leased| leased.len() == 1), &leased);
    s.must_be_quiet(Duration::from_secs(2), &["a"]).await;
    let again = s.receive_one("a").await;
    s.law.check("the message comes back soon", s.since(received) < SOON + SOON, &s.since(received));
    s.delete(&[again]).await;
}

/// A visibility of nothing is how a message is given back at once.
async fn visibility_of_nothing_gives_the_message_back(s: &Subject<'_>) {
    s.send(vec![s.message("a")]).await;
    let delivery = s.receive_one("a").await;
    let given_back = s.clock.now();
    s.extend(&delivery, Duration::ZERO).await;
    let again = s.receive_one("a").await;
    s.law.check("the message comes back soon", s.since(given_back) < SOON, &s.since(given_back));
    s.delete(&[again]).await;
}

/// The time set counts from the moment at which it was set. Its end gives the message back.
async fn visibility_holds_a_message_back(s: &Subject<'_>) {
    s.send(vec![s.message("a")]).await;
    let delivery = s.receive_one("a").await;
    let extended = s.clock.now();
    s.extend(&delivery, Duration::from_secs(4)).await;
    s.must_be_quiet(Duration::from_secs(2), &["a"]).await;
    let again = s.receive_one("a").await;
    s.law.check("the message comes back soon", s.since(extended) < SOON, &s.since(extended));
    s.delete(&[again]).await;
}

/// Every receive of a message counts: that is how the hopeless ones are found.
async fn the_receive_count_grows(s: &Subject<'_>) {
    s.send(vec![s.message("a")]).await;
    let mut last = 0;
    for _ in 0..3 {
        let delivery = s.receive_one("a").await;
        s.law.check("the receive count grows", delivery.receive_count > last, &(last, &delivery));
        last = delivery.receive_count;
        s.extend(&delivery, Duration::ZERO).await;
    }
    let delivery = s.receive_one("a").await;
    s.delete(&[delivery]).await;
}

/// The queue's own id is the same in every delivery of a message, and that of no other.
async fn a_message_keeps_its_id(s: &Subject<'_>) {
    s.send(["a", "b"].map(|body| s.message(body)).into()).await;
    let deliveries = s.receive_each(&["a", "b"]).await;
    let ids: Vec<&str> = deliveries.iter().map(|delivery| &*delivery.id).collect();
    s.law.check("two messages have two ids", !ids.contains(&"") && ids[0] != ids[1], &ids);
    s.extend(&deliveries[0], Duration::ZERO).await;
    let again = s.receive_one("a").await;
    s.law.same("the id at the next delivery", &again.id, &deliveries[0].id);
    s.delete(&[again, deliveries[1].clone()]).await;
}

/// A message with a delay is received after it, and not before.
async fn a_delayed_message_is_held_back(s: &Subject<'_>) {
    let sent = s.clock.now();
    s.send(vec![QueueMessage { delay_s: 4, ..s.message("late") }]).await;
    s.must_be_quiet(Duration::from_secs(2), &["late"]).await;
    let late = s.receive_one("late").await;
    // The queue has its own clock, and may round to seconds.
    s.law.check("it was held back", s.since(sent) >= Duration::from_secs(3), &s.since(sent));
    s.law.check("it comes soon", s.since(sent) < SOON + SOON, &s.since(sent));
    s.delete(&[late]).await;
}

/// A receive that waits returns with the first message, not at the end of the wait.
async fn a_long_poll_ends_when_a_message_comes(s: &Subject<'_>) {
    let began = s.clock.now();
    let send = async {
        s.clock.sleep(Duration::from_secs(1)).await;
        s.send(vec![s.message("a")]).await;
    };
    let (deliveries, ()) = futures::join!(s.poll(10, Duration::from_secs(20)), send);
    s.law.check("it returned with the message", !deliveries.is_empty(), &deliveries);
    s.law.check("it returned at once", s.since(began) < SOON, &s.since(began));
    s.delete(&deliveries).await;
}

/// A message that was on its way to a receiver that is gone is received by another when its lease ends.
async fn a_receive_that_is_dropped_loses_nothing(s: &Subject<'_>) {
    s.send(vec![s.message("a")]).await;
    drop(s.queue.receive(10, SOON, Duration::from_secs(2)).now_or_never());
    let delivery = s.receive_one("a").await;
    s.delete(&[delivery]).await;
}
