//! The setup for the tests of both binaries: embedded AWS with the resources of the shop, orders, and the audit of the
//! books. Each test starts the processes itself.

use std::{net::SocketAddr, time::Duration};

use aws_config::{BehaviorVersion, Region};
use aws_sdk_dynamodb::config::Credentials;
use cloakroom_aws::{AwsSettings, Provisioning, ProvisioningSettings, QueueSettings};
use cloakroom_local::{Faults, LocalAws};
use cloakroom_shop::{
    Service, Site,
    books::{Books, QueueDepths},
    orders::PlaceOrder,
    sample, submit,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::watch,
};

/// The time limit of a wait.
const PATIENCE: Duration = Duration::from_secs(240);
/// The pause between two checks of a condition.
const LOOK_EVERY: Duration = Duration::from_millis(50);

const PREFIX: &str = "test-";

/// The visibility timeout of the queues. Functions do not set their own.
const VISIBILITY_S: u32 = 5;

/// Waits until a check returns a value.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let looking = async {
        loop {
            match look().await {
                Some(found) => return found,
                None => tokio::time::sleep(LOOK_EVERY).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, looking).await.unwrap_or_else(|_| panic!("condition not met in time: {what}"))
}

/// More faults than AWS has in a bad week.
pub(crate) fn trouble() -> Faults {
    Faults {
        throttled: 0.02,
        transaction_conflicts: 0.02,
        server_errors: 0.02,
        lost_responses: 0.02,
        silences: 0.0,
        duplicate_deliveries: 0.2,
        late_deliveries: 0.2,
        late_delivery_ms_max: 1_000,
        seed: 1,
    }
}

/// Every call fails.
pub(crate) fn outage() -> Faults {
    Faults { server_errors: 1.0, ..Faults::default() }
}

pub(crate) struct Scene {
    pub(crate) aws: LocalAws,
    pub(crate) site: Site,
    /// The proxy through which the services reach S3.
    pub(crate) s3: Valve,
    queues: QueueDepths,
    orders: Vec<PlaceOrder>,
}

impl Scene {
    /// Creates the resources, then sets the faults.
    pub(crate) async fn set(faults: Faults, orders: usize) -> Self {
        let aws = LocalAws::start().await.expect("embedded AWS");
        let site = site(&aws).await;
        let queues = Service::ALL.map(|service| service.name().to_owned()).to_vec();
        let settings = ProvisioningSettings {
            queues,
            visibility_s: Some(VISIBILITY_S),
            // On a busy machine visibility timeouts end early. That uses up receives, which these tests are not about.
            receives_max: Some(1_000),
            ..ProvisioningSettings::default()
        };
        let provisioning = Provisioning::new(&site.aws().expect("settings"), settings).expect("settings");
        provisioning.apply().await.expect("table, bucket and queues");
        let queues = QueueDepths::find(&site).await.expect("queues");
        let target = aws.s3_url().strip_prefix("http://").and_then(|address| address.parse().ok());
        let s3 = Valve::new(target.expect("the address of S3")).await;
        aws.set_faults(faults).expect("faults");
        Self { aws, site, s3, queues, orders: sample::orders(orders) }
    }

    /// Returns the environment variables of the binaries.
    pub(crate) fn environment(&self) -> Vec<(&'static str, String)> {
        let mut environment = self.aws.environment();
        environment.retain(|(name, _)| *name != "AWS_ENDPOINT_URL_S3");
        let AwsSettings { table, bucket, queues, .. } = self.site.settings.clone();
        environment.extend([
            ("AWS_ENDPOINT_URL_S3", format!("http://{}", self.s3.address)),
            ("CLOAKROOM_TABLE", table),
            ("CLOAKROOM_BUCKET", bucket),
            ("CLOAKROOM_QUEUE_PREFIX", queues.prefix),
        ]);
        environment
    }

    /// Submits every order twice.
    pub(crate) async fn submit_twice(&self) {
        let ports = self.site.aws().expect("settings").ports();
        for _ in 0..2 {
            submit(&ports, &self.orders).await.expect("the queue takes them");
        }
    }

