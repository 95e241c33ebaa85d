//! The audit: whether every order was counted once, and every reservation was sent once. It
//! compares the offered orders with the stored results, and uses nothing else.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use cloakroom_aws::Aws;
use futures::future::try_join_all;

use crate::{
    contestants::{Contestant, entities::ledger},
    error::RunError,
    order::{Ledger, entity},
    recorder::Entry,
    report::Audit,
    site::OUTGOING,
    target::with_causes,
};

/// The number of receivers that empty the outgoing queue.
const RECEIVERS: usize = 4;
/// The long poll of a receiver.
const WAIT: Duration = Duration::from_secs(1);
/// While reservations are missing, the queue counts as empty after this number of empty receives in
/// a row.
const EMPTY_MAX: u32 = 5;
/// The visibility timeout: longer than an audit takes.
const VISIBILITY: Duration = Duration::from_secs(3_600);

/// The stored results after a run.
#[derive(Debug, Default)]
pub(crate) struct Stored {
    pub(crate) ledgers: BTreeMap<u32, Ledger>,
    /// The number of sent messages with different identities, by the number of their order.
    pub(crate) sent: BTreeMap<u64, u64>,
}

impl Stored {
    /// Reads the table, and empties the outgoing queue.
    pub(crate) async fn read(aws: &Aws, contestant: &dyn Contestant, entries: &[Entry]) -> Result<Self, RunError> {
        Ok(Self { ledgers: ledgers(aws).await?, sent: sent(aws, contestant, entries.len()).await? })
    }
}

async fn ledgers(aws: &Aws) -> Result<BTreeMap<u32, Ledger>, RunError> {
    let table = &aws.settings().table;
    let failed = |error| RunError::failed(format!("reading table `{table}` failed: {error}"));
    let mut ledgers = BTreeMap::new();
    let mut items = aws.dynamodb().scan().table_name(table).consistent_read(true).into_paginator().items().send();
    while let Some(item) = items.next().await {
        let item = item.map_err(|error| failed(with_causes(error)))?;
        let entity = item.get("pk").and_then(|key| entity(key.as_s().ok()?));
        ledgers.extend(entity.zip(ledger(&item)));
    }
    Ok(ledgers)
}

async fn sent(aws: &Aws, contestant: &dyn Contestant, orders: usize) -> Result<BTreeMap<u64, u64>, RunError> {
    let queue = aws.ports().queues.open(OUTGOING).await?;
    let known = std::sync::Mutex::new((HashSet::new(), BTreeMap::new()));
    let empty = async || {
        let mut times_empty = 0;
        loop {
            let deliveries = queue.receive(10, WAIT, VISIBILITY).await?;
            if deliveries.is_empty() {
                times_empty += 1;
                // Even if all reservations were received, the loop first empties the queue: there
                // may be duplicates.
                let is_all = known.lock().is_ok_and(|known| known.1.len() >= orders);
                if is_all || times_empty == EMPTY_MAX {
                    return Ok::<_, RunError>(());
                }
                continue;
            }
            times_empty = 0;
            if let Ok(mut known) = known.lock() {
                let (identities, sent) = &mut *known;
                for one in deliveries.iter().filter_map(|delivery| contestant.sent(delivery)) {
                    *sent.entry(one.order).or_insert(0) += u64::from(identities.insert(one.identity));
                }
            }
            let receipts = deliveries.into_iter().map(|delivery| delivery.receipt).collect();
            queue.delete(receipts).await.into_iter().collect::<Result<(), _>>()?;
        }
    };
    try_join_all((0..RECEIVERS).map(|_| empty())).await?;
    Ok(known.into_inner().map(|(_, sent)| sent).unwrap_or_default())
}

/// The expected state of an entity.
#[derive(Clone, Copy, Debug, Default)]
struct Expected {
    ended: u64,
    offered: Ledger,
}

