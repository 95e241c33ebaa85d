//! The adapters against independent implementations of AWS: LocalStack and ministack in containers,
//! or a real account. `localstack/README.md` describes how to run them.
//!
//! This is a program instead of a set of `#[test]`s, because all tests share one container. It must
//! be removed after the last test, also if a test fails. The program takes the usual arguments of
//! test programs.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

mod altered;
mod backend;
mod laws;
mod missing;
mod provisioning;
mod queues;
mod recovery;
#[path = "../shared/mod.rs"]
mod shared;
mod site;
mod workflow;

use std::{process::ExitCode, sync::Arc};

use libtest_mimic::{Arguments, Trial};
use tokio::{
    runtime::{Handle, Runtime},
    signal::unix::{SignalKind, signal},
};

use crate::{
    backend::Backend,
    site::{Site, SiteOwner},
};

/// More than there are cores, because tests wait most of the time.
const TESTS_AT_A_TIME: usize = 8;

fn main() -> ExitCode {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TESTS_AT_A_TIME);
    let backend = match Backend::chosen() {
        Ok(backend) => backend,
        Err(error) => {
            eprintln!("containers: {error}");
            return ExitCode::from(2);
        }
    };
    let runtime = Runtime::new().expect("threads can be started");
    let owner = Arc::new(SiteOwner::new(backend));
    runtime.spawn(interrupt(Arc::clone(&owner)));
    let conclusion = libtest_mimic::run(&arguments, trials(&owner, runtime.handle()));
    // Resources are removed also if tests failed.
    match runtime.block_on(owner.remove()) {
        Ok(()) => conclusion.exit_code(),
        Err(error) => {
            eprintln!("containers: {error}");
            ExitCode::FAILURE
        }
    }
}

/// All tests, each under its module and its name.
fn trials(owner: &Arc<SiteOwner>, runtime: &Handle) -> Vec<Trial> {
    macro_rules! trials {
        ($($module:ident: $($test:ident),+;)+) => {
            vec![$($(trial(owner, runtime, concat!(stringify!($module), "::", stringify!($test)), $module::$test)),+),+]
        };
    }
    let mut trials = trials! {
        laws: partitions_obey_the_laws, records_obey_the_laws, payloads_obey_the_laws,
            payloads_in_table_and_bucket_obey_the_laws;
        missing: missing_table_is_an_error_that_names_it, a_missing_bucket_is_neither_a_missing_payload_nor_a_missing_entry,
            a_missing_queue_is_named;
        provisioning: provisioning_creates_every_resource_once, concurrent_provisionings_do_not_disturb_each_other, a_changed_setting_is_applied;
        queues: a_fifo_queue_keeps_order_and_drops_copies, attributes_of_other_producers_survive_parking,
            large_messages_are_delivered_and_too_large_ones_are_refused, only_fair_queues_carry_the_group, queues_with_different_prefixes_are_different_queues;
        recovery: a_committed_message_is_finished_from_the_dead_letter_queue,
            a_message_that_was_never_committed_is_left, a_dead_letter_queue_is_finished_and_redriven,
            sweep_finishes_a_commit_whose_message_was_purged;
        workflow: orders_survive_crashes_and_copies;
    };
    trials.extend(if owner.backend().name() == "ministack" {
        trials! { laws: queues_obey_the_laws_except_repeated_deletes; }
    } else {
        trials! { laws: queues_obey_the_laws; }
    });
    trials
}

/// Returns a test that is ignored by default, because it needs Docker or an account.
fn trial<F: Future<Output = ()>>(
    owner: &Arc<SiteOwner>,
    runtime: &Handle,
    name: &str,
    test: impl FnOnce(Arc<Site>) -> F + Send + 'static,
) -> Trial {
    let (owner, runtime) = (Arc::clone(owner), runtime.clone());
    let kind = owner.backend().name();
    let run = async move || Ok(owner.run(test).await?);
    Trial::test(name, move || runtime.block_on(run())).with_kind(kind).with_ignored_flag(true)
}

/// Ends the tests on SIGINT or SIGTERM, so that their resources are removed in that case, too.
async fn interrupt(owner: Arc<SiteOwner>) {
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be waited for");
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.expect("signals can be waited for"),
        _ = terminate.recv() => {}
    }
    eprintln!("containers: interrupted; removing the resources of the tests");
    owner.interrupt();
}
