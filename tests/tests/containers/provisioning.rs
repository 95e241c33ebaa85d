//! Provisioning: from nothing, again, at once, and with other settings.

use std::{sync::Arc, time::Duration};

use cloakroom::ports::Clock as _;
use cloakroom_aws::{Provisioning, ProvisioningSettings, TokioClock};

use crate::site::{Site, provisioning};

const QUEUES: &[&str] = &["orders", "audit.fifo"];

/// Demands that everything is as it is wanted, as soon as the services show it: SQS takes up to a minute.
async fn nothing_is_left(provisioning: &Provisioning) {
    const LOOKS_MAX: usize = 90;
    let mut left = provisioning.plan().await.unwrap();
    for _ in 0..LOOKS_MAX {
        if left.is_empty() {
            return;
        }
        TokioClock.sleep(Duration::from_secs(1)).await;
        left = provisioning.plan().await.unwrap();
    }
    panic!("still to be done: {left}");
}

pub(crate) async fn everything_is_made_once(site: Arc<Site>) {
    let provisioning = provisioning(&site.aws("once"), QUEUES);
    let plan = provisioning.plan().await.unwrap();
    assert_eq!(provisioning.apply().await.unwrap(), plan);
    nothing_is_left(&provisioning).await;
    assert!(provisioning.apply().await.unwrap().is_empty(), "nothing is made twice");
}

pub(crate) async fn two_at_once_do_not_disturb_each_other(site: Arc<Site>) {
    let aws = site.aws("both");
    let (one, other) = (provisioning(&aws, QUEUES), provisioning(&aws, QUEUES));
    let (made, made_too) = futures::join!(one.apply(), other.apply());
    let made = made.unwrap().changes.len() + made_too.unwrap().changes.len();
    assert!(made >= one_each(&site).await, "{made} changes were made");
    nothing_is_left(&one).await;
}

/// How many changes there are from nothing.
async fn one_each(site: &Site) -> usize {
    provisioning(&site.aws("nobodys"), QUEUES).plan().await.unwrap().changes.len()
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
    nothing_is_left(&provisioning).await;
}
