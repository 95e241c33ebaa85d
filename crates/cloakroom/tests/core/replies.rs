//! Which queue a reply is sent to, and which messages may choose it.

use crate::fixture;

use cloakroom::{
    Delivery, Outcome,
    endpoint::EndpointBuilder,
    engine::parking,
    format::{Claim, Envelope},
    memory::Memory,
};
use fixture::{Account, Act, Play, World, builder, envelope};

/// Processes a message that requests a reply to `queue`. Returns the reason if it was parked.
fn reply_to(
    queue: &str,
    builder: EndpointBuilder<Account>,
    change: impl FnOnce(&World, &mut Envelope),
) -> Option<String> {
    let world = World::new();
    let mut envelope = envelope("m", "account.play");
    envelope.replyto = Some(queue.to_owned());
    envelope.data = Some(serde_json::json!({ "acts": [Act::Answer] }));
    change(&world, &mut envelope);
    let memory: &Memory = &world.memory;
    let endpoint = builder.build(memory.ports()).expect("a valid endpoint");
    let delivery: Delivery = world.delivery(&envelope);
    match memory.run(endpoint.process(&delivery)).expect("nothing fails") {
        Outcome::Parked => {
            assert_eq!(world.sent(queue), [], "nothing was sent");
            Some(memory.queues.get("bank-dead").messages().swap_remove(0).attributes[parking::REASON].clone())
        }
        outcome @ (Outcome::Processed | Outcome::Resumed | Outcome::Duplicate | Outcome::Deferred) => {
            assert_eq!((outcome, world.sent(queue).len()), (Outcome::Processed, 1));
            None
        }
    }
}

fn foreign(_: &World, _: &mut Envelope) {}

/// Gives the envelope a claim, as an endpoint does.
fn claimed(world: &World, envelope: &mut Envelope) {
    let claim = Claim::from_random(7, "memory");
    world.check_in(&claim, &Play { acts: vec![Act::Answer] });
    (envelope.dataref, envelope.data) = (Some(claim), None);
}

#[test]
fn message_with_a_claim_chooses_the_reply_queue() {
    assert_eq!(reply_to("anywhere", builder(), claimed), None);
}

#[test]
fn foreign_message_that_poses_as_an_endpoint_cannot_choose_the_reply_queue() {
    // `Envelope::new` writes `cloakroomformat`, as any sender can.
    let reason = reply_to("payroll", builder(), foreign).expect("it is parked");
    for part in ["queue `payroll`", "endpoint `bank`", "`allow_replies_to`", "`note`", "foreign"] {
        assert!(reason.contains(part), "`{reason}` does not contain `{part}`");
    }
}

#[test]
fn foreign_message_can_name_a_queue_that_is_allowed_or_routed_for_the_type_of_the_reply() {
    assert_eq!(reply_to("web", builder().allow_replies_to("mobile").allow_replies_to("web"), foreign), None);
    assert_eq!(reply_to("notes", builder(), foreign), None);
    let of_another_type = reply_to("pagers", builder(), foreign);
    assert!(
        of_another_type.is_some_and(|reason| reason.contains("queue `pagers`")),
        "the route of alerts does not allow notes"
    );
}
