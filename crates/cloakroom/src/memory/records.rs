use std::collections::BTreeMap;

use async_trait::async_trait;
use serde_dynamo::Item;

use crate::{
    error::PortError,
    format::{derived_id::derived_id, name::Partition},
    memory::store::MemoryStore,
    ports::records::{Found, RecordPage, Records, Segment},
};

/// A small number, so that tests read several pages.
const PAGE_ITEMS_MAX: usize = 10;

/// A page has at most ten items. Each item costs one read unit.
#[async_trait]
impl Records for MemoryStore {
    async fn page(&self, segment: Segment, after: Option<&str>) -> Result<RecordPage, PortError> {
        let invalid = |error| PortError::new("reading a page of records", error).without_effect().permanent();
        let after: Option<(String, String)> = after.map(serde_json::from_str).transpose().map_err(invalid)?;
        let is_in_segment =
            |pk: &str| derived_id(&[pk]).as_u128() % u128::from(segment.of) == u128::from(segment.number);
        let items = self.items();
        let all = items.iter().flat_map(|(pk, own)| own.iter().map(move |(sk, item)| ((pk, sk), item)));
        let rest = all.filter(|((pk, sk), _)| after.as_ref().is_none_or(|(p, s)| (*pk, *sk) > (p, s)));
        let rest: Vec<_> = rest.filter(|((pk, _), _)| is_in_segment(pk)).take(PAGE_ITEMS_MAX + 1).collect();
        let read = &rest[..rest.len().min(PAGE_ITEMS_MAX)];
        let next = read.last().filter(|_| rest.len() > read.len());
        Ok(RecordPage {
            records: read.iter().flat_map(|((pk, sk), item)| Found::read(&pk.as_str().into(), sk, item)).collect(),
            next: next.map(|(key, _)| serde_json::to_string(key)).transpose().map_err(invalid)?,
            items: read.len() as u64,
            units: f64::from(u32::try_from(read.len()).unwrap_or(u32::MAX)),
        })
    }

    async fn items_of(&self, partition: &Partition) -> Result<BTreeMap<String, Item>, PortError> {
        Ok(self.partition(partition))
    }
}
