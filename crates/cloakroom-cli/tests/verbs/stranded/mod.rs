//! Embedded AWS with two endpoints, senders and receivers, and functions that strand a committed
//! record.

use std::{collections::BTreeMap, process::Output, sync::Arc, time::Duration};

use async_trait::async_trait;
use bytes::Bytes;
use cloakroom::{
    Delivery, Endpoint, EndpointSettings, Handled, Message, Partition, PortError, Ports, Tx,
    format::{Claim, Envelope},
    ports::{Queue, QueueMessage, Queues},
    protocol::Version,
};
use cloakroom_aws::{Aws, AwsSettings, Provisioning, ProvisioningSettings};
use cloakroom_local::LocalAws;
use serde_json::Value;

#[derive(serde::Serialize, serde::Deserialize)]
struct Ask {
    name: String,
}

impl Message for Ask {
    const TYPE: &'static str = "ask";
    fn partition(&self) -> Partition {
        Partition::new(format!("sender#{}", self.name))
    }
}

#[derive(serde::Serialize, serde::Deserialize)]
struct Answer {
    name: String,
}

impl Message for Answer {
    const TYPE: &'static str = "answer";
    fn partition(&self) -> Partition {
        Partition::new(format!("receiver#{}", self.name))
    }
}

type Counted = BTreeMap<String, u64>;

async fn ask(state: &mut Counted, Ask { name }: Ask, tx: &mut Tx) -> Handled {
    *state.entry("asked".to_owned()).or_default() += 1;
    tx.send(Answer { name });
    Ok(())
}

async fn answer(state: &mut Counted, _: Answer, _: &mut Tx) -> Handled {
    *state.entry("answered".to_owned()).or_default() += 1;
    Ok(())
}

/// Queues that reject all messages: a worker that sends to them stops as if it had crashed.
#[derive(Debug)]
struct RejectingQueues(Arc<dyn Queues>);

#[derive(Debug)]
struct RejectingQueue(Arc<dyn Queue>);

#[async_trait]
impl Queues for RejectingQueues {
    async fn open(&self, name: &str) -> Result<Arc<dyn Queue>, PortError> {
        Ok(Arc::new(RejectingQueue(self.0.open(name).await?)))
    }
}

#[async_trait]
impl Queue for RejectingQueue {
    fn name(&self) -> &str {
        self.0.name()
    }

    async fn send(&self, messages: Vec<QueueMessage>) -> Vec<Result<(), PortError>> {
        let refused = |_| Err(PortError::new("send", "the worker is dead").without_effect().permanent());
        messages.into_iter().map(refused).collect()
    }

    async fn receive(&self, max: usize, wait: Duration, visibility: Duration) -> Result<Vec<Delivery>, PortError> {
        self.0.receive(max, wait, visibility).await
    }

    async fn delete(&self, receipts: Vec<String>) -> Vec<Result<(), PortError>> {
        self.0.delete(receipts).await
    }

    async fn extend(&self, receipts: Vec<String>, visibility: Duration) -> Vec<Result<(), PortError>> {
        self.0.extend(receipts, visibility).await
    }
}

/// The number of receives after which SQS moves a message to the dead-letter queue.
const RECEIVES_MAX: u32 = 10;

pub(crate) struct Stranded {
    local: LocalAws,
    ports: Ports,
}

impl Stranded {
    pub(crate) async fn start() -> Self {
        Self::start_as(AwsSettings::new("things", "coats")).await
    }

    pub(crate) async fn start_as(settings: AwsSettings) -> Self {
        let local = LocalAws::start().await.expect("the embedded AWS starts");
        let aws = aws(&local, settings);
        let queues = vec!["senders".to_owned(), "receivers".to_owned()];
        let settings =
            ProvisioningSettings { queues, receives_max: Some(RECEIVES_MAX), ..ProvisioningSettings::default() };
        let provisioning = Provisioning::new(&aws, settings).expect("good settings");
        provisioning.apply().await.expect("everything is made");
        Self { ports: aws.ports(), local }
    }

    fn senders(&self, ports: Ports) -> Endpoint {
        let settings = EndpointSettings { linger_ms: 0, ..EndpointSettings::default() };
        let endpoint = Endpoint::builder("senders").on(ask).route::<Answer>("receivers").settings(settings);
        endpoint.build(ports).expect("a good endpoint")
    }

