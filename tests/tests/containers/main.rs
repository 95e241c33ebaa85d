//! The adapters against services that others have written: LocalStack and ministack in containers, or a real account.
//! `localstack/README.md` says how to run them.
//!
//! This is a program of its own, and not a set of `#[test]`s, because the container that all tests share has to be removed
//! when the last one ends, however it ends. It takes the arguments that test programs take.
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
    site::{Site, Stage},
};

/// Tests wait most of the time.
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
    let runtime = Runtime::new().expect("threads can be had");
    let stage = Arc::new(Stage::new(backend));
    runtime.spawn(interrupt(Arc::clone(&stage)));
    let conclusion = libtest_mimic::run(&arguments, trials(&stage, runtime.handle()));
    // Whatever failed, nothing is left behind.
    match runtime.block_on(stage.leave()) {
        Ok(()) => conclusion.exit_code(),
        Err(error) => {
            eprintln!("containers: {error}");
            ExitCode::FAILURE
        }
    }
}

/// All tests, by the names of their modules.
fn trials(stage: &Arc<Stage>, runtime: &Handle) -> Vec<Trial> {
    macro_rules! trials {
        ($($module:ident: $($test:ident),+;)+) => {
            vec![$($(trial(stage, runtime, concat!(stringify!($module), "::", stringify!($test)), $module::$test)),+),+]
        };
    }
    let mut trials = trials! {
        laws: partitions_obey_the_laws, records_obey_the_laws, payloads_obey_the_laws,
            payloads_in_table_and_bucket_obey_the_laws;
        missing: a_missing_table_is_named, a_missing_bucket_is_neither_a_missing_payload_nor_a_missing_entry,
            a_missing_queue_is_named;
        provisioning: everything_is_made_once, two_at_once_do_not_disturb_each_other, a_changed_setting_is_applied;
        queues: a_fifo_queue_keeps_order_and_drops_copies, attributes_of_other_producers_survive_parking,
            large_messages_are_taken, only_fair_queues_carry_the_group, queues_with_a_prefix_are_others;
        recovery: a_committed_message_is_finished_from_the_dead_letter_queue,
            a_message_that_was_never_committed_is_left, a_dead_letter_queue_is_finished_and_redriven,
            what_a_purged_message_has_committed_is_swept;
        workflow: orders_survive_crashes_and_copies;
    };
    trials.extend(if stage.backend().name() == "ministack" {
        trials! { laws: queues_obey_the_laws_but_for_repeated_deletes; }
    } else {
        trials! { laws: queues_obey_the_laws; }
    });
    trials
}

/// A test that runs only if it is asked for, since it needs more than this machine has at hand.
fn trial<F: Future<Output = ()>>(
    stage: &Arc<Stage>,
    runtime: &Handle,
    name: &str,
    test: impl FnOnce(Arc<Site>) -> F + Send + 'static,
) -> Trial {
    let (stage, runtime) = (Arc::clone(stage), runtime.clone());
    let kind = stage.backend().name();
    let run = async move || Ok(stage.run(test).await?);
    Trial::test(name, move || runtime.block_on(run())).with_kind(kind).with_ignored_flag(true)
}

/// Ends the tests when a person or a build server has had enough, so that nothing is left behind then, either.
async fn interrupt(stage: Arc<Stage>) {
    let mut terminate = signal(SignalKind::terminate()).expect("signals can be waited for");
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.expect("signals can be waited for"),
        _ = terminate.recv() => {}
    }
    eprintln!("containers: interrupted; removing what was made");
    stage.interrupt();
}
