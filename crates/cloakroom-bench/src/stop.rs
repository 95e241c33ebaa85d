//! A signal that stops all workers.

use tokio::sync::watch;

/// A signal to stop. All clones receive it.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// The sender of the signal. Dropping it also sends the signal.
#[derive(Debug)]
pub(crate) struct Stopper(watch::Sender<bool>);

impl Stopper {
    pub(crate) fn stop(&self) {
        self.0.send_replace(true);
    }
}

impl Stop {
    pub(crate) fn new() -> (Stopper, Self) {
        let (stopper, stop) = watch::channel(false);
        (Stopper(stopper), Self(stop))
    }

    /// Waits for the signal. The future may be dropped, and the function may be called again.
    pub async fn wait(&self) {
        // An error means that the stopper was dropped.
        let _ = self.0.clone().wait_for(|stop| *stop).await;
    }

    /// Returns whether the signal was sent.
    pub fn is_set(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}