    pub(crate) async fn check_in(&self, name: &str) -> String {
        let payload = serde_json::to_vec(&Ask { name: name.to_owned() }).expect("JSON");
        let claim = Claim::from_random(self.ports.random.bits(), self.ports.payloads.place(payload.len()));
        self.ports.payloads.check_in(&claim, Bytes::from(payload)).await.expect("it is checked in");
        claim.to_string()
    }

    /// Puts a message into the queue of senders. Returns its claim.
    pub(crate) async fn send(&self, name: &str) -> String {
        let claim = self.check_in(name).await;
        let partition = Ask { name: name.to_owned() }.partition();
        let mut envelope = Envelope::new(name.into(), "test", Ask::TYPE, partition);
        envelope.dataref = Some(Claim::new(claim.clone()));
        self.put("senders", &envelope.encode()).await;
        claim
    }

    pub(crate) async fn put(&self, queue: &str, body: &str) {
        let queue = self.ports.queues.open(queue).await.expect("the queue exists");
        let sent = queue.send(vec![QueueMessage { body: body.to_owned(), ..QueueMessage::default() }]).await;
        assert!(sent.iter().all(Result::is_ok), "{sent:?}");
    }

    /// Lets the endpoint of senders park an event of this type, which it does not handle.
    pub(crate) async fn park_of_type(&self, kind: &str) {
        let event = serde_json::json!({ "specversion": "1.0", "id": "1", "source": "s", "type": kind, "data": {} });
        let delivery = Delivery { body: event.to_string(), receive_count: 1, ..Delivery::default() };
        let outcome = self.senders(self.ports.clone()).process(&delivery).await.expect("nothing fails");
        assert_eq!(outcome, cloakroom::Outcome::Parked);
    }

    /// Sends a message, and lets a worker commit it and crash before it sends its outgoing
    /// messages. The message stays in the queue. Returns its claim.
    pub(crate) async fn strand(&self, name: &str) -> String {
        let claim = self.send(name).await;
        let rejecting = Arc::new(RejectingQueues(Arc::clone(&self.ports.queues)));
        let endpoint = self.senders(Ports { queues: rejecting, ..self.ports.clone() });
        let delivery = self.receive("senders", name).await;
        endpoint.process(&delivery).await.expect_err("it dies after the commit");
        self.give_back("senders", &delivery).await;
        claim
    }

    /// Receives the message with this name. Other messages are made visible again.
    async fn receive(&self, queue: &str, name: &str) -> Delivery {
        let port = self.ports.queues.open(queue).await.expect("the queue exists");
        for delivery in port.receive(10, Duration::from_secs(1), Duration::from_secs(60)).await.expect("it is read") {
            if Envelope::decode(&delivery.body).is_ok_and(|envelope| envelope.id.as_str() == name) {
                return delivery;
            }
            self.give_back(queue, &delivery).await;
        }
        panic!("`{name}` is not in `{queue}`")
    }

    /// Receives one message and keeps it in flight, as another operator could.
    pub(crate) async fn hold(&self, queue: &str) -> Delivery {
        let queue = self.ports.queues.open(queue).await.expect("the queue exists");
        let held = queue.receive(1, Duration::from_secs(1), Duration::from_secs(300)).await.expect("it is read");
        held.into_iter().next().expect("there is a message")
    }

    pub(crate) async fn give_back(&self, queue: &str, delivery: &Delivery) {
        let queue = self.ports.queues.open(queue).await.expect("the queue exists");
        queue.extend(vec![delivery.receipt.clone()], Duration::ZERO).await;
    }

    /// Receives the message, the only one in the queue of senders, until SQS moves it to the
    /// dead-letter queue.
    pub(crate) async fn move_to_dead_letter_queue(&self, name: &str) {
        let queue = self.ports.queues.open("senders").await.expect("the queue exists");
        for _ in 0..=RECEIVES_MAX {
            let deliveries = queue.receive(1, Duration::ZERO, Duration::from_secs(60)).await.expect("it is read");
            let Some(delivery) = deliveries.first() else { return };
            assert!(delivery.body.contains(name), "another message is in the queue");
            self.give_back("senders", delivery).await;
        }
        panic!("`{name}` is not moved")
    }

