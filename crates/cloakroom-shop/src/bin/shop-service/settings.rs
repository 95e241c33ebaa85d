//! Settings of the process, from environment variables.

use std::{collections::BTreeMap, net::SocketAddr, ops::RangeInclusive, time::Duration};

use cloakroom::WorkerSettings;
use cloakroom_aws::AwsSettings;
use cloakroom_shop::{BadVariable, Environment, Service};
use tracing_subscriber::EnvFilter;

/// The settings of a process; see the top of `main.rs`.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) aws: AwsSettings,
    pub(crate) workers: BTreeMap<Service, WorkerSettings>,
    pub(crate) drain: Duration,
    pub(crate) health: SocketAddr,
    /// How long a worker may be without progress before the process counts as not alive. A worker in an outage makes
    /// progress every 330 seconds, so this must be longer. [`HEALTHY_IDLE_MAX`] leaves room.
    pub(crate) idle_max: Duration,
    pub(crate) log_filter: EnvFilter,
}

/// How long a healthy worker may be without progress, with some room. In an outage it pauses for five minutes, and a
/// receive takes up to half a minute more.
pub(crate) const HEALTHY_IDLE_MAX: Duration = Duration::from_secs(360);

impl Settings {
    /// Whether a healthy process can count as not alive. Then it is restarted, which does not end an outage.
    pub(crate) fn is_impatient(&self) -> bool {
        self.idle_max < HEALTHY_IDLE_MAX
    }

    pub(crate) fn read(environment: &Environment) -> Result<Self, BadVariable> {
        let services = "services, separated by commas: orders, stock, billing";
        let services = environment.optional("SHOP_SERVICES", Service::ALL.to_vec(), services, |text| {
            text.split(',').map(|name| name.trim().parse().ok()).collect()
        })?;
        let in_flight = "numbers from 1 to 10000 by service, such as `orders=64,stock=16`";
        let in_flight = environment.optional("SHOP_IN_FLIGHT", BTreeMap::new(), in_flight, by_service)?;
        let visibility = seconds(environment, "SHOP_VISIBILITY_SECONDS", 30, 1..=43_200)?;
        let drain = seconds(environment, "SHOP_DRAIN_SECONDS", 20, 0..=3_600)?;
        let idle = seconds(environment, "SHOP_IDLE_SECONDS", 600, 1..=43_200)?;
        let address = "an address and a port, such as `0.0.0.0:8080`";
        let health =
            environment
                .optional("SHOP_HEALTH_ADDRESS", SocketAddr::from(([0; 4], 8080)), address, |text| text.parse().ok())?;
        let worker = |service| {
            let default = WorkerSettings::default();
            let in_flight_max = in_flight.get(&service).copied().unwrap_or(default.in_flight_max);
            let (visibility_ms, drain_ms) = (visibility * 1_000, drain * 1_000);
            (service, WorkerSettings { in_flight_max, visibility_ms, drain_ms, ..default })
        };
        Ok(Self {
            aws: environment.aws_settings()?,
            workers: services.into_iter().map(worker).collect(),
            drain: Duration::from_secs(drain),
            health,
            idle_max: Duration::from_secs(idle),
            log_filter: environment.log_filter()?,
        })
    }
}

fn seconds(
    environment: &Environment,
    name: &'static str,
    default: u64,
    range: RangeInclusive<u64>,
) -> Result<u64, BadVariable> {
    let demand = format!("whole seconds from {} to {}", range.start(), range.end());
    environment.optional(name, default, &demand, |text| text.parse().ok().filter(|value| range.contains(value)))
}

