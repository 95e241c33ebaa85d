//! Who offers messages: at a pace of its own, or one when another has ended.

use std::{future::Future, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};

use crate::{
    Extent, LoadSettings, RunError, Stop,
    book::{Book, Tally},
    order::{Order, Orders},
    workload::MESSAGES_MAX,
};

/// Messages that share a request.
const BATCH: u64 = 10;
/// Requests under way at a time in an open loop. A machine that needs more cannot offer the rate, and the report says so.
const REQUESTS_MAX: usize = 128;
/// Messages that are due within this time share requests.
const TICK: Duration = Duration::from_millis(2);

/// How fast messages are offered.
#[derive(Clone, Copy, Debug)]
enum Pace {
    /// So many a second, whatever becomes of them.
    Open { rate_per_s: f64 },
    /// So many are under way at most.
    Closed { window: u64 },
}

impl Pace {
    fn of(load: &LoadSettings) -> Self {
        load.rate_per_s.map_or(Self::Closed { window: load.window() }, |rate_per_s| Self::Open { rate_per_s })
    }

    /// How many may be offered now.
    fn room(self, now: Duration, Tally { offered, ended }: Tally) -> u64 {
        match self {
            Self::Open { rate_per_s } => ((now.as_secs_f64() * rate_per_s) as u64 + 1).saturating_sub(offered),
            Self::Closed { window } => {
                let room = window.saturating_sub(offered - ended);
                // Messages end in tens, and are offered so.
                if room < BATCH.min(window) { 0 } else { room }
            }
        }
    }

    /// When the message of this number should be offered.
    fn due(self, now: Duration, number: u64) -> Duration {
        match self {
            Self::Open { rate_per_s } => Duration::from_secs_f64(number as f64 / rate_per_s),
            Self::Closed { .. } => now,
        }
    }
}

/// Offers messages until there were enough of them, or until `stop`; what is under way then is still sent.
///
/// # Errors
/// The first of `send`, which has to try again by itself what can be tried.
pub(crate) async fn offer<F>(
    load: &LoadSettings,
    book: &Book,
    stop: &Stop,
    send: impl Fn(Vec<Order>) -> F,
) -> Result<(), RunError>
where
    F: Future<Output = Result<(), RunError>>,
{
    let (pace, mut orders) = (Pace::of(load), Orders::new(load));
    let (messages, mut news) = (load.messages().unwrap_or(MESSAGES_MAX), book.news());
    let mut sending = FuturesUnordered::new();
    loop {
        news.mark_unchanged();
        let (now, tally) = (book.now(), book.tally());
        let left = if stop.is_set() || is_late(load, now) { 0 } else { messages.saturating_sub(tally.offered) };
        if left == 0 && sending.is_empty() {
            return Ok(());
        }
        let batch = pace.room(now, tally).min(left).min(BATCH);
        if batch > 0 && sending.len() < REQUESTS_MAX {
            let numbers = tally.offered..tally.offered + batch;
            let batch = numbers.map(|number| {
                let entity = orders.entity();
                orders.order(book.offer(entity, pace.due(now, number)), entity)
            });
            sending.push(send(batch.collect()));
            continue;
        }
        let is_open = matches!(pace, Pace::Open { .. }) && left > 0;
        let pause = pace.due(now, tally.offered).saturating_sub(now).max(TICK);
        tokio::select! {
            Some(sent) = sending.next(), if !sending.is_empty() => {
                sent?;
                book.sent();
            }
            () = book.clock().sleep(pause), if is_open => {}
            Ok(()) = news.changed(), if !is_open && left > 0 => {}
            () = stop.wait(), if left > 0 => {}
        }
    }
}

/// Whether a closed loop has gone on for long enough.
fn is_late(load: &LoadSettings, now: Duration) -> bool {
    match (load.extent, load.rate_per_s) {
        (Extent::Seconds(seconds), None) => now.as_secs_f64() >= seconds,
        (Extent::Seconds(_), Some(_)) | (Extent::Messages(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use cloakroom::{memory::Memory, ports::Clock as _};
    use futures::{channel::mpsc, future::join};

    use super::*;

    /// Offers to somebody who sees to one message after the other, for so long each. Answers with the book, and with the
    /// most that were under way.
    fn offered(load: &LoadSettings, each: Duration) -> (Book, u64) {
        let memory = Memory::new();
        let book = Book::new(memory.clock.clone());
        let (_stopper, stop) = Stop::new();
        let (queue, mut queued) = mpsc::unbounded();
        let most = memory.run(async {
            let offering = async {
                let send = |orders: Vec<Order>| {
                    orders.into_iter().for_each(|order| queue.unbounded_send(order.id).expect("somebody receives"));
                    std::future::ready(Ok(()))
                };
                offer(load, &book, &stop, send).await.expect("nothing fails");
                queue.close_channel();
            };
            let working = async {
                let mut most = 0;
                while let Some(id) = queued.next().await {
                    let Tally { offered, ended } = book.tally();
                    most = most.max(offered - ended);
                    memory.clock.sleep(each).await;
                    book.end(id.parse().expect("a number"));
                }
                most
            };
            join(offering, working).await.1
        });
        (book, most)
    }

    #[test]
    fn an_open_loop_counts_the_queue_in_front_of_a_slow_worker() {
        let load = LoadSettings { rate_per_s: Some(100.0), extent: Extent::Messages(10), ..LoadSettings::default() };
        let (book, _) = offered(&load, Duration::from_millis(100));
        // The tenth was due after 90 ms, and ends after 1,000.
        let latency = book.latency();
        assert!(latency.max_us.abs_diff(910_000) <= 4_000, "{latency:?}");
        assert_eq!(book.tally(), Tally { offered: 10, ended: 10 });
        // What was offered is told as it was, although the worker is ten times too slow.
        assert!((90.0..=125.0).contains(&book.offered_per_s()), "{}", book.offered_per_s());
    }

    #[test]
    fn a_closed_loop_has_no_more_under_way_than_its_window() {
        let load = LoadSettings { in_flight_max: 10, extent: Extent::Messages(200), ..LoadSettings::default() };
        let (book, most) = offered(&load, Duration::from_millis(10));
        assert_eq!((book.tally().ended, most), (200, load.window()));
        let single = LoadSettings { in_flight_max: 1, ..load };
        assert_eq!(offered(&single, Duration::from_millis(10)).1, 2);
    }

    #[test]
    fn a_closed_loop_can_go_by_time() {
        let load = LoadSettings { in_flight_max: 5, extent: Extent::Seconds(1.0), ..LoadSettings::default() };
        let (book, _) = offered(&load, Duration::from_millis(10));
        assert!((100..=110).contains(&book.tally().ended), "{:?}", book.tally());
    }
}
