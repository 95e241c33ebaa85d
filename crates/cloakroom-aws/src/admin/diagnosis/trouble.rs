//! Findings for calls of the diagnosis that failed.

use cloakroom::PortError;

use crate::{
    admin::diagnosis::{Diagnosis, Problem, Resource, clock, finding::Finding},
    client::failure::{
        meaning::Meaning,
        refusal::{Origin, Refusal},
    },
};

/// The permissions that endpoints need. Without any other permission, only the diagnosis sees less.
const OF_ENDPOINTS: &[&str] = &[
    "dynamodb:GetItem",
    "dynamodb:BatchGetItem",
    "dynamodb:Query",
    "dynamodb:PutItem",
    "dynamodb:DeleteItem",
    "dynamodb:BatchWriteItem",
    "dynamodb:ConditionCheckItem",
    "s3:ListBucket",
    "s3:GetObject",
    "s3:PutObject",
    "s3:DeleteObject",
    "sqs:GetQueueUrl",
    "sqs:SendMessage",
    "sqs:ReceiveMessage",
    "sqs:DeleteMessage",
    "sqs:ChangeMessageVisibility",
];

/// Codes that refuse the credentials of a request, and not the request itself.
const OF_CREDENTIALS: &[&str] = &[
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidSecurity",
    "InvalidSignatureException",
    "InvalidToken",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotSignedUp",
    "SignatureDoesNotMatch",
    "TokenRefreshRequired",
    "UnrecognizedClientException",
];

/// Codes with which services other than AWS answer operations that they do not offer.
const NOT_OFFERED: &[&str] =
    &["InvalidAction", "NotImplemented", "UnknownOperationException", "UnsupportedCapability", "UnsupportedOperation"];

impl Diagnosis {
    /// Returns the answer of a call about a place. If the call failed, adds a finding and returns
    /// `None`.
    pub(super) fn answer_of<T>(
        &self,
        resource: Resource<'_>,
        answer: Result<T, PortError>,
        findings: &mut Vec<Finding>,
    ) -> Option<T> {
        answer.map_err(|error| findings.push(self.failure_finding(resource, &error))).ok()
    }

    /// Returns the finding for a failed call.
    pub(super) fn failure_finding(&self, resource: Resource<'_>, error: &PortError) -> Finding {
        let unclear = |problem, fix: &str| self.finding(problem, resource, error.to_string(), fix);
        let Some(refusal) = Refusal::of(error) else {
            return unclear(Problem::LookFailed, "resolve what the message describes, then run this again");
        };
        let code = match &refusal.origin {
            Origin::Credentials => return self.credentials(error),
            Origin::Silence => {
                let fix = "check the network from here to AWS: region, VPC endpoints, proxy, `AWS_ENDPOINT_URL`";
                return unclear(Problem::Unreachable, fix);
            }
            Origin::Answer(code) => code.as_deref().unwrap_or_default(),
        };
        let code = code.rsplit('.').next().unwrap_or(code);
        let text = error.to_string();
        if refusal.origin.is_about_time(&text) {
            return clock::refused(&text);
        }
        if OF_CREDENTIALS.contains(&code) {
            return self.credentials(error);
        }
        if NOT_OFFERED.contains(&code) {
            return unclear(
                Problem::NotOffered,
                "nothing if this is an emulator; otherwise check the endpoint URL of the client",
            );
        }
        match refusal.meaning {
            Meaning::Denied => self.denied(resource, refusal.permissions, &text),
            Meaning::Absent => self.missing(resource),
            Meaning::Elsewhere => self.elsewhere(&text),
            Meaning::Busy | Meaning::Throttled | Meaning::Contended => {
                unclear(Problem::Throttled, "run this again when there is less traffic")
            }
            Meaning::Invalid | Meaning::Open => {
                unclear(Problem::LookFailed, "resolve what the service reports, then run this again")
            }
        }
    }

    fn credentials(&self, error: &PortError) -> Finding {
        let text = format!("there are no credentials, or AWS does not accept them: {error}");
        let fix = "renew the session (`aws sso login`), or set `AWS_PROFILE` or a valid role; \
                   `aws sts get-caller-identity` shows the identity in use";
        Finding::new(Problem::Credentials, "credentials", text, fix)
    }

    /// Returns the finding that a policy does not allow `permissions`.
    pub(super) fn denied(&self, resource: Resource<'_>, permissions: &str, answer: &str) -> Finding {
        let name = self.name(resource);
        let fix = format!(
            "allow `{permissions}` on {name} for the role or user of these credentials, and check that no policy of \
             the resource, the key or the organisation denies it"
        );
        if permissions.split(" and ").all(|one| OF_ENDPOINTS.contains(&one)) {
            let text = format!("`{permissions}` is not allowed, and endpoints do not work without it: {answer}");
            return Finding::new(Problem::PermissionMissing, name, text, fix);
        }
        let text =
            format!("`{permissions}` is not allowed, so this could not be checked; endpoints do not need it: {answer}");
        Finding::new(Problem::LookDenied, name, text, fix)
    }

    /// Returns the finding that a table, a bucket or a queue does not exist.
    pub(super) fn missing(&self, resource: Resource<'_>) -> Finding {
        let (name, region) = (self.name(resource), self.region());
        let problem = match resource {
            Resource::Table | Resource::PayloadTable => Problem::TableMissing,
            Resource::Bucket => Problem::BucketMissing,
            Resource::Queue(_) => Problem::QueueMissing,
        };
        let text = format!("there is no {name} in region `{region}` of this account");
        let fix = format!("create it with {}, or use another `--region` or `--profile`", self.provision(""));
        self.finding(problem, resource, text, fix)
    }

    /// Returns the finding that the bucket is in another region.
    pub(super) fn elsewhere(&self, why: &str) -> Finding {
        let text = format!("the bucket is not in region `{}`: {why}", self.region());
        let fix = "use a bucket in the region of the table and the queues, or set `--region` to that of the bucket";
        self.finding(Problem::BucketElsewhere, Resource::Bucket, text, fix)
    }
}