    /// Deletes all messages in the queue of senders, as an operator could.
    pub(crate) async fn purge(&self) {
        let queue = self.ports.queues.open("senders").await.expect("the queue exists");
        loop {
            let deliveries = queue.receive(10, Duration::ZERO, Duration::from_secs(60)).await.expect("it is read");
            if deliveries.is_empty() {
                return;
            }
            queue.delete(deliveries.into_iter().map(|delivery| delivery.receipt).collect()).await;
        }
    }

    /// Lets both endpoints work until their queues are empty. Then asserts that each message was
    /// counted once at the sender and once at the receiver, and that no payload is left.
    pub(crate) async fn must_balance(&self, names: &[&str]) {
        let receivers = Endpoint::builder("receivers").on(answer).build(self.ports.clone()).expect("a good endpoint");
        for (queue, endpoint) in [("senders", self.senders(self.ports.clone())), ("receivers", receivers)] {
            let queue = self.ports.queues.open(queue).await.expect("the queue exists");
            loop {
                let deliveries = queue.receive(10, Duration::ZERO, Duration::from_secs(60)).await.expect("it is read");
                if deliveries.is_empty() {
                    break;
                }
                for delivery in deliveries {
                    endpoint.process(&delivery).await.expect("nothing fails");
                    queue.delete(vec![delivery.receipt]).await;
                }
            }
        }
        for name in names {
            let name = (*name).to_owned();
            self.must_count(Ask { name: name.clone() }.partition(), "senders", "asked").await;
            self.must_count(Answer { name }.partition(), "receivers", "answered").await;
        }
        let payloads = aws(&self.local, AwsSettings::new("things", "coats"))
            .payloads()
            .list(None)
            .await
            .expect("the bucket is listed");
        assert_eq!(payloads.objects, 0, "no payload is left: {payloads:?}");
    }

    async fn must_count(&self, partition: Partition, endpoint: &str, what: &str) {
        let read = self
            .ports
            .store
            .read_state(&partition, endpoint, cloakroom::protocol::Consistency::Strong)
            .await
            .expect("it is read");
        let state: Counted = read.state.map(|item| serde_dynamo::from_item(item).expect("numbers")).unwrap_or_default();
        assert_eq!((read.version, state.get(what)), (Version::new(1), Some(&1)), "`{partition}` at {endpoint}");
    }
}

fn aws(local: &LocalAws, settings: AwsSettings) -> Aws {
    let environment: BTreeMap<&str, String> = local.environment().into_iter().collect();
    macro_rules! client {
        ($sdk:ident, $service:literal $(, $option:ident)?) => {{
            let credentials = (&environment["AWS_ACCESS_KEY_ID"], &environment["AWS_SECRET_ACCESS_KEY"]);
            let config = $sdk::Config::builder()
                .behavior_version($sdk::config::BehaviorVersion::v2026_01_12())
                .region($sdk::config::Region::new(environment["AWS_REGION"].clone()))
                .credentials_provider($sdk::config::Credentials::new(credentials.0, credentials.1, None, None, "test"))
                .http_client(aws_smithy_http_client::Builder::new().build_http())
                .endpoint_url(&environment[concat!("AWS_ENDPOINT_URL_", $service)])
                $(.$option(true))?;
            $sdk::Client::from_conf(config.build())
        }};
    }
    let s3 = client!(aws_sdk_s3, "S3", force_path_style);
    let (dynamodb, sqs) = (client!(aws_sdk_dynamodb, "DYNAMODB"), client!(aws_sdk_sqs, "SQS"));
    Aws::new(dynamodb, s3, sqs, settings).expect("settings that AWS takes")
}

/// Returns the command on the same account, without the variables of the machine.
pub(crate) fn command(site: &Stranded, arguments: &[&str]) -> tokio::process::Command {
    let mut command = tokio::process::Command::new(env!("CARGO_BIN_EXE_cloakroom"));
    command.args(arguments).env_clear().envs(site.local.environment()).env("CLOAKROOM_TABLE", "things");
    command.env("CLOAKROOM_BUCKET", "coats").stdin(std::process::Stdio::null());
    command
}

/// Runs the command on the same account.
pub(crate) async fn output(site: &Stranded, arguments: &[&str]) -> Output {
    command(site, arguments).output().await.expect("it starts")
}

/// Runs the command, and returns the exit code and the report.
pub(crate) async fn run(site: &Stranded, arguments: &[&str]) -> (i32, Value) {
    let output = output(site, &[arguments, &["--json"]].concat()).await;
    let report =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {output:?}"));
    (output.status.code().unwrap_or(-1), report)
}
