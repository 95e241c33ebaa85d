//! `shop-service` as processes on embedded AWS, with faults: stopped, killed, and with health checks.

use std::{
    net::SocketAddr,
    process::{Output, Stdio},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use cloakroom::observe::Counts;
use cloakroom_local::Faults;
use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader},
    net::TcpStream,
    process::{Child, Command},
    task::JoinHandle,
};

use crate::scene::{Scene, outage, trouble, until};

const BINARY: &str = env!("CARGO_BIN_EXE_shop-service");
/// About 180 messages, with a hundred faults.
const ORDERS: usize = 30;
/// Enough orders that some are unfinished when the test looks.
const FEWER: usize = 60;

/// The time that a process may need beyond its drain on a busy machine.
const MARGIN: Duration = Duration::from_secs(20);

/// A process of the service. Dropping it kills the process.
struct Process {
    child: Child,
    log: Arc<Mutex<Vec<Value>>>,
    listener: JoinHandle<()>,
    health: SocketAddr,
}

fn command(environment: &[(&'static str, String)], more: &[(&str, &str)]) -> Command {
    let mut command = Command::new(BINARY);
    command.env_clear().envs(environment.iter().cloned());
    command.env("SHOP_HEALTH_ADDRESS", "127.0.0.1:0").envs(more.iter().copied());
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

impl Process {
    /// Starts a process that serves health checks, and may not be ready yet.
    async fn start(scene: &Scene, more: &[(&str, &str)]) -> Self {
        let mut child = command(&scene.environment(), more).stderr(Stdio::inherit()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("its output")).lines();
        let log = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::clone(&log);
        let listener = tokio::spawn(async move {
            while let Ok(Some(line)) = lines.next_line().await {
                let line = serde_json::from_str(&line).unwrap_or_else(|error| panic!("{error}: {line}"));
                told.lock().unwrap_or_else(PoisonError::into_inner).push(line);
            }
        });
        let mut process = Self { child, log, listener, health: SocketAddr::from(([0; 4], 0)) };
        process.health = until("health is served", async || {
            let served = process.told(|line| line["message"] == "health is served");
            served.first()?["address"].as_str()?.parse().ok()
        })
        .await;
        process
    }

    /// Starts a process, and waits until it is ready.
    async fn at_work(scene: &Scene, more: &[(&str, &str)]) -> Self {
        let process = Self::start(scene, more).await;
        process.until("/ready", 200).await;
        process
    }

    /// Starts a process, and stops it while it has messages in flight that it cannot finish, because S3 does not respond.
    async fn stuck_at_its_end(scene: &Scene, more: &[(&str, &str)]) -> Self {
        let process = Self::at_work(scene, more).await;
        scene.submit_twice().await;
        scene.until_busy().await;
        scene.s3.shut();
        process.signal("TERM").await;
        process.until("/ready", 503).await;
        process
    }

    /// Returns the matching lines of its log.
    fn told(&self, is_so: impl Fn(&Value) -> bool) -> Vec<Value> {
        let log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        log.iter().filter(|line| is_so(line)).cloned().collect()
    }

    /// Returns the sum of its lines of counts.
    fn counts(&self) -> Counts {
        let lines = self.told(|line| line["target"] == "cloakroom::counts");
        assert!(!lines.is_empty(), "no line of counts");
        let counts = lines.into_iter().map(|line| serde_json::from_value::<Counts>(line).expect("all counts"));
        counts.fold(Counts::default(), |sum, counts| sum + counts)
    }

    /// Returns the status of a response. `None` if there was no response.
    async fn status(&self, path: &str) -> Option<u16> {
        let mut stream = TcpStream::connect(self.health).await.ok()?;
        let request = format!("GET {path} HTTP/1.1\r\nhost: shop\r\n\r\n");
        stream.write_all(request.as_bytes()).await.ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.ok()?;
        answer.split(' ').nth(1)?.parse().ok()
    }

    async fn until(&self, path: &str, status: u16) {
        until(&format!("{path} is answered with {status}"), async || {
            assert!(!self.listener.is_finished(), "the process ended before {path} returned {status}");
            self.status(path).await.filter(|answered| *answered == status)
        })
        .await;
    }

    async fn signal(&self, signal: &str) {
        let id = self.child.id().expect("it has not ended");
        let status = Command::new("sh").args(["-c", &format!("kill -{signal} {id}")]).status().await;
        assert!(status.expect("a shell").success(), "kill -{signal}");
    }

    /// Waits for the end of the process and the last line of its log. Returns the exit code.
    async fn ended(&mut self, within: Duration) -> Option<i32> {
        let status =
            tokio::time::timeout(within, self.child.wait()).await.expect("it ends").expect("it can be waited for");
        (&mut self.listener).await.expect("its log is JSON");
        status.code()
    }
}

/// Returns how long a process with this drain may take to end.
fn deadline(drain_seconds: u64) -> Duration {
    Duration::from_secs(drain_seconds + 3) + MARGIN
}

#[tokio::test(flavor = "multi_thread")]
async fn the_books_balance_in_spite_of_trouble() {
    let scene = Scene::set(trouble(), ORDERS).await;
    // At the end only idle long polls are left, and the test need not wait for them.
    let (drain, lease) = (("SHOP_DRAIN_SECONDS", "2"), ("SHOP_VISIBILITY_SECONDS", "6"));
    let settings = [("SHOP_SERVICES", "orders,stock"), ("SHOP_IN_FLIGHT", "orders=32"), drain, lease];
    let mut first = Process::at_work(&scene, &settings).await;
    let mut second = Process::at_work(&scene, &[("SHOP_SERVICES", "billing,orders"), drain, lease]).await;
    scene.submit_twice().await;
    let books = scene.until_balanced().await;

    first.signal("TERM").await;
    second.signal("INT").await;
    assert_eq!([first.ended(deadline(2)).await, second.ended(deadline(2)).await], [Some(0), Some(0)]);
    let counts = first.counts() + second.counts();
    // There are more if two runs finish a message at the same time.
    assert!(counts.processed + counts.resumed >= books.commits(), "{counts:?}, {} commits", books.commits());
    // Each order was submitted twice.
    assert!(counts.duplicate >= ORDERS as u64 && counts.handled >= counts.processed, "{counts:?}");
    assert_eq!((counts.parked, counts.payload_missing > counts.duplicate), (0, false), "{counts:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_told_to_stop_ends_within_its_deadline_and_the_next_goes_on() {
    let scene = Scene::set(trouble(), FEWER).await;
    // Messages whose responses are lost are received again soon.
    let settings = [("SHOP_DRAIN_SECONDS", "2"), ("SHOP_VISIBILITY_SECONDS", "6")];
    let mut worker = Process::stuck_at_its_end(&scene, &settings).await;
    assert_eq!(worker.status("/live").await, Some(200));
    assert_eq!(worker.ended(deadline(2)).await, Some(0));
    let given_back = worker.told(|line| line["message"] == "shutdown: messages given back unfinished");
    assert!(!given_back.is_empty(), "it had no message in flight");
    assert!(worker.counts().handled > 0);

    scene.s3.open();
    let mut next = Process::at_work(&scene, &settings).await;
    scene.until_balanced().await;
    next.signal("TERM").await;
    assert_eq!(next.ended(deadline(2)).await, Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_that_is_killed_while_it_drains_loses_nothing() {
    let scene = Scene::set(trouble(), FEWER).await;
    // Its messages are received again soon, and late enough for a busy machine to extend its visibility timeouts.
    let settings = [("SHOP_DRAIN_SECONDS", "3600"), ("SHOP_VISIBILITY_SECONDS", "6")];
    let mut worker = Process::stuck_at_its_end(&scene, &settings).await;
    worker.child.start_kill().expect("it has not ended");
    assert_eq!(worker.ended(MARGIN).await, None, "the process ended before it was killed");

    let _next = Process::start(&scene, &settings[1..]).await;
    // Requests that the killed process sent to S3 arrive now.
    scene.s3.open();
    scene.until_balanced().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_is_live_but_not_ready_before_its_queues_are_open() {
    let scene = Scene::set(outage(), 0).await;
    let worker = Process::start(&scene, &[]).await;
    let ask = async |path| {
        let address = worker.health.to_string();
        let mut command = command(&scene.environment(), &[("SHOP_HEALTH_ADDRESS", &address)]);
        let Output { status, stderr, .. } = command.arg(path).output().await.expect("it starts");
        (status.code(), String::from_utf8_lossy(&stderr).into_owned())
    };
    assert_eq!((worker.status("/live").await, worker.status("/ready").await), (Some(200), Some(503)));
    assert_eq!((worker.status("/").await, ask("live").await.0), (Some(404), Some(0)));
    let (code, text) = ask("ready").await;
    assert!(code == Some(1) && text.contains("503"), "{text}");

    scene.aws.set_faults(Faults::default()).expect("faults");
    worker.until("/ready", 200).await;
    assert_eq!(ask("ready").await, (Some(0), String::new()));
}

#[tokio::test(flavor = "multi_thread")]
async fn process_whose_worker_makes_no_progress_is_not_live_until_it_makes_some() {
    let scene = Scene::set(Faults::default(), 0).await;
    let settings = [("SHOP_SERVICES", "orders"), ("SHOP_IDLE_SECONDS", "1")];
    let worker = Process::at_work(&scene, &settings).await;
    // The queue is empty, and ends its long poll after 20 seconds.
    worker.until("/live", 503).await;
    let url = scene.site.sqs.get_queue_url().queue_name("test-orders").send().await.expect("the queue").queue_url;
    let send = scene.site.sqs.send_message().set_queue_url(url).message_body("not an order");
    send.send().await.expect("it is sent");
    worker.until("/live", 200).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn when_a_worker_cannot_go_on_the_others_are_drained_and_the_exit_code_is_1() {
    let scene = Scene::set(Faults::default(), 0).await;
    let mut worker = Process::at_work(&scene, &[("SHOP_DRAIN_SECONDS", "2")]).await;
    let url = scene.site.sqs.get_queue_url().queue_name("test-stock").send().await.expect("the queue").queue_url;
    scene.site.sqs.delete_queue().set_queue_url(url).send().await.expect("it is deleted");
    assert_eq!(worker.ended(deadline(20)).await, Some(1));
    let errors = worker.told(|line| line["level"] == "ERROR");
    let text = errors.last().and_then(|line| line["error"].as_str()).expect("an error");
    assert!(text.contains("worker of `stock`") && text.contains("test-stock"), "{text}");
    assert_eq!(worker.counts(), Counts::default());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_does_not_exist_is_named() {
    let scene = Scene::set(Faults::default(), 0).await;
    let mut worker = Process::start(&scene, &[("CLOAKROOM_QUEUE_PREFIX", "other-")]).await;
    assert_eq!(worker.ended(deadline(0)).await, Some(1));
    let errors = worker.told(|line| line["level"] == "ERROR");
    assert!(errors.iter().any(|line| line.to_string().contains("other-orders")), "{errors:?}");
}

#[tokio::test]
async fn a_wrong_variable_is_named() {
    let environment = [("CLOAKROOM_TABLE", "shop".to_owned()), ("CLOAKROOM_BUCKET", "shop-payloads".to_owned())];
    let wrong = [("SHOP_SERVICES", "orders,stocks"), ("SHOP_IN_FLIGHT", "orders=0"), ("CLOAKROOM_BUCKET", "Shop")];
    for (name, value) in wrong {
        let Output { status, stdout, stderr } =
            command(&environment, &[(name, value)]).output().await.expect("it starts");
        let text = String::from_utf8_lossy(&stderr);
        assert!(text.contains(&format!("`{name}`")) && text.contains(value), "{text}");
        assert_eq!((status.code(), stdout.len()), (Some(2), 0), "{text}");
    }
    let output = command(&environment[..1], &[]).output().await.expect("it starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && text.contains("`CLOAKROOM_BUCKET` is not set"), "{text}");
}
