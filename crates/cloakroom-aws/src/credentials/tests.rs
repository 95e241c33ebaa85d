use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use tokio::sync::Semaphore;

use super::*;
use crate::{
    Aws, AwsSettings,
    aws::tests::config,
    scripted::{Script, reply},
};

/// Each load waits for a permit. The results of loads are good, or fail.
#[derive(Clone, Debug)]
struct Slow {
    permits: Arc<Semaphore>,
    loads: Arc<AtomicUsize>,
    ended: Arc<AtomicUsize>,
    fails: bool,
}

impl Slow {
    fn new(fails: bool) -> Self {
        Self { permits: Arc::new(Semaphore::new(0)), loads: Arc::default(), ended: Arc::default(), fails }
    }

    fn loads(&self) -> usize {
        self.loads.load(Ordering::Relaxed)
    }
}

impl ProvideCredentials for Slow {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        self.loads.fetch_add(1, Ordering::Relaxed);
        future::ProvideCredentials::new(async {
            self.permits.acquire().await.unwrap().forget();
            self.ended.fetch_add(1, Ordering::Relaxed);
            if self.fails {
                return Err(CredentialsError::not_loaded("nobody is logged in"));
            }
            Ok(Credentials::new("AKIDTEST", "SECRETTEST", None, None, "test"))
        })
    }
}

#[tokio::test]
async fn credentials_that_take_longer_than_a_try_are_loaded_once_and_used() {
    let (slow, script) = (Slow::new(false), Script::new([reply(200, r#"{"QueueUrl":"http://localhost/1/orders"}"#)]));
    let bound = Duration::from_millis(50);
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(bound).operation_timeout(bound).build();
    let config = config(&script).credentials_provider(SharedCredentialsProvider::new(slow.clone()));
    let config: SdkConfig = config.timeout_config(timeouts).build();
    let aws = Aws::configured(&config, AwsSettings::new("orders", "orders-payloads")).unwrap();

    for _ in 0..3 {
        let error = aws.ports().queues.open("orders").await.unwrap_err();
        assert!(error.to_string().contains("did not answer"), "{error}");
    }
    slow.permits.add_permits(1);
    let opened = async { while aws.ports().queues.open("orders").await.is_err() {} };
    tokio::time::timeout(Duration::from_secs(30), opened).await.expect("the load goes on");
    assert_eq!(slow.loads(), 1);
    assert_eq!(script.seen().len(), 1, "nothing was sent without credentials");
}

/// Asks for credentials and gives up while they are loaded.
async fn give_up(provider: &SharedCredentialsProvider) {
    let asking = provider.provide_credentials();
    tokio::time::timeout(Duration::from_millis(1), asking).await.expect_err("there was no permit");
}

#[tokio::test]
async fn why_a_load_failed_is_told_to_who_asks_next() {
    let slow = Slow::new(true);
    let provider = patient(SharedCredentialsProvider::new(slow.clone()));
    give_up(&provider).await;
    slow.permits.add_permits(2);
    for loads in [1, 2] {
        let error = provider.provide_credentials().await.unwrap_err();
        assert!(matches!(error, CredentialsError::CredentialsNotLoaded(_)), "{error}");
        assert_eq!(slow.loads(), loads, "each result is used once");
    }
}

#[tokio::test]
async fn result_that_nobody_waited_for_is_soon_too_old() {
    for (unclaimed_max, loads) in [(TIMES.unclaimed_max, 1), (Duration::ZERO, 2)] {
        let slow = Slow::new(false);
        let times = Times { unclaimed_max, ..TIMES };
        let provider = patient_for(times, SharedCredentialsProvider::new(slow.clone()));
        give_up(&provider).await;
        slow.permits.add_permits(2);
        while slow.ended.load(Ordering::Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        provider.provide_credentials().await.unwrap();
        assert_eq!(slow.loads(), loads, "{unclaimed_max:?}");
    }
}

#[tokio::test]
async fn load_that_never_ends_is_given_up() {
    let slow = Slow::new(false);
    let times = Times { load_max: Duration::from_millis(10), ..TIMES };
    let provider = patient_for(times, SharedCredentialsProvider::new(slow.clone()));
    let error = provider.provide_credentials().await.unwrap_err();
    assert!(matches!(error, CredentialsError::ProviderTimedOut(_)), "{error}");
    slow.permits.add_permits(1);
    provider.provide_credentials().await.unwrap();
    assert_eq!(slow.loads(), 2);
}