    /// Waits until some messages are processed, and most are not.
    pub(crate) async fn until_busy(&self) {
        let some = self.orders.len() as u64;
        let commits = until("some messages are processed", async || {
            Some(self.books().await?.commits()).filter(|commits| *commits >= some / 2)
        });
        let commits = commits.await;
        // An order takes six messages, unless stock or money is lacking.
        assert!(commits < 4 * some, "{commits} messages of {some} orders were processed between two checks");
    }

    /// Waits until the books balance in two checks, with nothing processed in between. So no message is missed that the
    /// queues do not count.
    pub(crate) async fn until_balanced(&self) -> Books {
        let mut before = None;
        let balancing = async {
            loop {
                // Reading the books takes as long as processing some messages, so it waits until the queues are empty.
                let is_empty = self.queues.ahead().await.is_ok_and(|ahead| ahead == 0);
                let books = if is_empty { self.books().await } else { None };
                let balanced = books.filter(|books| books.audit(&self.orders).balanced);
                let commits = balanced.as_ref().map(Books::commits);
                if let Some(books) = balanced
                    && commits == before
                {
                    return books;
                }
                before = commits;
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        if let Ok(books) = tokio::time::timeout(PATIENCE, balancing).await {
            return books;
        }
        let found = self.books().await.map(|books| books.audit(&self.orders));
        panic!("the books do not balance: {found:?}");
    }

    /// Returns the books. `None` if a fault prevented reading them.
    async fn books(&self) -> Option<Books> {
        Books::read(&self.site, &self.queues).await.ok()
    }
}

async fn site(aws: &LocalAws) -> Site {
    let environment = aws.environment();
    let get = |name| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone()).expect(name);
    let credentials = Credentials::new(get("AWS_ACCESS_KEY_ID"), get("AWS_SECRET_ACCESS_KEY"), None, None, "tests");
    let loader = aws_config::defaults(BehaviorVersion::v2026_01_12()).http_client(cloakroom_aws::http_client());
    let config = loader.credentials_provider(credentials).region(Region::new(get("AWS_REGION"))).load().await;
    let dynamodb = aws_sdk_dynamodb::config::Builder::from(&config).endpoint_url(aws.dynamodb_url()).build();
    let s3 = aws_sdk_s3::config::Builder::from(&config).endpoint_url(aws.s3_url()).force_path_style(true).build();
    let sqs = aws_sdk_sqs::config::Builder::from(&config).endpoint_url(aws.sqs_url()).build();
    let queues = QueueSettings { prefix: PREFIX.to_owned(), ..QueueSettings::default() };
    Site {
        dynamodb: aws_sdk_dynamodb::Client::from_conf(dynamodb),
        s3: aws_sdk_s3::Client::from_conf(s3),
        sqs: aws_sdk_sqs::Client::from_conf(sqs),
        settings: AwsSettings { queues, ..AwsSettings::new("shop", "shop-payloads") },
    }
}

/// A proxy that can be closed. While it is closed, requests wait. When it opens, they continue, also those of processes
/// that were killed in the meantime.
#[derive(Debug)]
pub(crate) struct Valve {
    address: SocketAddr,
    is_open: watch::Sender<bool>,
}

impl Valve {
    async fn new(target: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("its address");
        let (sender, is_open) = watch::channel(true);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(connect(client, target, is_open.clone()));
            }
        });
        Self { address, is_open: sender }
    }

    pub(crate) fn shut(&self) {
        self.is_open.send_replace(false);
    }

    pub(crate) fn open(&self) {
        self.is_open.send_replace(true);
    }
}

async fn connect(client: TcpStream, target: SocketAddr, is_open: watch::Receiver<bool>) {
    let Ok(server) = TcpStream::connect(target).await else { return };
    // Small requests must not wait for the acknowledgement of earlier ones.
    if client.set_nodelay(true).and(server.set_nodelay(true)).is_err() {
        return;
    }
    let ((from_client, to_client), (from_server, to_server)) = (client.into_split(), server.into_split());
    futures::join!(pass(from_client, to_server, is_open.clone()), pass(from_server, to_client, is_open));
}

async fn pass(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin, mut is_open: watch::Receiver<bool>) {
    let mut buffer = [0; 16 * 1024];
    while let Ok(read @ 1..) = from.read(&mut buffer).await {
        if is_open.wait_for(|is_open| *is_open).await.is_err() || to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}
