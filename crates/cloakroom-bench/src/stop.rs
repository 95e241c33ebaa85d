//! The end of work, told to many.

use tokio::sync::watch;

/// Tells when to stop. All clones are told.
#[derive(Clone, Debug)]
pub struct Stop(watch::Receiver<bool>);

/// Whoever says when to stop. Dropped, it says so, too.
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

    /// Waits until it is time to stop. Safe to drop, and to call again.
    pub async fn wait(&self) {
        // An error is the stopper's end.
        let _ = self.0.clone().wait_for(|stop| *stop).await;
    }

    /// Whether it is time to stop.
    pub fn is_set(&self) -> bool {
        *self.0.borrow() || self.0.has_changed().is_err()
    }
}
