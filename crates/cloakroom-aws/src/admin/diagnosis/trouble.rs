//! What it means that a look failed.

use cloakroom::PortError;

use crate::{
    admin::diagnosis::{Diagnosis, Place, Problem, clock, finding::Finding},
    client::failure::{
        Meaning,
        refusal::{Origin, Refusal},
    },
};

/// What endpoints have to be allowed. Everything else that is denied is only not seen.
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

/// Codes that are about who asks, not about what is asked for.
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

/// What services that are not AWS's own answer to what they do not offer.
const NOT_OFFERED: &[&str] =
    &["InvalidAction", "NotImplemented", "UnknownOperationException", "UnsupportedCapability", "UnsupportedOperation"];

impl Diagnosis {
    /// The answer of a look at a place; if it failed, that is a finding.
    pub(super) fn told<T>(
        &self,
        place: Place<'_>,
        look: Result<T, PortError>,
        findings: &mut Vec<Finding>,
    ) -> Option<T> {
        look.map_err(|error| findings.push(self.trouble(place, &error))).ok()
    }

    /// What it means that a call failed.
    pub(super) fn trouble(&self, place: Place<'_>, error: &PortError) -> Finding {
        let unclear = |problem, fix: &str| self.finding(problem, place, error.to_string(), fix);
        let Some(refusal) = Refusal::of(error) else {
            return unclear(Problem::LookFailed, "see what the message says, and run this again");
        };
        let code = match &refusal.origin {
            Origin::Credentials => return self.credentials(error),
            Origin::Silence => {
                let fix = "look at the network from here to AWS: region, VPC endpoints, proxy, `AWS_ENDPOINT_URL`";
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
                "nothing, if this is an emulator; otherwise look at the endpoint's URL",
            );
        }
        match refusal.meaning {
            Meaning::Denied => self.denied(place, refusal.permissions, &text),
            Meaning::Absent => self.missing(place),
            Meaning::Elsewhere => self.elsewhere(&text),
            Meaning::Busy | Meaning::Throttled | Meaning::Contended => {
                unclear(Problem::Throttled, "run this again when there is less traffic")
            }
            Meaning::Invalid | Meaning::Open => {
                unclear(Problem::LookFailed, "see what the service says, and run this again")
            }
        }
    }

    fn credentials(&self, error: &PortError) -> Finding {
        let text = format!("AWS does not know who asks, or does not believe it: {error}");
        let fix = "`aws sts get-caller-identity` shows who you are; renew the session (`aws sso login`), or set \
                   `AWS_PROFILE` or a role that is valid";
        Finding::new(Problem::Credentials, "credentials", text, fix)
    }

    /// The finding that a policy does not allow `permissions`.
    pub(super) fn denied(&self, place: Place<'_>, permissions: &str, answer: &str) -> Finding {
        let name = self.name(place);
        let fix = format!(
            "allow `{permissions}` on {name} to the role or user that asks, and see that no policy of the resource, \
             the key or the organisation denies it"
        );
        if permissions.split(" and ").all(|one| OF_ENDPOINTS.contains(&one)) {
            let text = format!("`{permissions}` is not allowed, and no endpoint works without it: {answer}");
            return Finding::new(Problem::PermissionMissing, name, text, fix);
        }
        let text =
            format!("`{permissions}` is not allowed, so that nobody knows whether this is as it should be: {answer}");
        Finding::new(Problem::LookDenied, name, text, fix)
    }

    /// The finding that a place is not there.
    pub(super) fn missing(&self, place: Place<'_>) -> Finding {
        let (name, region) = (self.name(place), self.region());
        let problem = match place {
            Place::Table | Place::PayloadTable => Problem::TableMissing,
            Place::Bucket => Problem::BucketMissing,
            Place::Queue(_) => Problem::QueueMissing,
        };
        let text = format!("there is no {name} in region `{region}` of this account");
        let fix = format!("{}, or give another `--region` or `--profile`", self.provision(""));
        self.finding(problem, place, text, fix)
    }

    /// The finding that the bucket is in another region.
    pub(super) fn elsewhere(&self, why: &str) -> Finding {
        let text = format!("the bucket is not in region `{}`: {why}", self.region());
        let fix = "give the region of table and queues a bucket of its own there, or set `--region` to the bucket's";
        self.finding(Problem::BucketElsewhere, Place::Bucket, text, fix)
    }
}
