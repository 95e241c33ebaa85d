//! The signals that ask a command to stop: SIGINT, which is ctrl-c, and SIGTERM, which service managers and containers
//! send.
//!
//! The first process of a container does not end by a signal that it has no handler for. So every command that can run
//! for long has one.

use std::{process::ExitCode, thread, time::Duration};

use tokio::{
    runtime::Handle,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

use crate::site::Failure;

/// Receives the signals that were sent since it was made.
pub(crate) struct Interrupts {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupts {
    /// Takes the signals over. From now on they do not end the process.
    ///
    /// # Errors
    /// The system refuses a handler.
    pub(crate) fn listen() -> Result<Self, Failure> {
        let handler = |kind| signal(kind).map_err(|error| Failure::new(format!("handling signals failed: {error}")));
        Ok(Self { interrupt: handler(SignalKind::interrupt())?, terminate: handler(SignalKind::terminate())? })
    }

    /// Waits for the next signal.
    pub(crate) async fn next(&mut self) {
        tokio::select! {
            Some(()) = self.interrupt.recv() => {}
            Some(()) = self.terminate.recv() => {}
            // The runtime receives no signals any more.
            else => std::future::pending().await,
        }
    }
}

/// Waits for a signal. Without handlers it waits forever, and the signals end the process.
pub(crate) async fn interrupted() {
    match Interrupts::listen() {
        Ok(mut interrupts) => interrupts.next().await,
        Err(_) => std::future::pending().await,
    }
}

/// Works until it is done or a signal comes. Work that handles the signal itself does so first.
///
/// The work has a thread of its own, since some of it never waits (a model check), and some waits for standard input:
/// neither would notice a signal.
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
    // The thread ends without a result only if it panics, which has printed why.
    result.unwrap_or_else(|_| Err(Failure::new("the command panicked: please report it")))
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

/// How long work may take to notice a signal.
const END_WITHIN: Duration = Duration::from_secs(2);
/// As much as the main thread has.
const STACK: usize = 8 * 1024 * 1024;
