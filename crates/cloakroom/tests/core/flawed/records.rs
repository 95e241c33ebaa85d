//! A memory backend that finds records with one flaw at a time.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use cloakroom::{
    Partition, PortError,
    format::Item,
    memory::MemoryStore,
    ports::{RecordPage, Records, Segment},
};

/// The flaw in finding records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RecordsFlaw {
    LosesTheLastOfAPage,
    LosesASegment,
    IgnoresSegments,
    RestartsAtEveryPage,
    LosesMessages,
    HidesRecords,
}

#[derive(Debug)]
pub(crate) struct FlawedRecords {
    pub(crate) flaw: RecordsFlaw,
    pub(crate) store: Arc<MemoryStore>,
}

#[async_trait]
impl Records for FlawedRecords {
    async fn page(&self, segment: Segment, after: Option<&str>) -> Result<RecordPage, PortError> {
        let whole = Segment { number: 0, of: 1 };
        let segment = if self.flaw == RecordsFlaw::IgnoresSegments { whole } else { segment };
        let after = after.filter(|_| self.flaw != RecordsFlaw::RestartsAtEveryPage);
        let mut page = self.store.page(segment, after).await?;
        match self.flaw {
            RecordsFlaw::LosesTheLastOfAPage if page.next.is_some() => drop(page.records.pop()),
            RecordsFlaw::LosesASegment if segment.number == 3 => page.records.clear(),
            RecordsFlaw::LosesMessages => page.records.iter_mut().for_each(|found| found.message = "m".into()),
            RecordsFlaw::LosesTheLastOfAPage
            | RecordsFlaw::LosesASegment
            | RecordsFlaw::IgnoresSegments
            | RecordsFlaw::RestartsAtEveryPage
            | RecordsFlaw::HidesRecords => {}
        }
        Ok(page)
    }

    async fn items_of(&self, partition: &Partition) -> Result<BTreeMap<String, Item>, PortError> {
        let mut items = self.store.items_of(partition).await?;
        items.retain(|key, _| self.flaw != RecordsFlaw::HidesRecords || !key.starts_with("outbox#"));
        Ok(items)
    }
}
