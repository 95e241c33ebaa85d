//! Configuration from environment variables, and errors that name the variable.

use std::fmt;

use cloakroom_aws::{AwsSettings, QueueSettings, SettingsError};
use tracing_subscriber::EnvFilter;

/// Environment variables, as the binary provides them: a library does not read them itself.
///
/// ```
/// use cloakroom_shop::Environment;
///
/// let environment = Environment::new(|name| (name == "SHOP_LAMPS").then(|| "many".to_owned()));
/// let lamps = environment.optional("SHOP_LAMPS", 7_u32, "a number of lamps", |text| text.parse().ok());
/// assert_eq!(lamps.unwrap_err().to_string(), "variable `SHOP_LAMPS` is `many`; it must be a number of lamps");
/// assert_eq!(environment.optional("SHOP_CHAIRS", 4_u32, "a number of chairs", |text| text.parse().ok()), Ok(4));
/// ```
pub struct Environment(Box<Variable>);

/// Returns the value of a variable.
type Variable = dyn Fn(&str) -> Option<String>;

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Environment").finish()
    }
}

impl Environment {
    /// Creates an environment from a function that returns the value of a variable.
    pub fn new(variable: impl Fn(&str) -> Option<String> + 'static) -> Self {
        Self(Box::new(variable))
    }

    /// Returns the value of a variable that must be set. `demand` describes a valid value, for the error.
    ///
    /// # Errors
    /// The variable is not set, or its value cannot be parsed.
    pub fn required<T>(
        &self,
        name: &'static str,
        demand: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, BadVariable> {
        let text = (self.0)(name).ok_or_else(|| BadVariable::new(name, "not set", demand))?;
        parse(&text).ok_or_else(|| BadVariable::new(name, format_args!("`{text}`"), demand))
    }

    /// Returns the value of a variable, or a default if it is not set. `demand` describes a valid value, for the error.
    ///
    /// # Errors
    /// The value cannot be parsed.
    pub fn optional<T>(
        &self,
        name: &'static str,
        default: T,
        demand: &str,
        parse: impl Fn(&str) -> Option<T>,
    ) -> Result<T, BadVariable> {
        if (self.0)(name).is_none() { Ok(default) } else { self.required(name, demand, parse) }
    }

    /// Returns the settings of the adapters from `CLOAKROOM_TABLE`, `CLOAKROOM_BUCKET`, `CLOAKROOM_PAYLOAD_TABLE`
    /// (default: none) with `CLOAKROOM_SMALL_PAYLOAD_BYTES` (default: the size up to which the table is cheaper) and
    /// `CLOAKROOM_PAYLOAD_TTL_DAYS` (default: 50), `CLOAKROOM_PAYLOAD_BYTES_MAX` (default: 67,108,864), and
    /// `CLOAKROOM_QUEUE_PREFIX` (default: none). The SDK reads its own variables for everything else.
    ///
    /// # Errors
    /// A required variable is not set, or AWS would refuse its value.
    pub fn aws_settings(&self) -> Result<AwsSettings, BadVariable> {
        // `AwsSettings` validates the names.
        let name = |text: &str| Some(text.to_owned());
        let table = self.required("CLOAKROOM_TABLE", "the name of the table", name)?;
        let bucket = self.required("CLOAKROOM_BUCKET", "the name of the bucket for payloads", name)?;
        let prefix = self.optional("CLOAKROOM_QUEUE_PREFIX", String::new(), "the beginning of names", name)?;
        let queues = QueueSettings { prefix, ..QueueSettings::default() };
        let some_name = |text: &str| Some(Some(text.to_owned()));
        let payload_table =
            self.optional("CLOAKROOM_PAYLOAD_TABLE", None, "the name of the table for small payloads", some_name)?;
        let settings = AwsSettings { payload_table, queues, ..AwsSettings::new(table, bucket) };
        let small_payload_bytes_max = self.optional(
            "CLOAKROOM_SMALL_PAYLOAD_BYTES",
            settings.small_payload_bytes_max,
            "a number of bytes; with 0 no payload is small",
            |text| text.parse().ok(),
        )?;
        let days = "a number of days, longer than messages need their payloads";
        let payload_ttl_days =
            self.optional("CLOAKROOM_PAYLOAD_TTL_DAYS", settings.payload_ttl_days, days, |text| text.parse().ok())?;
        let bytes = "a number of bytes";
        let payload_bytes_max =
            self.optional("CLOAKROOM_PAYLOAD_BYTES_MAX", settings.payload_bytes_max, bytes, |text| text.parse().ok())?;
        let settings = AwsSettings { small_payload_bytes_max, payload_ttl_days, payload_bytes_max, ..settings };
        settings.validate().map_err(|error| BadVariable::of_settings(&error))?;
        Ok(settings)
    }

    /// Returns the log filter from `CLOAKROOM_LOG`, such as `warn,cloakroom::counts=info` (default: `info`).
    ///
    /// # Errors
    /// The value is not a list of targets and levels.
    pub fn log_filter(&self) -> Result<EnvFilter, BadVariable> {
        let demand = "a list of targets and levels, such as `warn,cloakroom::counts=info`";
        self.optional("CLOAKROOM_LOG", EnvFilter::new("info"), demand, |text| EnvFilter::try_new(text).ok())
    }
}

/// An invalid environment variable. The text names the variable, its value, and what a valid value is.
#[derive(Clone, PartialEq, Eq)]
pub struct BadVariable(String);

impl BadVariable {
    fn new(name: &str, is: impl fmt::Display, demand: &str) -> Self {
        Self(format!("variable `{name}` is {is}; it must be {demand}"))
    }

    fn of_settings(error: &SettingsError) -> Self {
        let name = match error.field() {
            "table" => "CLOAKROOM_TABLE",
            "bucket" => "CLOAKROOM_BUCKET",
            "payload_table" => "CLOAKROOM_PAYLOAD_TABLE",
            "payload_bytes_max" => "CLOAKROOM_PAYLOAD_BYTES_MAX",
            "payload_ttl_days" => "CLOAKROOM_PAYLOAD_TTL_DAYS",
            "small_payload_bytes_max" => "CLOAKROOM_SMALL_PAYLOAD_BYTES",
            _ => "CLOAKROOM_QUEUE_PREFIX",
        };
        Self(format!("variable `{name}` cannot be used: {error}"))
    }
}

impl fmt::Display for BadVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for BadVariable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for BadVariable {}
