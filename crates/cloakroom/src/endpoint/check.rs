//! The check of an endpoint's requirements before its first message.

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

/// The key that is read. Neither this partition nor this message exists.
const PROBE: &str = "cloakroom-check";

impl Endpoint {
    /// Checks that the endpoint can read its table and its payload stores, and that it can open its
    /// dead-letter queue and the queues of its routes. It changes nothing. With DynamoDB, S3 and
    /// SQS it takes half a read unit, one GET for each payload store, and one request for each
    /// queue whose address is not known yet. If everything is in order, it logs the endpoint's
    /// configuration at level info.
    ///
    /// `queue`: the queue of the incoming messages, if it is known. It determines the dead-letter
    /// queue, unless the endpoint names one.
    ///
    /// A [`Worker`](crate::Worker) runs this check when it starts. The check does not prove that
    /// writes are permitted. `cloakroom doctor` checks permissions.
    ///
    /// # Errors
    /// The thing that could not be read, and the reason. The [`kind`](Error::kind) shows whether to
    /// wait ([`AwaitService`](crate::ErrorKind::AwaitService)) or to fix the configuration. If
    /// there are several failures, the error names one that must be fixed, if there is one.
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
    // Each queue once: several types may be routed to one queue.
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
        // With retained records an endpoint needs no payload store if neither its incoming nor its
        // outgoing messages carry claims.
        Err(error) if !error.may_be_repeated() && matches!(context.settings.dedupe, Dedupe::Retained { .. }) => {
            let error = error.loggable();
            tracing::warn!(
                endpoint = &*context.name,
                error,
                "the payload store cannot be read: messages with a claim will fail"
            );
            Ok(())
        }
        result => result.map(drop),
    }
}

fn cannot_work(context: &Context, error: PortError) -> Error {
    let state = match error.may_be_repeated() {
        true => "cannot work yet",
        false => "cannot work until this is fixed",
    };
    Error::from(error).of(format!("endpoint `{}` {state}", context.name))
}
