//! Provisioning of an empty account, a second time, concurrently, and with changed settings.

use std::{sync::Arc, time::Duration};

use cloakroom::ports::Clock as _;
use cloakroom_aws::{Provisioning, ProvisioningSettings, TokioClock};

use crate::site::{Site, provisioning};

const QUEUES: &[&str] = &["orders", "audit.fifo"];

/// Asserts that provisioning has nothing left to do. Retries for 90 s, because SQS shows a change
/// only after up to a minute.
async fn assert_nothing_left(provisioning: &Provisioning) {
    const PLANS_MAX: usize = 90;
    let mut left = provisioning.plan().await.unwrap();
    for _ in 0..PLANS_MAX {
        if left.is_empty() {
            return;
        }
        TokioClock.sleep(Duration::from_secs(1)).await;
        left = provisioning.plan().await.unwrap();
    }
    panic!("still to be done: {left}");
}

pub(crate) async fn provisioning_creates_every_resource_once(site: Arc<Site>) {
    let provisioning = provisioning(&site.aws("once"), QUEUES);
    let plan = provisioning.plan().await.unwrap();
    assert_eq!(provisioning.apply().await.unwrap(), plan);
    assert_nothing_left(&provisioning).await;
    assert!(provisioning.apply().await.unwrap().is_empty(), "a second run changes nothing");
}

pub(crate) async fn concurrent_provisionings_do_not_disturb_each_other(site: Arc<Site>) {
    let aws = site.aws("both");
    let (one, other) = (provisioning(&aws, QUEUES), provisioning(&aws, QUEUES));
    let (made, made_too) = futures::join!(one.apply(), other.apply());
    let made = made.unwrap().changes.len() + made_too.unwrap().changes.len();
    assert!(made >= changes_from_nothing(&site).await, "{made} changes were made");
    assert_nothing_left(&one).await;
}

/// Returns how many changes provisioning makes if nothing exists.
async fn changes_from_nothing(site: &Site) -> usize {
    provisioning(&site.aws("unused"), QUEUES).plan().await.unwrap().changes.len()
}

pub(crate) async fn a_changed_setting_is_applied(site: Arc<Site>) {
    let aws = site.provisioned("changed", &["orders"]).await;
    let queues = vec!["orders".to_owned()];
    let settings = ProvisioningSettings {
        queues,
        visibility_s: Some(60),
        receives_max: Some(20),
        ..ProvisioningSettings::default()
    };
    let provisioning = Provisioning::new(&aws, settings).unwrap();
    let changed = provisioning.apply().await.unwrap();
    assert_eq!(changed.changes.len(), 2, "queue and dead-letter queue: {changed}");
    assert_nothing_left(&provisioning).await;
}
