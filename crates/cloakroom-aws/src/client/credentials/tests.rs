use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use aws_smithy_types::timeout::TimeoutConfig;
use aws_types::SdkConfig;
use futures::FutureExt as _;
use tokio::sync::Semaphore;

use crate::{
    aws::settings::AwsSettings,
    aws::{Aws, tests::config},
    scripted::{Script, reply},
};

use super::*;

/// A provider whose loads each wait for a permit, and then succeed or fail.
#[derive(Clone, Debug)]
struct Slow {
    permits: Arc<Semaphore>,
    loads: Arc<AtomicUsize>,
    fails: bool,
}

impl Slow {
    fn new(fails: bool) -> Self {
        Self { permits: Arc::new(Semaphore::new(0)), loads: Arc::default(), fails }
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
            if self.fails {
                return Err(CredentialsError::not_loaded("there is no session"));
            }
            Ok(Credentials::new("AKIDTEST", "SECRETTEST", None, None, "test"))
        })
    }
}

#[tokio::test]
async fn credentials_that_load_longer_than_a_try_are_loaded_once_and_used() {
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
    tokio::time::timeout(Duration::from_secs(30), opened).await.expect("the load continues");
    assert_eq!(slow.loads(), 1);
    assert_eq!(script.seen().len(), 1, "nothing was sent without credentials");
}

/// Asks for credentials and drops the request while they are loaded.
async fn give_up(provider: &SharedCredentialsProvider) {
    let asking = provider.provide_credentials();
    tokio::time::timeout(Duration::from_millis(1), asking).await.expect_err("there was no permit");
}

#[tokio::test]
async fn failed_credentials_load_is_the_error_of_the_next_request() {
    let slow = Slow::new(true);
    let provider = continuing(SharedCredentialsProvider::new(slow.clone()));
    give_up(&provider).await;
    slow.permits.add_permits(2);
    for loads in [1, 2] {
        let error = provider.provide_credentials().await.unwrap_err();
        assert!(matches!(error, CredentialsError::CredentialsNotLoaded(_)), "{error}");
        assert_eq!(slow.loads(), loads, "each result is used once");
    }
}

#[tokio::test]
async fn credentials_load_that_is_too_old_is_not_used() {
    for (load_max, loads) in [(LOAD_MAX, 1), (Duration::ZERO, 2)] {
        let slow = Slow::new(false);
        let provider = continuing_for(load_max, SharedCredentialsProvider::new(slow.clone()));
        // With `Duration::ZERO` the first load is abandoned at once.
        let first = tokio::time::timeout(Duration::from_millis(1), provider.provide_credentials()).await;
        assert!(!matches!(first, Ok(Ok(_))), "there was no permit");
        slow.permits.add_permits(2);
        tokio::task::yield_now().await;
        // Whether a load with no time succeeds depends on the runtime.
        let second = provider.provide_credentials().await;
        assert!(second.is_ok() || load_max.is_zero());
        assert_eq!(slow.loads(), loads, "{load_max:?}");
    }
}

#[test]
fn credentials_load_on_an_idle_runtime_times_out() {
    let (slow, bound) = (Slow::new(false), Duration::from_millis(50));
    slow.permits.add_permits(2);
    let provider = continuing_for(bound, SharedCredentialsProvider::new(slow.clone()));
    let runtime = || tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let resting = runtime();
    // The load was started, but its task has not run yet.
    resting.block_on(async { assert!(provider.provide_credentials().now_or_never().is_none()) });
    runtime().block_on(async {
        let error = provider.provide_credentials().await.unwrap_err();
        assert!(matches!(error, CredentialsError::ProviderTimedOut(_)), "{error}");
        provider.provide_credentials().await.expect("a load of its own");
    });
}

#[tokio::test]
async fn concurrent_request_for_credentials_loads_for_itself() {
    let slow = Slow::new(false);
    let provider = continuing(SharedCredentialsProvider::new(slow.clone()));
    let both = futures::future::join(provider.provide_credentials(), provider.provide_credentials());
    let release = async {
        tokio::task::yield_now().await;
        assert_eq!(slow.loads(), 2, "both loads have started");
        slow.permits.add_permits(2);
    };
    let ((one, other), ()) = futures::future::join(both, release).await;
    assert!(one.is_ok() && other.is_ok());
}
