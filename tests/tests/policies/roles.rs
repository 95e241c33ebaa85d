//! Who calls what, and what has to be allowed for it. When code calls something new, the tests say which line is
//! missing here, and then which action is missing in `infra/roles.yaml`.

/// A role, by its policy in `infra/roles.yaml`.
pub(crate) struct Role {
    pub(crate) policy: &'static str,
    pub(crate) calls: &'static [Does],
}

/// What a role calls. Modules are files and folders of one name, without `.rs`.
pub(crate) enum Does {
    /// All that this module calls.
    All(&'static str),
    /// Only these of what this module calls.
    Some(&'static str, &'static [&'static str]),
}

const STORE: &str = "crates/cloakroom-aws/src/dynamodb/store";
const TRANSACTION: &str = "crates/cloakroom-aws/src/dynamodb/transaction";
const PAYLOADS: &str = "crates/cloakroom-aws/src/s3/payloads";
const READS: &str = "crates/cloakroom-aws/src/dynamodb/items/reads";
const WRITES: &str = "crates/cloakroom-aws/src/dynamodb/items/writes";
const QUEUE: &str = "crates/cloakroom-aws/src/sqs/queue";
const PROVISIONING: &str = "crates/cloakroom-aws/src/admin/provisioning";
const LOOK: &str = "crates/cloakroom-aws/src/admin/describe";
const RECORDS: &str = "crates/cloakroom-aws/src/dynamodb/records";
const LISTING: &str = "crates/cloakroom-aws/src/s3/listing";
const DIAGNOSIS_TABLE: &str = "crates/cloakroom-aws/src/admin/diagnosis/table";
const DIAGNOSIS_BUCKET: &str = "crates/cloakroom-aws/src/admin/diagnosis/bucket";

pub(crate) const ROLES: &[Role] = &[
    Role {
        policy: "EndpointPolicy",
        calls: &[
            Does::All(STORE),
            Does::All(TRANSACTION),
            Does::All(PAYLOADS),
            Does::All(READS),
            Does::All(WRITES),
            Does::All(QUEUE),
        ],
    },
    // What is submitted carries its body: there is no payload.
    Role { policy: "ProducerPolicy", calls: &[Does::Some(QUEUE, &["GetQueueUrl", "SendMessageBatch"])] },
    Role {
        policy: "OperatorReadPolicy",
        calls: &[
            Does::All(READS),
            Does::Some(PAYLOADS, &["GetObject"]),
            Does::Some(QUEUE, &["GetQueueUrl", "ReceiveMessage", "ChangeMessageVisibilityBatch"]),
            Does::All(LOOK),
            Does::All(RECORDS),
            Does::All(LISTING),
            Does::All(DIAGNOSIS_TABLE),
            Does::All(DIAGNOSIS_BUCKET),
        ],
    },
    Role {
        policy: "OperatorPolicy",
        calls: &[
            Does::Some(STORE, &["PutItem", "DeleteItem"]),
            Does::All(PAYLOADS),
            Does::All(READS),
            Does::All(WRITES),
            Does::All(QUEUE),
            Does::Some(RECORDS, &["Scan"]),
        ],
    },
    Role { policy: "ProvisionerPolicy", calls: &[Does::All(PROVISIONING), Does::All(LOOK)] },
];

/// Modules whose calls are those of no role, and why.
pub(crate) const OF_NOBODY: &[(&str, &str)] = &[
    (
        "crates/cloakroom-aws/src/admin/diagnosis/permissions",
        "it tries what its caller may do, and takes no for an answer",
    ),
    ("crates/cloakroom-shop/src/books", "it audits the books of the example, on the embedded AWS"),
];

/// The actions that an operation needs. Those of KMS count where payloads have a key of their own.
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
    // S3. Without `s3:ListBucket`, a missing object cannot be told from a forbidden one.
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

/// What other templates allow, by template and resource: none of it is called by us.
pub(crate) const OF_SERVICES: &[(&str, &str, &[&str])] = &[(
    "function.yaml",
    "Role", // Lambda polls the queue and writes the log.
    &["logs:CreateLogStream", "logs:PutLogEvents", "sqs:DeleteMessage", "sqs:GetQueueAttributes", "sqs:ReceiveMessage"],
)];
