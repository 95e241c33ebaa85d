//! The calls of each role, and the actions that they need. If code makes a new call, the tests
//! report the line that is missing here, and then the action that is missing in `infra/roles.yaml`.

/// A role, by its policy in `infra/roles.yaml`.
pub(crate) struct Role {
    pub(crate) policy: &'static str,
    pub(crate) calls: &'static [CallsOf],
}

/// The calls of a module that a role makes. A module is a file or folder of this name, without
/// `.rs`.
pub(crate) enum CallsOf {
    /// All operations that this module calls.
    All(&'static str),
    /// Only these operations of this module.
    Some(&'static str, &'static [&'static str]),
}

const STORE: &str = "crates/cloakroom-aws/src/dynamodb/store";
const TRANSACTION: &str = "crates/cloakroom-aws/src/dynamodb/transaction";
const PAYLOADS: &str = "crates/cloakroom-aws/src/s3/payloads";
const READS: &str = "crates/cloakroom-aws/src/dynamodb/items/reads";
const WRITES: &str = "crates/cloakroom-aws/src/dynamodb/items/writes";
const QUEUE: &str = "crates/cloakroom-aws/src/sqs/queue";
const PROVISIONING: &str = "crates/cloakroom-aws/src/admin/provisioning";
const DESCRIBE: &str = "crates/cloakroom-aws/src/admin/describe";
const RECORDS: &str = "crates/cloakroom-aws/src/dynamodb/records";
const LISTING: &str = "crates/cloakroom-aws/src/s3/listing";
const DIAGNOSIS_TABLE: &str = "crates/cloakroom-aws/src/admin/diagnosis/table";
const DIAGNOSIS_BUCKET: &str = "crates/cloakroom-aws/src/admin/diagnosis/bucket";

pub(crate) const ROLES: &[Role] = &[
    Role {
        policy: "EndpointPolicy",
        calls: &[
            CallsOf::All(STORE),
            CallsOf::All(TRANSACTION),
            CallsOf::All(PAYLOADS),
            CallsOf::All(READS),
            CallsOf::All(WRITES),
            CallsOf::All(QUEUE),
        ],
    },
    // A submitted message carries its body, so a producer needs no payload store.
    Role { policy: "ProducerPolicy", calls: &[CallsOf::Some(QUEUE, &["GetQueueUrl", "SendMessageBatch"])] },
    Role {
        policy: "OperatorReadPolicy",
        calls: &[
            CallsOf::All(READS),
            CallsOf::Some(PAYLOADS, &["GetObject"]),
            CallsOf::Some(QUEUE, &["GetQueueUrl", "ReceiveMessage", "ChangeMessageVisibilityBatch"]),
            CallsOf::All(DESCRIBE),
            CallsOf::All(RECORDS),
            CallsOf::All(LISTING),
            CallsOf::All(DIAGNOSIS_TABLE),
            CallsOf::All(DIAGNOSIS_BUCKET),
        ],
    },
    Role {
        policy: "OperatorPolicy",
        calls: &[
            CallsOf::Some(STORE, &["PutItem", "DeleteItem"]),
            CallsOf::All(PAYLOADS),
            CallsOf::All(READS),
            CallsOf::All(WRITES),
            CallsOf::All(QUEUE),
            CallsOf::Some(RECORDS, &["Scan"]),
        ],
    },
    Role { policy: "ProvisionerPolicy", calls: &[CallsOf::All(PROVISIONING), CallsOf::All(DESCRIBE)] },
];

/// Modules whose calls need no role, and why.
pub(crate) const WITHOUT_ROLE: &[(&str, &str)] = &[
    (
        "crates/cloakroom-aws/src/admin/diagnosis/permissions",
        "it tries which operations its caller is allowed, and reports those that are denied",
    ),
    ("crates/cloakroom-shop/src/books", "it audits the books of the example, on the embedded AWS"),
];

/// The actions that an operation needs. Those of KMS are needed if the payloads are encrypted with
/// a KMS key of the application.
pub(crate) const ACTIONS: &[(&str, &[&str])] = &[
    // DynamoDB
    ("GetItem", &["dynamodb:GetItem"]),
    ("PutItem", &["dynamodb:PutItem"]),
    ("DeleteItem", &["dynamodb:DeleteItem"]),
    ("UpdateItem", &["dynamodb:UpdateItem"]),
    ("BatchGetItem", &["dynamodb:BatchGetItem"]),
    ("BatchWriteItem", &["dynamodb:BatchWriteItem"]),
    ("Query", &["dynamodb:Query"]),
    ("Scan", &["dynamodb:Scan"]),
    ("TransactWriteItems", &[]),
    ("TransactWriteItems.Put", &["dynamodb:PutItem"]),
    ("TransactWriteItems.Delete", &["dynamodb:DeleteItem"]),
    ("TransactWriteItems.Update", &["dynamodb:UpdateItem"]),
    ("TransactWriteItems.ConditionCheck", &["dynamodb:ConditionCheckItem"]),
    ("CreateTable", &["dynamodb:CreateTable"]),
    ("DescribeTable", &["dynamodb:DescribeTable"]),
    ("DescribeTimeToLive", &["dynamodb:DescribeTimeToLive"]),
    ("UpdateTimeToLive", &["dynamodb:UpdateTimeToLive"]),
    ("DescribeContinuousBackups", &["dynamodb:DescribeContinuousBackups"]),
    ("UpdateContinuousBackups", &["dynamodb:UpdateContinuousBackups"]),
    // S3. Without `s3:ListBucket`, S3 answers for a missing object as for a forbidden one.
    ("GetObject", &["s3:GetObject", "s3:ListBucket", "kms:Decrypt"]),
    ("HeadObject", &["s3:GetObject", "s3:ListBucket", "kms:Decrypt"]),
    ("PutObject", &["s3:PutObject", "kms:GenerateDataKey"]),
    ("DeleteObject", &["s3:DeleteObject"]),
    ("DeleteObjects", &["s3:DeleteObject"]),
    ("HeadBucket", &["s3:ListBucket"]),
    ("ListObjectsV2", &["s3:ListBucket"]),
    ("CreateBucket", &["s3:CreateBucket"]),
    ("GetBucketLocation", &["s3:GetBucketLocation"]),
    ("GetBucketVersioning", &["s3:GetBucketVersioning"]),
    ("GetBucketEncryption", &["s3:GetEncryptionConfiguration"]),
    ("GetBucketPolicy", &["s3:GetBucketPolicy"]),
    ("GetBucketReplication", &["s3:GetReplicationConfiguration"]),
    ("GetObjectLockConfiguration", &["s3:GetBucketObjectLockConfiguration"]),
    ("GetPublicAccessBlock", &["s3:GetBucketPublicAccessBlock"]),
    ("PutPublicAccessBlock", &["s3:PutBucketPublicAccessBlock"]),
    ("GetBucketLifecycleConfiguration", &["s3:GetLifecycleConfiguration"]),
    ("PutBucketLifecycleConfiguration", &["s3:PutLifecycleConfiguration"]),
    // SQS
    ("GetQueueUrl", &["sqs:GetQueueUrl"]),
    ("SendMessage", &["sqs:SendMessage"]),
    ("SendMessageBatch", &["sqs:SendMessage"]),
    ("ReceiveMessage", &["sqs:ReceiveMessage"]),
    ("DeleteMessage", &["sqs:DeleteMessage"]),
    ("DeleteMessageBatch", &["sqs:DeleteMessage"]),
    ("ChangeMessageVisibility", &["sqs:ChangeMessageVisibility"]),
    ("ChangeMessageVisibilityBatch", &["sqs:ChangeMessageVisibility"]),
    ("CreateQueue", &["sqs:CreateQueue"]),
    ("GetQueueAttributes", &["sqs:GetQueueAttributes"]),
    ("SetQueueAttributes", &["sqs:SetQueueAttributes"]),
    ("ListDeadLetterSourceQueues", &["sqs:ListDeadLetterSourceQueues"]),
];

/// The actions that other templates allow, by template and resource. AWS services call them, not
/// this code.
pub(crate) const FOR_AWS_SERVICES: &[(&str, &str, &[&str])] = &[(
    "function.yaml",
    "Role", // Lambda polls the queue and writes the log.
    &["logs:CreateLogStream", "logs:PutLogEvents", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
)];
