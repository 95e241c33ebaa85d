//! The resources that a run needs.

use cloakroom_aws::{Provisioning, ProvisioningSettings};
use cloakroom_local::LocalAws;
use cloakroom_shop::{Service, Site, books::QueueDepths};

use crate::{
    demo::options::Options,
    site::{self, Failure},
};

/// Embedded AWS in this process, with the table, the buckets and the queues of the shop.
pub(crate) struct Setup {
    pub(crate) aws: LocalAws,
    /// The environment variables with which other processes reach this embedded AWS.
    pub(crate) environment: Vec<(&'static str, String)>,
    pub(crate) site: Site,
    pub(crate) queues: QueueDepths,
}

impl Setup {
    pub(crate) async fn start(options: &Options) -> Result<Self, Failure> {
        let builder = LocalAws::builder();
        let builder = match &options.data {
            Some(folder) => builder.folder(folder),
            None => builder,
        };
        let aws = builder.start().await.map_err(Failure::new)?;
        let mut environment = aws.environment();
        if options.payload_table {
            environment.push((site::PAYLOAD_TABLE, "shop-small-payloads".to_owned()));
        }
        let variable = |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, value)| value.clone());
        let site = site::embedded(variable)?;
        provision(&site).await?;
        let queues = QueueDepths::find(&site).await.map_err(Failure::new)?;
        Ok(Self { aws, environment, site, queues })
    }
}

async fn provision(site: &Site) -> Result<(), Failure> {
    let queues = Service::ALL.iter().map(|service| service.name().to_owned()).collect();
    let settings = ProvisioningSettings { queues, ..ProvisioningSettings::default() };
    let provisioning = Provisioning::new(&site.aws().map_err(Failure::new)?, settings).map_err(Failure::new)?;
    provisioning.apply().await.map_err(Failure::new)?;
    Ok(())
}
