//! The load generator: it offers messages at a given rate, or a message when another one has ended.

use std::{future::Future, time::Duration};

use futures::{StreamExt as _, stream::FuturesUnordered};

use crate::{
    error::RunError,
    order::{Order, Orders},
    recorder::{Recorder, Tally},
    stop::Stop,
    workload::{Extent, LoadSettings, MESSAGES_MAX},
};

/// Messages in one request.
const BATCH: u64 = 10;
/// The maximum number of concurrent requests in an open loop. A machine that needs more cannot
/// offer the rate, and the report has a remark on that.
const REQUESTS_MAX: usize = 128;
/// Messages that are due within this time are sent in one request.
const TICK: Duration = Duration::from_millis(2);

/// The rule by which messages are offered.
#[derive(Clone, Copy, Debug)]
enum Pacing {
    /// A number of messages per second, independent of their processing.
    Open { rate_per_s: f64 },
    /// A maximum number of messages that are offered and have not ended.
    Closed { window: u64 },
}

impl Pacing {
    fn of(load: &LoadSettings) -> Self {
        load.rate_per_s.map_or(Self::Closed { window: load.window() }, |rate_per_s| Self::Open { rate_per_s })
    }

    /// Returns the number of messages that may be offered now.
    fn room(self, now: Duration, Tally { offered, ended }: Tally) -> u64 {
        match self {
            Self::Open { rate_per_s } => ((now.as_secs_f64() * rate_per_s) as u64 + 1).saturating_sub(offered),
            Self::Closed { window } => {
                let room = window.saturating_sub(offered - ended);
                // Messages end in batches of ten, so they are offered in full batches.
                if room < BATCH.min(window) { 0 } else { room }
            }
        }
    }

    /// Returns the time at which the message with this number should be offered.
    fn due(self, now: Duration, number: u64) -> Duration {
        match self {
            Self::Open { rate_per_s } => Duration::from_secs_f64(number as f64 / rate_per_s),
            Self::Closed { .. } => now,
        }
    }
}

/// Offers all messages of the workload, or those until `stop`. Batches that were started are still
/// sent.
///
/// # Errors
/// The first error of `send`, which must do its own retries.
pub(crate) async fn offer<F>(
    load: &LoadSettings,
    recorder: &Recorder,
    stop: &Stop,
    send: impl Fn(Vec<Order>) -> F,
) -> Result<(), RunError>
where
    F: Future<Output = Result<(), RunError>>,
{
    let (pacing, mut orders) = (Pacing::of(load), Orders::new(load));
    let (messages, mut changes) = (load.messages().unwrap_or(MESSAGES_MAX), recorder.subscribe());
    let mut sending = FuturesUnordered::new();
    loop {
        changes.mark_unchanged();
        let (now, tally) = (recorder.now(), recorder.tally());
        let left = if stop.is_set() || is_late(load, now) { 0 } else { messages.saturating_sub(tally.offered) };
        if left == 0 && sending.is_empty() {
            return Ok(());
        }
        let batch = pacing.room(now, tally).min(left).min(BATCH);
        if batch > 0 && sending.len() < REQUESTS_MAX {
            let numbers = tally.offered..tally.offered + batch;
            let batch = numbers.map(|number| {
                let entity = orders.entity();
                orders.order(recorder.offer(entity, pacing.due(now, number)), entity)
            });
            sending.push(send(batch.collect()));
            continue;
        }
        let is_open = matches!(pacing, Pacing::Open { .. }) && left > 0;
        let pause = pacing.due(now, tally.offered).saturating_sub(now).max(TICK);
        tokio::select! {
            Some(sent) = sending.next(), if !sending.is_empty() => {
                sent?;
                recorder.sent();
            }
            () = recorder.clock().sleep(pause), if is_open => {}
            Ok(()) = changes.changed(), if !is_open && left > 0 => {}
            () = stop.wait(), if left > 0 => {}
        }
    }
}

/// Returns whether the time of a closed loop is over.
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

    /// Offers messages to a worker that processes one at a time, each for the time `each`. Returns
    /// the recorder, and the maximum number of messages that were offered and had not ended.
    fn offered(load: &LoadSettings, each: Duration) -> (Recorder, u64) {
        let memory = Memory::new();
        let recorder = Recorder::new(memory.clock.clone());
        let (_stopper, stop) = Stop::new();
        let (queue, mut queued) = mpsc::unbounded();
        let most = memory.run(async {
            let offering = async {
                let send = |orders: Vec<Order>| {
                    orders.into_iter().for_each(|order| queue.unbounded_send(order.id).expect("the worker receives"));
                    std::future::ready(Ok(()))
                };
                offer(load, &recorder, &stop, send).await.expect("nothing fails");
                queue.close_channel();
            };
            let working = async {
                let mut most = 0;
                while let Some(id) = queued.next().await {
                    let Tally { offered, ended } = recorder.tally();
                    most = most.max(offered - ended);
                    memory.clock.sleep(each).await;
                    recorder.end(id.parse().expect("a number"));
                }
                most
            };
            join(offering, working).await.1
        });
        (recorder, most)
    }

    #[test]
    fn open_loop_latency_includes_the_queue_of_a_slow_worker() {
        let load = LoadSettings { rate_per_s: Some(100.0), extent: Extent::Messages(10), ..LoadSettings::default() };
        let (recorder, _) = offered(&load, Duration::from_millis(100));
        // The tenth message was due at 90 ms, and ends at 1,000 ms.
        let latency = recorder.latency();
        assert!(latency.max_us.abs_diff(910_000) <= 4_000, "{latency:?}");
        assert_eq!(recorder.tally(), Tally { offered: 10, ended: 10 });
        // The offered rate is the real one, although the worker is ten times too slow.
        assert!((90.0..=125.0).contains(&recorder.offered_per_s()), "{}", recorder.offered_per_s());
    }

    #[test]
    fn closed_loop_never_exceeds_its_window() {
        let load = LoadSettings { in_flight_max: 10, extent: Extent::Messages(200), ..LoadSettings::default() };
        let (recorder, most) = offered(&load, Duration::from_millis(10));
        assert_eq!((recorder.tally().ended, most), (200, load.window()));
        let single = LoadSettings { in_flight_max: 1, ..load };
        assert_eq!(offered(&single, Duration::from_millis(10)).1, 2);
    }

    #[test]
    fn closed_loop_can_be_limited_by_time() {
        let load = LoadSettings { in_flight_max: 5, extent: Extent::Seconds(1.0), ..LoadSettings::default() };
        let (recorder, _) = offered(&load, Duration::from_millis(10));
        assert!((100..=110).contains(&recorder.tally().ended), "{:?}", recorder.tally());
    }
}
