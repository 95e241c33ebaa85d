//! Calls to ports, with retries.

use std::sync::atomic::Ordering;

use bytes::Bytes;

use crate::{
    engine::context::Context,
    error::{ErrorKind, PortError, Retry},
    format::name::Claim,
    observe::observer::Timed,
};

impl Context {
    /// Calls a port, and retries after a pause while a retry can help. For calls that may take
    /// effect more than once.
    pub(crate) async fn call<T, F>(&self, call: impl Fn() -> F) -> Result<T, PortError>
    where
        F: Future<Output = Result<T, PortError>>,
    {
        self.call_while(PortError::may_be_repeated, call).await
    }

    /// Calls a port, and retries while it is certain that no try has taken effect.
    pub(crate) async fn call_until_unknown<T, F>(&self, call: impl Fn() -> F) -> Result<T, PortError>
    where
        F: Future<Output = Result<T, PortError>>,
    {
        self.call_while(|error| error.may_be_repeated() && !error.may_have_happened(), call).await
    }

    /// Checks in a payload.
    ///
    /// SUBTLE: each try uses a new claim. (1) A write has an unknown outcome, and a second try
    /// succeeds. (2) The message is processed, and its payload is deleted. (3) The first write is
    /// applied late. If both tries had the same claim, the payload would exist again, and a
    /// duplicate delivery would be processed once more.
    pub(crate) async fn check_in(&self, payload: Bytes) -> Result<Claim, PortError> {
        self.call(|| {
            let claim = Claim::from_random(self.ports.random.bits(), self.ports.payloads.place(payload.len()));
            let payload = payload.clone();
            async move { self.ports.payloads.check_in(&claim, payload).await.map(|()| claim) }
        })
        .await
    }

    async fn call_while<T, F>(&self, again: impl Fn(&PortError) -> bool, call: impl Fn() -> F) -> Result<T, PortError>
    where
        F: Future<Output = Result<T, PortError>>,
    {
        let mut tried = 1;
        loop {
            match call().await {
                Err(error) if again(&error) && tried < self.settings.calls_max => {
                    tracing::debug!(error = error.loggable(), tried, "call repeated");
                    self.retried(error.reason());
                    self.pause(tried).await;
                    tried += 1;
                }
                result => return result,
            }
        }
    }

    /// Reports a retry. Throttled calls are also counted, because workers reduce their number of
    /// messages in flight for them.
    pub(crate) fn retried(&self, reason: Retry) {
        if reason == Retry::Throttled {
            self.throttled.fetch_add(1, Ordering::Relaxed);
        }
        self.observer.retried(reason);
    }

    /// Performs a part of the work, and reports its duration.
    pub(crate) async fn timed<T, E>(
        &self,
        part: Timed,
        kind: impl Fn(&E) -> ErrorKind,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let began = self.ports.clock.monotonic();
        let result = work.await;
        let duration = self.ports.clock.monotonic().saturating_sub(began);
        self.observer.took(part, duration, result.as_ref().err().map(kind));
        result
    }

    pub(crate) async fn pause(&self, attempt: u32) {
        let pause = self.settings.backoff.pause(attempt, self.ports.random.bits());
        self.ports.clock.sleep(pause).await;
    }
}
