//! The signals that stop a command: SIGINT, which ctrl-c sends, and SIGTERM, which service managers
//! and container runtimes send.
//!
//! The first process of a container ignores a signal for which it has no handler. So every command
//! that can run for long has a handler.

use std::{process::ExitCode, thread, time::Duration};

use tokio::{
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

use crate::site::Failure;

/// Receives the signals that were sent since it was created.
pub(crate) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// Installs handlers. From now on the signals do not end the process.
    ///
    /// # Errors
    /// The system rejects a handler.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let handler = |kind| signal(kind).map_err(|error| Failure::new(format!("handling signals failed: {error}")));
        Ok(Self { interrupt: handler(SignalKind::interrupt())?, terminate: handler(SignalKind::terminate())? })
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            Some(()) = self.interrupt.recv() => {}
            Some(()) = self.terminate.recv() => {}
            // The runtime no longer receives signals.
            else => std::future::pending().await,
        }
    }
}

/// Waits for a signal. If no handler can be installed, it waits forever, and a signal ends the
/// process.
pub(crate) async fn interrupted() {
    match Interrupts::listen() {
        Ok(mut interrupts) => interrupts.next().await,
        Err(_) => std::future::pending().await,
    }
}

/// Runs the work until it is done or a signal arrives. Work that handles the signal itself does so
/// first.
///
/// The work runs on a thread of its own. Some work never awaits (a model check), and some blocks on
/// standard input, so neither would notice a signal.
pub(crate) async fn unless_interrupted<W>(work: impl FnOnce() -> W + Send + 'static) -> Result<ExitCode, Failure>
where
    W: Future<Output = Result<ExitCode, Failure>>,
{
    let mut interrupts = Interrupts::listen()?;
    let runtime = Handle::current();
    let (done, mut result) = oneshot::channel();
    let ended = move || done.send(runtime.block_on(until_interrupted(work())));
    let thread = thread::Builder::new().name("command".to_owned()).stack_size(STACK).spawn(ended);
    thread.map_err(|error| Failure::new(format!("starting a thread failed: {error}")))?;
    let result = tokio::select! {
        result = &mut result => result,
        () = interrupts.next() => match tokio::time::timeout(END_WITHIN, result).await {
            Ok(result) => result,
            Err(_) => return Err(unfinished()),
        },
    };
    // The thread ends without a result only if it panics. The panic has printed its reason.
    result.unwrap_or_else(|_| Err(Failure::new("the command panicked; please report this as a bug")))
}

async fn until_interrupted(work: impl Future<Output = Result<ExitCode, Failure>>) -> Result<ExitCode, Failure> {
    tokio::select! {
        biased;
        result = work => result,
        () = interrupted() => Err(unfinished()),
    }
}

fn unfinished() -> Failure {
    Failure::new("interrupted: the command is not finished; run it again")
}

/// The time that the work has to end after a signal.
const END_WITHIN: Duration = Duration::from_secs(2);
/// The stack size of the thread: that of the main thread.
const STACK: usize = 8 * 1024 * 1024;
