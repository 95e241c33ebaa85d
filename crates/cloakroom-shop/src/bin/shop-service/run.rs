//! The life of the process: opens the queues, runs the workers, and drains them.

use std::{error::Error, io, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use cloakroom::engine::parking::dead_letter_queue;
use cloakroom::{
    EndpointSettings, PortError, Ports, Worker,
    observe::{LastProgress, Observer as _},
};
use cloakroom_aws::{Aws, TokioClock};
use cloakroom_shop::CountsLog;
use tokio::{
    net::TcpListener,
    signal::unix::{SignalKind, signal},
    sync::watch,
    task::{JoinError, JoinSet},
    time::timeout,
};

use crate::{
    health::{self, Health, Stage},
    settings::{HEALTHY_IDLE_MAX, Settings},
};

/// How often counts are logged.
const COUNTS_EVERY: Duration = Duration::from_secs(60);
/// The pause between two tries to open a queue.
const OPEN_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// The time limit for giving messages back after the drain.
const GIVE_BACK_WITHIN: Duration = Duration::from_secs(3);

type Failure = Box<dyn Error + Send + Sync>;
/// The workers. The error of each names its service.
type Workers = JoinSet<Result<(), Failure>>;

/// Works until SIGTERM or SIGINT, then drains.
///
/// # Errors
/// A worker could not start, or ended without a signal.
pub(crate) async fn run(settings: Settings) -> Result<(), Failure> {
    // Before anything else: the first process of a container ignores a signal for which it has no handler.
    let mut stop_signal = pin!(stop_signal()?);
    if settings.is_impatient() {
        let (seconds, seconds_min) = (settings.idle_max.as_secs(), HEALTHY_IDLE_MAX.as_secs());
        tracing::warn!(
            seconds,
            seconds_min,
            "`SHOP_IDLE_SECONDS` is so short that a healthy process can count as not alive: an idle worker makes \
             progress every 20 seconds, and a worker in an outage every 330; increase it"
        );
    }
    let (stage, staged) = watch::channel(Stage::Opening);
    let progress = || Arc::new(LastProgress::new(Arc::new(TokioClock)));
    let progress: Vec<_> = settings.workers.keys().map(|service| (*service, progress())).collect();
    let health = Health { stage: staged, workers: progress.clone(), idle_max: settings.idle_max };
    serve_health(settings.health, health).await?;

    let loader = aws_config::defaults(aws_config::BehaviorVersion::v2026_01_12());
    let config = loader.http_client(cloakroom_aws::http_client()).load().await;
    let ports = Aws::configured(&config, settings.aws.clone())?.ports();
    tokio::select! {
        opened = open_queues(&settings, &ports) => opened?,
        () = &mut stop_signal => return Ok(()),
    }
    let (mut workers, mut counts) = (Workers::new(), Vec::new());
    for ((service, worker_settings), (_, progress)) in settings.workers.iter().zip(&progress) {
        let service_counts = CountsLog::new(*service);
        let observer = Arc::new((service_counts.observer(), Arc::clone(progress)));
        let endpoint = service.endpoint(ports.clone(), EndpointSettings::default(), observer)?;
        counts.push(service_counts);
        let worker = Worker::new(endpoint, service.name()).settings(worker_settings.clone());
        let (service, drained) = (*service, draining(stage.subscribe()));
        workers.spawn(async move {
            worker.run(drained).await.map_err(|error| format!("the worker of `{service}` ended: {error}").into())
        });
    }
    // Opening the queues is progress.
    progress.iter().for_each(|(service, progress)| progress.progressed(service.name()));
    stage.send_replace(Stage::Working);
    let services: Vec<_> = settings.workers.keys().map(|service| service.name()).collect();
    tracing::info!(services = services.join(","), "working");

    let mut each_minute = tokio::time::interval_at(tokio::time::Instant::now() + COUNTS_EVERY, COUNTS_EVERY);
    let ended = loop {
        tokio::select! {
            () = &mut stop_signal => break Ok(()),
            Some(ended) = workers.join_next() => break flatten(ended),
            _ = each_minute.tick() => counts.iter_mut().for_each(CountsLog::log),
        }
    };
    tracing::info!(seconds = settings.drain.as_secs(), "draining");
    stage.send_replace(Stage::Draining);
    let drained = drain(workers, settings.drain).await;
    counts.iter_mut().for_each(CountsLog::log);
    ended.and(drained)
}

/// Returns a future that is ready at SIGTERM, which ECS sends, and at SIGINT.
fn stop_signal() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn serve_health(address: SocketAddr, health: Health) -> Result<(), Failure> {
    let failed = |error| format!("`SHOP_HEALTH_ADDRESS` is `{address}`, and nothing can listen there: {error}");
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    tracing::info!(address = %listener.local_addr()?, "health is served");
    tokio::spawn(health::serve(listener, health));
    Ok(())
}

/// Opens the queues of all services and their dead-letter queues, and retries while that can help.
async fn open_queues(settings: &Settings, ports: &Ports) -> Result<(), PortError> {
    let services = settings.workers.keys();
    for queue in services.flat_map(|service| [service.name().to_owned(), dead_letter_queue(service.name())]) {
        while let Err(error) = ports.queues.open(&queue).await {
            if !error.may_be_repeated() {
                return Err(error);
            }
            tracing::warn!(%error, "queue not open yet");
            tokio::time::sleep(OPEN_AGAIN_AFTER).await;
        }
    }
    Ok(())
}

/// Ends when the drain begins.
async fn draining(mut stage: watch::Receiver<Stage>) {
    // An error means that the sender was dropped: then the workers drain, too.
    let _ = stage.wait_for(|stage| *stage == Stage::Draining).await;
}

/// Waits for the workers, and returns the first error. Workers that take too long are dropped. That is safe: their
/// messages are received again after their visibility timeout.
async fn drain(mut workers: Workers, within: Duration) -> Result<(), Failure> {
    let mut result = Ok(());
    let all = async {
        while let Some(ended) = workers.join_next().await {
            result = std::mem::replace(&mut result, Ok(())).and(flatten(ended));
        }
    };
    if timeout(within + GIVE_BACK_WITHIN, all).await.is_err() {
        tracing::warn!(
            "messages could not be given back in time; they are received again after their visibility timeout"
        );
    }
    result
}

fn flatten(ended: Result<Result<(), Failure>, JoinError>) -> Result<(), Failure> {
    ended?
}