/// Compares the offered orders with the stored results. If the run was interrupted, an order that
/// was offered and has not ended may have been counted or not.
pub(crate) fn audit(entries: &[Entry], stored: &Stored, is_interrupted: bool) -> Audit {
    let mut audit = Audit::default();
    let mut expected: BTreeMap<u32, Expected> = BTreeMap::new();
    for (number, Entry { entity, has_ended, .. }) in (0..).zip(entries) {
        let must_count = *has_ended || !is_interrupted;
        let expected = expected.entry(*entity).or_default();
        expected.offered.apply(number);
        expected.ended += u64::from(must_count);
        let sent = stored.sent.get(&number).copied().unwrap_or(0);
        audit.unsent += u64::from(must_count && sent == 0);
        audit.sent_twice += sent.saturating_sub(1);
    }
    for (entity, Expected { ended, offered }) in &expected {
        let found = stored.ledgers.get(entity).copied().unwrap_or_default();
        audit.lost += ended.saturating_sub(found.applied);
        audit.doubled += found.applied.saturating_sub(offered.applied);
        // The number is right and the checksum is not: at least one order is missing, and one was
        // counted twice.
        let is_other = found.applied == offered.applied && found.checksum != offered.checksum;
        audit.lost += u64::from(is_other);
        audit.doubled += u64::from(is_other);
    }
    let unknown = stored.ledgers.iter().filter(|(entity, _)| !expected.contains_key(entity));
    audit.doubled += unknown.map(|(_, ledger)| ledger.applied).sum::<u64>();
    audit.sent_twice += stored.sent.range(entries.len() as u64..).map(|(_, sent)| sent).sum::<u64>();
    audit
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(entity: u32, has_ended: bool) -> Entry {
        Entry::new(entity, has_ended)
    }

    /// Returns the results after these orders were applied to entity 0, and these reservations were
    /// sent.
    fn stored(applied: &[u64], sent: &[(u64, u64)]) -> Stored {
        let mut ledger = Ledger::default();
        applied.iter().for_each(|number| ledger.apply(*number));
        Stored { ledgers: BTreeMap::from([(0, ledger)]), sent: sent.iter().copied().collect() }
    }

    #[test]
    fn audit_finds_lost_and_doubled_orders() {
        let entries = [entry(0, true), entry(0, true), entry(0, true)];
        let all = [(0, 1), (1, 1), (2, 1)];
        assert!(audit(&entries, &stored(&[2, 0, 1], &all), false).balances());
        let lost = audit(&entries, &stored(&[0, 1], &all[..2]), false);
        assert_eq!(lost, Audit { lost: 1, unsent: 1, ..Audit::default() });
        let doubled = audit(&entries, &stored(&[0, 1, 2, 2], &[(0, 1), (1, 1), (2, 2)]), false);
        assert_eq!(doubled, Audit { doubled: 1, sent_twice: 1, ..Audit::default() });
        let swapped = audit(&entries, &stored(&[0, 1, 1], &all), false);
        assert_eq!(swapped, Audit { lost: 1, doubled: 1, ..Audit::default() });
        let nothing = audit(&entries, &Stored::default(), false);
        assert_eq!(nothing, Audit { lost: 3, unsent: 3, ..Audit::default() });
    }

    #[test]
    fn audit_finds_orders_that_were_never_offered() {
        let mut stored = stored(&[0], &[(0, 1), (7, 1)]);
        stored.ledgers.insert(9, Ledger { applied: 2, checksum: 1 });
        let found = audit(&[entry(0, true)], &stored, false);
        assert_eq!(found, Audit { doubled: 2, sent_twice: 1, ..Audit::default() });
    }

    #[test]
    fn audit_of_an_interrupted_run_ignores_messages_that_had_not_ended() {
        let entries = [entry(0, true), entry(0, false)];
        assert!(audit(&entries, &stored(&[0], &[(0, 1)]), true).balances());
        assert!(audit(&entries, &stored(&[0, 1], &[(0, 1), (1, 1)]), true).balances());
        assert_eq!(audit(&entries, &stored(&[], &[]), true), Audit { lost: 1, unsent: 1, ..Audit::default() });
        assert_eq!(audit(&entries, &stored(&[0], &[(0, 1)]), false).lost, 1);
    }
}
