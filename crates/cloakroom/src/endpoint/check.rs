//! Checks, before the first message, whether an endpoint reaches what it needs.

use std::collections::BTreeSet;

use futures::future::join_all;

use super::{Endpoint, Inner};
use crate::{Dedupe, Error, MessageId, Partition, PortError, protocol::Consistency};

/// What is read: neither this partition nor this message exists.
const PROBE: &str = "cloakroom-check";

impl Endpoint {
    /// Checks that the endpoint reaches its table, its payload stores, its dead-letter queue and all queues of its routes. It reads
    /// once from each and changes nothing: with DynamoDB, S3 and SQS that takes half a read unit, one GET for each payload store, and
    /// one request for each queue whose address is not known yet. If all is well it logs at info what the endpoint serves.
    ///
    /// `queue` is the one that messages come from, if it is known: it decides about the dead-letter queue, unless the endpoint
    /// names one.
    ///
    /// A [`Worker`](crate::Worker) does this when it starts. It does not prove that writes are permitted; `cloakroom doctor` looks
    /// at permissions.
    ///
    /// # Errors
    /// What could not be read, and why. The [`kind`](Error::kind) says whether to wait ([`AwaitService`](crate::ErrorKind::AwaitService)) or to fix the
    /// configuration. Of several failures the error names one that has to be fixed, if there is one.
    pub async fn check(&self, queue: Option<&str>) -> Result<(), Error> {
        let inner = &*self.inner;
        let dead_letters = inner.parking.known_queue(inner, queue)?;
        inner.check(dead_letters.as_deref()).await.map_err(|error| inner.cannot_work(error))?;
        let settings = &inner.settings;
        tracing::info!(
            endpoint = &*inner.name,
            handles = ?inner.handlers.keys().collect::<Vec<_>>(),
            routes = ?inner.routes,
            replies_to = inner.replies.queue,
            dead_letter_queue = dead_letters.as_deref(),
            payload_stores = ?inner.ports.payloads.stores(),
            placement = ?settings.placement,
            check_in = ?settings.check_in,
            dedupe = ?settings.dedupe,
            attempts_max = settings.attempts_max,
            "endpoint is ready"
        );
        Ok(())
    }
}

impl Inner {
    async fn check(&self, dead_letters: Option<&str>) -> Result<(), PortError> {
        // Each once: several types may be routed to one queue.
        let routes = self.routes.values().flatten().map(String::as_str);
        let queues: BTreeSet<&str> = dead_letters.into_iter().chain(routes).collect();
        let queues = join_all(queues.into_iter().map(async |name| self.queue(name).await.map(drop)));
        let (queues, table, payloads) = futures::join!(queues, self.check_table(), self.check_payloads());
        let mut failures: Vec<_> = queues.into_iter().chain([table, payloads]).filter_map(Result::err).collect();
        failures.sort_by_key(PortError::may_be_repeated);
        failures.into_iter().next().map_or(Ok(()), Err)
    }

    async fn check_table(&self) -> Result<(), PortError> {
        let partition = Partition::new(PROBE);
        self.call(|| self.ports.store.read_state(&partition, &self.name, Consistency::Any)).await.map(drop)
    }

    async fn check_payloads(&self) -> Result<(), PortError> {
        let message = MessageId::new(PROBE);
        match self.call(|| self.ports.payloads.has_entry(&self.name, &message)).await {
            // With retained records an endpoint may have no use for a payload store: if its messages carry no claims, and it sends none.
            Err(error) if !error.may_be_repeated() && matches!(self.settings.dedupe, Dedupe::Retained { .. }) => {
                let error = error.loggable();
                tracing::warn!(
                    endpoint = &*self.name,
                    error,
                    "payloads cannot be read: messages with a claim will fail"
                );
                Ok(())
            }
            result => result.map(drop),
        }
    }

    fn cannot_work(&self, error: PortError) -> Error {
        let what = match error.may_be_repeated() {
            true => "cannot work yet",
            false => "cannot work until this is fixed",
        };
        Error::from(error).of(format!("endpoint `{}` {what}", self.name))
    }
}
