//! The states of entities, as the baselines store them.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use aws_sdk_dynamodb::{
    Client,
    types::{AttributeValue, Put},
};
use cloakroom::{
    PortError, Ports,
    observe::{Event, Observer as _},
    ports::Backoff,
};

use crate::{
    order::{Ledger, Order, partition},
    site::Site,
    target::with_causes,
};

pub(crate) const PARTITION: &str = "pk";
pub(crate) const SORT_KEY: &str = "sk";
/// The number of attempts to write a state before its message is returned to the queue. An attempt
/// fails if another worker changes the state after the read.
const PASSES_MAX: u32 = 16;
const BACKOFF: Backoff = Backoff { first_ms: 10, max_ms: 1_000 };

pub(crate) type Attributes = HashMap<String, AttributeValue>;

/// Reads and writes states. A conditional write replaces a state only if it is unchanged since the
/// read. One worker writes to an entity sequentially, so that its own messages do not conflict.
#[derive(Debug)]
pub(crate) struct Entities<'a> {
    site: &'a Site,
    ports: Ports,
    /// The lanes of entities that have messages in flight.
    lanes: Mutex<BTreeMap<u32, Arc<tokio::sync::Mutex<()>>>>,
}

impl<'a> Entities<'a> {
    pub(crate) fn new(site: &'a Site) -> Self {
        Self { site, ports: site.ports(), lanes: Mutex::default() }
    }

    pub(crate) const fn dynamodb(&self) -> &Client {
        self.site.dynamodb()
    }

    pub(crate) fn table(&self) -> &str {
        self.site.table()
    }

    /// Seconds since 1970.
    pub(crate) fn now_s(&self) -> u64 {
        self.ports.clock.now().as_secs()
    }

    pub(crate) async fn read(&self, entity: u32) -> Result<Ledger, PortError> {
        let item = self.get(key(partition(entity).as_str(), "state")).await?;
        Ok(item.as_ref().and_then(ledger).unwrap_or_default())
    }

    /// Reads an item, strongly consistent.
    pub(crate) async fn get(&self, key: Attributes) -> Result<Option<Attributes>, PortError> {
        let get = self.dynamodb().get_item().table_name(self.table()).set_key(Some(key)).consistent_read(true);
        Ok(get.send().await.map_err(failed("GetItem"))?.item)
    }

    /// Returns the write that replaces the state `before` with `after`, if the state is still
    /// `before`. The number of applied orders is its version.
    pub(crate) fn write(&self, entity: u32, before: Ledger, after: Ledger) -> Put {
        let mut item = key(partition(entity).as_str(), "state");
        item.insert("applied".to_owned(), number(after.applied));
        item.insert("checksum".to_owned(), number(after.checksum));
        let put = Put::builder().table_name(self.table()).set_item(Some(item));
        let put = if before == Ledger::default() {
            put.condition_expression("attribute_not_exists(pk)")
        } else {
            let put = put.condition_expression("applied = :applied");
            put.expression_attribute_values(":applied", number(before.applied))
        };
        put.build().expect("table and item are set")
    }

    /// Runs `work` after all earlier work on the same entity has ended.
    pub(crate) async fn in_turn<T>(&self, entity: u32, work: impl Future<Output = T>) -> T {
        let lane = Arc::clone(self.lanes().entry(entity).or_default());
        let turn = lane.lock().await;
        let result = work.await;
        drop(turn);
        let mut lanes = self.lanes();
        // If only the map and this function have the lane, no other message waits for it.
        if Arc::strong_count(&lane) == 2 {
            lanes.remove(&entity);
        }
        result
    }

    fn lanes(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<tokio::sync::Mutex<()>>>> {
        self.lanes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Applies an order to its entity.
    pub(crate) async fn apply(&self, order: &Order) -> Result<(), PortError> {
        self.in_turn(order.entity, self.apply_now(order)).await
    }

    async fn apply_now(&self, order: &Order) -> Result<(), PortError> {
        for pass in 1..=PASSES_MAX {
            let before = self.read(order.entity).await?;
            let Put { table_name, item, condition_expression, expression_attribute_values, .. } =
                self.write(order.entity, before, applied(before, order));
            let put = self.dynamodb().put_item().table_name(table_name).set_item(Some(item));
            let put = put.set_condition_expression(condition_expression);
            let Err(error) = put.set_expression_attribute_values(expression_attribute_values).send().await else {
                return Ok(());
            };
            if !error.as_service_error().is_some_and(|error| error.is_conditional_check_failed_exception()) {
                return Err(failed("PutItem")(error));
            }
            self.wait_after_conflict(pass).await;
        }
        Err(too_many_conflicts(order))
    }

    /// Counts a conflict with another worker, and waits for a backoff.
    pub(crate) async fn wait_after_conflict(&self, pass: u32) {
        self.site.counters().observe(Event::Conflict);
        self.ports.clock.sleep(BACKOFF.pause(pass, self.ports.random.bits())).await;
    }

    pub(crate) const fn passes() -> std::ops::RangeInclusive<u32> {
        1..=PASSES_MAX
    }
}

pub(crate) fn too_many_conflicts(order: &Order) -> PortError {
    let cause = format!("{PASSES_MAX} conditional writes failed because another worker had changed the state");
    PortError::new(format!("applying an order to entity {}", order.entity), cause).without_effect()
}

pub(crate) fn applied(mut ledger: Ledger, order: &Order) -> Ledger {
    // An id that is not a number belongs to no offered order. The audit finds it.
    ledger.apply(order.id.parse().unwrap_or(u64::MAX));
    ledger
}

/// Returns the state of an item. `None` if the item is not a state.
pub(crate) fn ledger(item: &Attributes) -> Option<Ledger> {
    let digits = |name: &str| item.get(name)?.as_n().ok()?.parse().ok();
    Some(Ledger { applied: digits("applied")?, checksum: digits("checksum")? })
}

pub(crate) fn key(partition: &str, sort_key: &str) -> Attributes {
    Attributes::from([
        (PARTITION.to_owned(), AttributeValue::S(partition.to_owned())),
        (SORT_KEY.to_owned(), AttributeValue::S(sort_key.to_owned())),
    ])
}

pub(crate) fn number(number: u64) -> AttributeValue {
    AttributeValue::N(number.to_string())
}

/// Returns a function that wraps an error of the SDK.
pub(crate) fn failed<E: std::error::Error>(what: &str) -> impl Fn(E) -> PortError {
    move |error| PortError::new(what, with_causes(error))
}
