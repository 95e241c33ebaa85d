//! All ports over one set of clients.

use std::sync::Arc;

use cloakroom::{Ports, SystemRandom};

use crate::{AwsSettings, DynamoStore, S3Payloads, SettingsError, SqsQueues, TokioClock};

/// DynamoDB, S3 and SQS, over clients of the caller's.
///
/// Clients are used as they come: region, credentials, endpoints, timeouts and retries are the caller's affair, and
/// nothing is read from the environment here. The three calls that must not be repeated unseen (committing, checking
/// a payload in, sending) go without the client's retries.
///
/// ```no_run
/// use cloakroom_aws::{Aws, AwsSettings};
///
/// # fn example(
/// #     dynamodb: aws_sdk_dynamodb::Client, s3: aws_sdk_s3::Client, sqs: aws_sdk_sqs::Client,
/// # ) -> Result<(), cloakroom_aws::SettingsError> {
/// // `let dynamodb = aws_sdk_dynamodb::Client::new(&aws_config::load_from_env().await)`, and so on.
/// let aws = Aws::new(dynamodb, s3, sqs, AwsSettings::new("orders", "orders-payloads"))?;
/// let ports = aws.ports();
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Aws {
    pub(crate) dynamodb: aws_sdk_dynamodb::Client,
    pub(crate) s3: aws_sdk_s3::Client,
    pub(crate) sqs: aws_sdk_sqs::Client,
    pub(crate) settings: AwsSettings,
    queues: Arc<SqsQueues>,
}

impl Aws {
    /// Takes clients and settings. Nothing is asked of AWS.
    ///
    /// # Errors
    /// A setting that AWS would refuse.
    pub fn new(
        dynamodb: aws_sdk_dynamodb::Client,
        s3: aws_sdk_s3::Client,
        sqs: aws_sdk_sqs::Client,
        settings: AwsSettings,
    ) -> Result<Self, SettingsError> {
        settings.validate()?;
        let queues = SqsQueues::new(sqs.clone(), settings.queues.clone())?.with_limits(settings.limits);
        Ok(Self { dynamodb, s3, sqs, settings, queues: Arc::new(queues) })
    }

    /// The settings.
    pub const fn settings(&self) -> &AwsSettings {
        &self.settings
    }

    /// What an endpoint needs: store, payloads and queues, the machine's clock and its random numbers.
    /// All ports of one `Aws` share the queues that are open.
    pub fn ports(&self) -> Ports {
        let AwsSettings { table, bucket, limits, .. } = &self.settings;
        Ports {
            store: Arc::new(DynamoStore::new(self.dynamodb.clone(), table).with_limits(*limits)),
            payloads: Arc::new(S3Payloads::new(self.s3.clone(), bucket)),
            queues: Arc::clone(&self.queues) as Arc<dyn cloakroom::Queues>,
            clock: Arc::new(TokioClock),
            random: Arc::new(SystemRandom),
            limits: *limits,
        }
    }
}
