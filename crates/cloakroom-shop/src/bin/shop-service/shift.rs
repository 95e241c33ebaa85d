//! A shift: from opening the queues to the last message in hand.

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
/// Between two tries to open a queue.
const OPEN_AGAIN_AFTER: Duration = Duration::from_secs(1);
/// How long giving messages back may take after the drain.
const GIVE_BACK_WITHIN: Duration = Duration::from_secs(3);

type Failure = Box<dyn Error + Send + Sync>;
/// The workers; each ends with the name of its service in its error.
type Workers = JoinSet<Result<(), Failure>>;

/// Works until SIGTERM or SIGINT, then drains.
///
/// # Errors
/// A worker ended before it was told to, or could not begin.
pub(crate) async fn run(settings: Settings) -> Result<(), Failure> {
    // The very first, since the first process in a container does not even die of a signal that it has no handler for.
    let mut told_to_stop = pin!(told_to_stop()?);
    if settings.is_impatient() {
        let (seconds, seconds_min) = (settings.idle_max.as_secs(), HEALTHY_IDLE_MAX.as_secs());
        tracing::warn!(
            seconds,
            seconds_min,
            "`SHOP_IDLE_SECONDS` is so short that a healthy process can count as not alive: an idle worker makes \
             progress every 20 seconds, and one that waits out an outage every 330; raise it"
        );
    }
    let (stage, staged) = watch::channel(Stage::Opening);
    let progress = || Arc::new(LastProgress::new(Arc::new(TokioClock)));
    let progress: Vec<_> = settings.workers.keys().map(|service| (*service, progress())).collect();
    let health = Health { stage: staged, workers: progress.clone(), idle_max: settings.idle_max };
    serve_health(settings.health, health).await?;

    let config = aws_config::load_defaults(aws_config::BehaviorVersion::v2026_01_12()).await;
    let ports = Aws::configured(&config, settings.aws.clone())?.ports();
    tokio::select! {
        opened = open_queues(&settings, &ports) => opened?,
        () = &mut told_to_stop => return Ok(()),
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
    // To have opened the queues is progress.
    progress.iter().for_each(|(service, progress)| progress.progressed(service.name()));
    stage.send_replace(Stage::Working);
    let services: Vec<_> = settings.workers.keys().map(|service| service.name()).collect();
    tracing::info!(services = services.join(","), "working");

    let mut each_minute = tokio::time::interval_at(tokio::time::Instant::now() + COUNTS_EVERY, COUNTS_EVERY);
    let ended = loop {
        tokio::select! {
            () = &mut told_to_stop => break Ok(()),
            Some(ended) = workers.join_next() => break flatten(ended),
            _ = each_minute.tick() => counts.iter_mut().for_each(CountsLog::tell),
        }
    };
    tracing::info!(seconds = settings.drain.as_secs(), "draining");
    stage.send_replace(Stage::Draining);
    let drained = drain(workers, settings.drain).await;
    counts.iter_mut().for_each(CountsLog::tell);
    ended.and(drained)
}

/// Ready at SIGTERM, which ECS sends, and at SIGINT.
fn told_to_stop() -> io::Result<impl Future<Output = ()>> {
    let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}

async fn serve_health(address: SocketAddr, health: Health) -> Result<(), Failure> {
    let failed = |error| format!("`SHOP_HEALTH_ADDRESS` is `{address}`, where nothing can be served: {error}");
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    tracing::info!(address = %listener.local_addr()?, "health is served");
    tokio::spawn(health::serve(listener, health));
    Ok(())
}

/// Opens the queues of all services and of their dead letters, which the workers find open then. Waits out what passes.
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

/// Ready when it is time to drain.
async fn draining(mut stage: watch::Receiver<Stage>) {
    // An error means that whoever tells the stage is gone: time to drain, too.
    let _ = stage.wait_for(|stage| *stage == Stage::Draining).await;
}

/// Lets the workers end, and answers with the first error. Those that take too long are dropped, which is safe: their
/// messages are received again when their visibility timeout is over.
async fn drain(mut workers: Workers, within: Duration) -> Result<(), Failure> {
    let mut result = Ok(());
    let all = async {
        while let Some(ended) = workers.join_next().await {
            result = std::mem::replace(&mut result, Ok(())).and(flatten(ended));
        }
    };
    if timeout(within + GIVE_BACK_WITHIN, all).await.is_err() {
        tracing::warn!("messages could not be given back in time; they come again after their visibility timeout");
    }
    result
}

fn flatten(ended: Result<Result<(), Failure>, JoinError>) -> Result<(), Failure> {
    ended?
}
