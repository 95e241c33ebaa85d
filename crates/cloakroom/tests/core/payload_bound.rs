//! A payload that its store refuses because of its size. Only its message is affected.

use crate::fixture;

use std::sync::Arc;

use cloakroom::{Delivery, EndpointSettings, ErrorKind, Outcome, PortError};
use cloakroom_sim::wire::{Call, Operation, Wire, through_wire};
use fixture::{Act, World, builder};

/// A wire that refuses to read the payload of message `large`.
#[derive(Debug)]
struct Bounded;

impl Wire for Bounded {
    async fn carry<T: std::fmt::Debug + Send + 'static>(
        self: Arc<Self>,
        call: Call,
        effect: impl Future<Output = Result<T, PortError>> + Send + 'static,
    ) -> Result<T, PortError> {
        if call.operation == Operation::ReadPayload && call.subject.contains("large") {
            return Err(PortError::new(call.to_string(), "it is too large").without_effect().caused_by_data());
        }
        effect.await
    }
}

#[test]
fn message_whose_payload_is_too_large_is_parked_and_is_no_outage() {
    let world = World::new();
    let settings = EndpointSettings { attempts_max: 2, ..EndpointSettings::default() };
    let ports = through_wire(&Arc::new(Bounded), &world.memory.ports());
    let endpoint = builder().settings(settings).build(ports).expect("a valid endpoint");
    let process = |delivery: &Delivery| world.memory.run(endpoint.process(delivery));
    let large = world.claimed("large", &[Act::Add(1)]);
    let error = process(&large).expect_err("it is too large");
    assert_eq!(error.kind(), ErrorKind::RetryMessage, "{error}");
    assert_eq!(process(&Delivery { receive_count: 2, ..large }).ok(), Some(Outcome::Parked));
    let parked = world.memory.queues.get("bank-dead").messages().swap_remove(0);
    assert!(parked.attributes["cloakroom-reason"].contains("it is too large"), "{:?}", parked.attributes);
    assert_eq!(process(&world.claimed("small", &[])).ok(), Some(Outcome::Processed));
}
