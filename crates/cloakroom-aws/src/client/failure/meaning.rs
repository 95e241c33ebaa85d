//! The codes of the services, and their meaning.

/// The meaning of a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Refused for now.
    Busy,
    /// Refused for now: too many requests.
    Throttled,
    /// Refused for now: another transaction or another conditional write holds the item.
    Contended,
    /// The table, bucket or queue does not exist.
    Absent,
    /// Refused: a permission or valid credentials are missing.
    Denied,
    /// The bucket is in another region.
    Elsewhere,
    /// Refused because of the content of the request.
    Invalid,
    /// The code is unknown, so the outcome is unknown.
    Open,
}

impl Meaning {
    /// Returns the meaning of a code, or of a status without a code: responses to HEAD have no body
    /// for a code.
    pub(crate) fn of(status: Option<u16>, code: Option<&str>) -> Self {
        match (code, status) {
            (Some(code), _) => Self::of_code(code),
            (None, Some(301 | 307)) => Self::Elsewhere,
            (None, Some(401 | 403)) => Self::Denied,
            (None, Some(404)) => Self::Absent,
            (None, Some(429)) => Self::Throttled,
            (None, _) => Self::Open,
        }
    }

    fn of_code(code: &str) -> Self {
        // SQS puts `AWS.SimpleQueueService.` before the codes of its older protocol.
        let code = code.rsplit('.').next().unwrap_or(code);
        let known = MEANINGS.iter().find(|(_, codes)| codes.contains(&code));
        known.map_or(Self::Open, |(meaning, _)| *meaning)
    }
}

/// The known codes, by their meaning.
const MEANINGS: &[(Meaning, &[&str])] = &[
    (
        Meaning::Throttled,
        &[
            "Throttling",
            "ThrottlingError",
            "ThrottlingException",
            "ThrottledException",
            "RequestThrottled",
            "RequestThrottledException",
            "RequestLimitExceeded",
            "TooManyRequestsException",
            "ProvisionedThroughputExceeded",
            "ProvisionedThroughputExceededException",
            "KmsThrottled",
            "OverLimit",
            "SlowDown",
        ],
    ),
    (
        Meaning::Contended,
        &[
            // Another transaction holds the item.
            "TransactionConflict",
            "TransactionConflictException",
            // Another conditional write, or another change of the bucket, holds the key.
            "ConditionalRequestConflict",
            "OperationAborted",
        ],
    ),
    (
        Meaning::Busy,
        &[
            "PriorRequestNotComplete",
            // The SDK renews credentials after these.
            "ExpiredToken",
            "ExpiredTokenException",
            // Resources that are being changed, and quotas of the control plane.
            "LimitExceededException",
            "ResourceInUseException",
            "ContinuousBackupsUnavailableException",
            "QueueDeletedRecently",
        ],
    ),
    (
        Meaning::Absent,
        &[
            "ResourceNotFoundException",
            "TableNotFoundException",
            "NoSuchBucket",
            // The SDK's code for a 404 response of S3 without a body, which does not say what is
            // missing.
            "NotFound",
            "QueueDoesNotExist",
            "NonExistentQueue",
        ],
    ),
    (
        Meaning::Denied,
        &[
            "AccessDenied",
            "AccessDeniedException",
            "AllAccessDisabled",
            "AuthFailure",
            "IncompleteSignature",
            "InvalidAccessKeyId",
            "InvalidClientTokenId",
            "InvalidSecurity",
            "KmsAccessDenied",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "NotSignedUp",
            "SignatureDoesNotMatch",
            "UnrecognizedClientException",
        ],
    ),
    (Meaning::Elsewhere, &["AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect"]),
    (
        Meaning::Invalid,
        &[
            "BatchRequestTooLong",
            "BucketAlreadyExists",
            "EntityTooLarge",
            "InvalidArgument",
            "InvalidAddress",
            "InvalidAttributeName",
            "InvalidAttributeValue",
            "InvalidBucketName",
            "InvalidMessageContents",
            "InvalidParameterCombination",
            "InvalidParameterValue",
            "InvalidRequest",
            "ItemCollectionSizeLimitExceeded",
            "ItemCollectionSizeLimitExceededException",
            "KeyTooLongError",
            "KmsDisabled",
            "KmsInvalidKeyUsage",
            "KmsInvalidState",
            "KmsNotFound",
            "KmsOptInRequired",
            "MalformedXML",
            "MessageNotInflight",
            "MessageTooLong",
            "MethodNotAllowed",
            "MissingParameter",
            "NotImplemented",
            "ReceiptHandleIsInvalid",
            "SerializationException",
            "UnknownOperationException",
            "UnsupportedOperation",
            "ValidationError",
            "ValidationException",
        ],
    ),
];

/// The codes with which a service refuses only the content of one message, payload or partition.
const CONTENT_CODES: &[&str] = &[
    "EntityTooLarge",
    "InvalidMessageContents",
    "ItemCollectionSizeLimitExceeded",
    "ItemCollectionSizeLimitExceededException",
    "KeyTooLongError",
    "MessageTooLong",
];

/// Whether a service refuses only content with this code.
pub(super) fn is_about_content(code: &str) -> bool {
    CONTENT_CODES.contains(&code.rsplit('.').next().unwrap_or(code))
}
