//! Checks, before the first message, whether an endpoint reaches what it needs.

use std::collections::BTreeSet;

use futures::future::join_all;

use crate::{
    endpoint::{Endpoint, Parts},
    engine::{context::Context, settings::Dedupe},
    error::{Error, PortError},
    format::name::{MessageId, Partition},
    handler::registry::Handlers,
    protocol::step::Consistency,
};

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
        let Parts { context, handlers, .. } = &*self.parts;
        let dead_letters = context.parking.known_queue(context, queue)?;
        check(context, handlers, dead_letters.as_deref()).await.map_err(|error| cannot_work(context, error))?;
        let settings = &context.settings;
        tracing::info!(
            endpoint = &*context.name,
            handles = ?handlers.by_type.keys().collect::<Vec<_>>(),
            routes = ?handlers.routes,
            replies_to = handlers.replies.queue,
            dead_letter_queue = dead_letters.as_deref(),
            payload_stores = ?context.ports.payloads.stores(),
            placement = ?settings.placement,
            check_in = ?settings.check_in,
            dedupe = ?settings.dedupe,
            attempts_max = settings.attempts_max,
            "endpoint is ready"
        );
        Ok(())
    }
}

async fn check(context: &Context, handlers: &Handlers, dead_letters: Option<&str>) -> Result<(), PortError> {
    // Each once: several types may be routed to one queue.
    let routes = handlers.routes.values().flatten().map(String::as_str);
    let queues: BTreeSet<&str> = dead_letters.into_iter().chain(routes).collect();
    let queues = join_all(queues.into_iter().map(async |name| context.queue(name).await.map(drop)));
    let (queues, table, payloads) = futures::join!(queues, check_table(context), check_payloads(context));
    let mut failures: Vec<_> = queues.into_iter().chain([table, payloads]).filter_map(Result::err).collect();
    failures.sort_by_key(PortError::may_be_repeated);
    failures.into_iter().next().map_or(Ok(()), Err)
}

async fn check_table(context: &Context) -> Result<(), PortError> {
    let partition = Partition::new(PROBE);
    context.call(|| context.ports.store.read_state(&partition, &context.name, Consistency::Any)).await.map(drop)
}

async fn check_payloads(context: &Context) -> Result<(), PortError> {
    let message = MessageId::new(PROBE);
    match context.call(|| context.ports.payloads.has_entry(&context.name, &message)).await {
        // With retained records an endpoint may have no use for a payload store: if its messages carry no claims, and it sends none.
        Err(error) if !error.may_be_repeated() && matches!(context.settings.dedupe, Dedupe::Retained { .. }) => {
            let error = error.loggable();
            tracing::warn!(
                endpoint = &*context.name,
                error,
                "payloads cannot be read: messages with a claim will fail"
            );
            Ok(())
        }
        result => result.map(drop),
    }
}

fn cannot_work(context: &Context, error: PortError) -> Error {
    let what = match error.may_be_repeated() {
        true => "cannot work yet",
        false => "cannot work until this is fixed",
    };
    Error::from(error).of(format!("endpoint `{}` {what}", context.name))
}