/// Reads numbers by service. `None` if the text has anything else, or a service twice.
fn by_service(text: &str) -> Option<BTreeMap<Service, usize>> {
    let mut numbers = BTreeMap::new();
    for part in text.split(',') {
        let (service, number) = part.split_once('=')?;
        let number = number.trim().parse().ok().filter(|number| (1..=10_000).contains(number))?;
        if numbers.insert(service.trim().parse().ok()?, number).is_some() {
            return None;
        }
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(variables: &'static [(&str, &str)]) -> Result<Settings, BadVariable> {
        let all = move |name: &str| {
            let needed = [("CLOAKROOM_TABLE", "shop"), ("CLOAKROOM_BUCKET", "shop-payloads")];
            let mut all = variables.iter().chain(&needed);
            all.find(|(variable, _)| *variable == name).map(|(_, value)| (*value).to_owned())
        };
        Settings::read(&Environment::new(all))
    }

    #[test]
    fn a_table_and_a_bucket_are_enough() {
        let settings = read(&[]).expect("settings");
        assert_eq!(settings.workers, Service::ALL.map(|service| (service, WorkerSettings::default())).into());
        assert_eq!((settings.drain.as_secs(), settings.health.to_string()), (20, "0.0.0.0:8080".to_owned()));
        assert_eq!((settings.idle_max.as_secs(), settings.is_impatient()), (600, false));
        assert_eq!((settings.aws.queues.prefix, settings.log_filter.to_string()), (String::new(), "info".to_owned()));
    }

    #[test]
    fn every_variable_has_its_place() {
        let settings = read(&[
            ("CLOAKROOM_PAYLOAD_TABLE", "shop-payloads-small"),
            ("CLOAKROOM_SMALL_PAYLOAD_BYTES", "0"),
            ("CLOAKROOM_PAYLOAD_TTL_DAYS", "63"),
            ("CLOAKROOM_QUEUE_PREFIX", "test-"),
            ("CLOAKROOM_LOG", "warn"),
            ("SHOP_SERVICES", "stock, orders"),
            ("SHOP_IN_FLIGHT", "orders=7,billing=8"),
            ("SHOP_VISIBILITY_SECONDS", "2"),
            ("SHOP_DRAIN_SECONDS", "0"),
            ("SHOP_HEALTH_ADDRESS", "[::1]:81"),
            ("SHOP_IDLE_SECONDS", "90"),
        ])
        .expect("settings");
        let worker =
            |service| settings.workers.get(&service).map(|worker| (worker.in_flight_max, worker.visibility_ms));
        assert_eq!(Service::ALL.map(worker), [Some((7, 2_000)), Some((64, 2_000)), None]);
        assert_eq!(settings.idle_max.as_secs(), 90);
        assert_eq!((settings.drain, settings.workers[&Service::Stock].drain_ms), (Duration::ZERO, 0));
        assert_eq!((settings.aws.queues.prefix.as_str(), settings.health.to_string().as_str()), ("test-", "[::1]:81"));
        assert_eq!(settings.log_filter.to_string(), "warn");
        assert_eq!(settings.aws.payload_table.as_deref(), Some("shop-payloads-small"));
        assert_eq!((settings.aws.small_payload_bytes_max, settings.aws.payload_ttl_days), (0, 63));
    }

    #[test]
    fn idle_time_of_a_healthy_worker_is_noticed_and_taken() {
        let is_impatient = |variables| read(variables).expect("settings").is_impatient();
        assert!(is_impatient(&[("SHOP_IDLE_SECONDS", "1")]), "a test wants it");
        assert!(is_impatient(&[("SHOP_IDLE_SECONDS", "359")]));
        assert!(!is_impatient(&[("SHOP_IDLE_SECONDS", "360")]));
    }

    #[test]
    fn a_wrong_value_is_named_with_its_variable() {
        let wrong: [&[(&str, &str)]; 21] = [
            &[("CLOAKROOM_TABLE", "a b")],
            &[("CLOAKROOM_BUCKET", "B")],
            &[("CLOAKROOM_PAYLOAD_TABLE", "shop")],
            &[("CLOAKROOM_SMALL_PAYLOAD_BYTES", "4 KB")],
            &[("CLOAKROOM_PAYLOAD_TTL_DAYS", "0")],
            &[("CLOAKROOM_SMALL_PAYLOAD_BYTES", "409577")],
            &[("CLOAKROOM_QUEUE_PREFIX", "a.")],
            &[("CLOAKROOM_LOG", "cloakroom=loud")],
            &[("SHOP_SERVICES", "")],
            &[("SHOP_SERVICES", "orders,stocks")],
            &[("SHOP_IN_FLIGHT", "64")],
            &[("SHOP_IN_FLIGHT", "orders=0")],
            &[("SHOP_IN_FLIGHT", "orders=1,orders=2")],
            &[("SHOP_IN_FLIGHT", "stocks=1")],
            &[("SHOP_VISIBILITY_SECONDS", "0")],
            &[("SHOP_VISIBILITY_SECONDS", "1.5")],
            &[("SHOP_DRAIN_SECONDS", "3601")],
            &[("SHOP_DRAIN_SECONDS", "-1")],
            &[("SHOP_IDLE_SECONDS", "0")],
            &[("SHOP_HEALTH_ADDRESS", "8080")],
            &[("SHOP_HEALTH_ADDRESS", "localhost:http")],
        ];
        for variables in wrong {
            let [(name, value)] = variables else { panic!("one variable at a time") };
            let text = read(variables).expect_err(name).to_string();
            assert!(text.contains(&format!("`{name}`")) && text.contains(&format!("`{value}`")), "{text}");
        }
    }
}
