//! Operations on buckets and their configurations.

use s3s::dto::{
    Bucket, BucketLifecycleConfiguration, BucketVersioningStatus, CreateBucketInput, CreateBucketOutput,
    DeleteBucketEncryptionInput, DeleteBucketEncryptionOutput, DeleteBucketInput, DeleteBucketLifecycleInput,
    DeleteBucketLifecycleOutput, DeleteBucketOutput, DeleteBucketOwnershipControlsInput,
    DeleteBucketOwnershipControlsOutput, DeleteBucketPolicyInput, DeleteBucketPolicyOutput, DeleteBucketTaggingInput,
    DeleteBucketTaggingOutput, DeletePublicAccessBlockInput, DeletePublicAccessBlockOutput, GetBucketEncryptionInput,
    GetBucketEncryptionOutput, GetBucketLifecycleConfigurationInput, GetBucketLifecycleConfigurationOutput,
    GetBucketLocationInput, GetBucketLocationOutput, GetBucketOwnershipControlsInput, GetBucketOwnershipControlsOutput,
    GetBucketPolicyInput, GetBucketPolicyOutput, GetBucketTaggingInput, GetBucketTaggingOutput,
    GetBucketVersioningInput, GetBucketVersioningOutput, GetPublicAccessBlockInput, GetPublicAccessBlockOutput,
    HeadBucketInput, HeadBucketOutput, ListBucketsInput, ListBucketsOutput, Owner, PublicAccessBlockConfiguration,
    PutBucketEncryptionInput, PutBucketEncryptionOutput, PutBucketLifecycleConfigurationInput,
    PutBucketLifecycleConfigurationOutput, PutBucketOwnershipControlsInput, PutBucketOwnershipControlsOutput,
    PutBucketPolicyInput, PutBucketPolicyOutput, PutBucketTaggingInput, PutBucketTaggingOutput,
    PutBucketVersioningInput, PutBucketVersioningOutput, PutPublicAccessBlockInput, PutPublicAccessBlockOutput,
    ServerSideEncryptionConfiguration, Tagging, VersioningConfiguration,
};
use s3s::{S3Error, S3ErrorCode, S3Result, s3_error, xml};

use crate::clock;
use crate::s3::limits;
use crate::s3::object::timestamp;
use crate::s3::service::Buckets;

const LIFECYCLE: &str = "lifecycle";
const PUBLIC_ACCESS: &str = "publicAccessBlock";
const ENCRYPTION: &str = "encryption";
const OWNERSHIP: &str = "ownershipControls";
const POLICY: &str = "policy";
const TAGGING: &str = "tagging";
const VERSIONING: &str = "versioning";

/// Declares an operation that deletes a configuration.
macro_rules! delete {
    ($name:ident, $input:ty => $output:ty, $setting:expr) => {
        pub(super) fn $name(&self, input: $input) -> S3Result<$output> {
            self.store.set(&input.bucket, $setting, None)?;
            Ok(<$output>::default())
        }
    };
}

impl Buckets {
    pub(super) fn create_bucket(&self, input: CreateBucketInput) -> S3Result<CreateBucketOutput> {
        // In us-east-1, creating a bucket that the caller owns succeeds.
        self.store.create_bucket(&input.bucket, clock::now());
        Ok(CreateBucketOutput { location: Some(format!("/{}", input.bucket)) })
    }

    pub(super) fn head_bucket(&self, input: HeadBucketInput) -> S3Result<HeadBucketOutput> {
        self.store.read(&input.bucket, |_| ())?;
        Ok(HeadBucketOutput { bucket_region: Some(crate::REGION.to_owned()), ..Default::default() })
    }

    pub(super) fn list_buckets(&self, input: ListBucketsInput) -> S3Result<ListBucketsOutput> {
        limits::check_page("maxBuckets", input.max_buckets, 1)?;
        let prefix = input.prefix.clone().unwrap_or_default();
        let buckets = self.store.buckets().into_iter();
        let buckets = buckets.filter(|(name, _)| name.starts_with(&prefix));
        let buckets = buckets.map(|(name, created_at)| Bucket {
            name: Some(name),
            creation_date: Some(timestamp(created_at)),
            ..Default::default()
        });
        Ok(ListBucketsOutput {
            buckets: Some(buckets.collect()),
            owner: Some(Owner::default()),
            prefix: input.prefix,
            ..Default::default()
        })
    }

    pub(super) fn delete_bucket(&self, input: DeleteBucketInput) -> S3Result<DeleteBucketOutput> {
        self.store.delete_bucket(&input.bucket)?;
        Ok(DeleteBucketOutput::default())
    }

    pub(super) fn get_bucket_location(&self, input: GetBucketLocationInput) -> S3Result<GetBucketLocationOutput> {
        // S3 omits the location for us-east-1.
        self.store.read(&input.bucket, |_| ())?;
        Ok(GetBucketLocationOutput::default())
    }

    pub(super) fn put_bucket_lifecycle_configuration(
        &self,
        input: PutBucketLifecycleConfigurationInput,
    ) -> S3Result<PutBucketLifecycleConfigurationOutput> {
        let rules = input.lifecycle_configuration;
        let rules = rules.ok_or_else(|| s3_error!(MalformedXML, "The request has no lifecycle rules."))?;
        self.set_setting(&input.bucket, LIFECYCLE, &rules)?;
        Ok(PutBucketLifecycleConfigurationOutput::default())
    }

    pub(super) fn get_bucket_lifecycle_configuration(
        &self,
        input: GetBucketLifecycleConfigurationInput,
    ) -> S3Result<GetBucketLifecycleConfigurationOutput> {
        let rules: Option<BucketLifecycleConfiguration> = self.setting(&input.bucket, LIFECYCLE)?;
        let rules = rules.ok_or_else(|| s3_error!(NoSuchLifecycleConfiguration))?;
        Ok(GetBucketLifecycleConfigurationOutput { rules: Some(rules.rules), ..Default::default() })
    }

    delete!(delete_bucket_lifecycle,
        DeleteBucketLifecycleInput => DeleteBucketLifecycleOutput, LIFECYCLE);

    pub(super) fn put_public_access_block(
        &self,
        input: PutPublicAccessBlockInput,
    ) -> S3Result<PutPublicAccessBlockOutput> {
        let block = &input.public_access_block_configuration;
        self.set_setting(&input.bucket, PUBLIC_ACCESS, block)?;
        Ok(PutPublicAccessBlockOutput::default())
    }

    pub(super) fn get_public_access_block(
        &self,
        input: GetPublicAccessBlockInput,
    ) -> S3Result<GetPublicAccessBlockOutput> {
        let block: Option<PublicAccessBlockConfiguration> = self.setting(&input.bucket, PUBLIC_ACCESS)?;
        // S3 blocks public access by default.
        let default = || PublicAccessBlockConfiguration {
            block_public_acls: Some(true),
            block_public_policy: Some(true),
            ignore_public_acls: Some(true),
            restrict_public_buckets: Some(true),
        };
        Ok(GetPublicAccessBlockOutput { public_access_block_configuration: Some(block.unwrap_or_else(default)) })
    }

    delete!(delete_public_access_block,
        DeletePublicAccessBlockInput => DeletePublicAccessBlockOutput, PUBLIC_ACCESS);

    pub(super) fn put_bucket_encryption(&self, input: PutBucketEncryptionInput) -> S3Result<PutBucketEncryptionOutput> {
        let encryption = &input.server_side_encryption_configuration;
        self.set_setting(&input.bucket, ENCRYPTION, encryption)?;
        Ok(PutBucketEncryptionOutput::default())
    }

    pub(super) fn get_bucket_encryption(&self, input: GetBucketEncryptionInput) -> S3Result<GetBucketEncryptionOutput> {
        let encryption: Option<ServerSideEncryptionConfiguration> = self.setting(&input.bucket, ENCRYPTION)?;
        if encryption.is_none() {
            return Err(missing("ServerSideEncryptionConfigurationNotFoundError"));
        }
        Ok(GetBucketEncryptionOutput { server_side_encryption_configuration: encryption })
    }

    delete!(delete_bucket_encryption,
        DeleteBucketEncryptionInput => DeleteBucketEncryptionOutput, ENCRYPTION);

    pub(super) fn put_bucket_ownership_controls(
        &self,
        input: PutBucketOwnershipControlsInput,
    ) -> S3Result<PutBucketOwnershipControlsOutput> {
        self.set_setting(&input.bucket, OWNERSHIP, &input.ownership_controls)?;
        Ok(PutBucketOwnershipControlsOutput::default())
    }

    pub(super) fn get_bucket_ownership_controls(
        &self,
        input: GetBucketOwnershipControlsInput,
    ) -> S3Result<GetBucketOwnershipControlsOutput> {
        let ownership_controls = self.setting(&input.bucket, OWNERSHIP)?;
        if ownership_controls.is_none() {
            return Err(s3_error!(OwnershipControlsNotFoundError));
        }
        Ok(GetBucketOwnershipControlsOutput { ownership_controls })
    }

    delete!(delete_bucket_ownership_controls,
        DeleteBucketOwnershipControlsInput => DeleteBucketOwnershipControlsOutput, OWNERSHIP);

    pub(super) fn put_bucket_tagging(&self, input: PutBucketTaggingInput) -> S3Result<PutBucketTaggingOutput> {
        self.set_setting(&input.bucket, TAGGING, &input.tagging)?;
        Ok(PutBucketTaggingOutput::default())
    }

    pub(super) fn get_bucket_tagging(&self, input: GetBucketTaggingInput) -> S3Result<GetBucketTaggingOutput> {
        let tagging: Option<Tagging> = self.setting(&input.bucket, TAGGING)?;
        let tagging = tagging.ok_or_else(|| s3_error!(NoSuchTagSet))?;
        Ok(GetBucketTaggingOutput { tag_set: tagging.tag_set })
    }

    delete!(delete_bucket_tagging,
        DeleteBucketTaggingInput => DeleteBucketTaggingOutput, TAGGING);

    /// Stores a policy unchanged. Policies are not enforced.
    pub(super) fn put_bucket_policy(&self, input: PutBucketPolicyInput) -> S3Result<PutBucketPolicyOutput> {
        if serde_json::from_str::<serde_json::Map<String, serde_json::Value>>(&input.policy).is_err() {
            return Err(s3_error!(MalformedPolicy, "Policies must be valid JSON and the first byte must be '{{'"));
        }
        self.store.set(&input.bucket, POLICY, Some(input.policy.into_bytes()))?;
        Ok(PutBucketPolicyOutput::default())
    }

    pub(super) fn get_bucket_policy(&self, input: GetBucketPolicyInput) -> S3Result<GetBucketPolicyOutput> {
        let policy = self.store.read(&input.bucket, |bucket| bucket.settings.get(POLICY).cloned())?;
        let policy = policy.ok_or_else(|| s3_error!(NoSuchBucketPolicy))?;
        let policy = String::from_utf8(policy).map_err(S3Error::internal_error)?;
        Ok(GetBucketPolicyOutput { policy: Some(policy) })
    }

    delete!(delete_bucket_policy,
        DeleteBucketPolicyInput => DeleteBucketPolicyOutput, POLICY);

    pub(super) fn put_bucket_versioning(&self, input: PutBucketVersioningInput) -> S3Result<PutBucketVersioningOutput> {
        let versioning = &input.versioning_configuration;
        let status = versioning.status.as_ref().map(BucketVersioningStatus::as_str);
        if status == Some(BucketVersioningStatus::ENABLED) {
            return Err(s3_error!(
                NotImplemented,
                "cloakroom-local does not support versioning; disable it, or use AWS."
            ));
        }
        self.set_setting(&input.bucket, VERSIONING, versioning)?;
        Ok(PutBucketVersioningOutput::default())
    }

    pub(super) fn get_bucket_versioning(&self, input: GetBucketVersioningInput) -> S3Result<GetBucketVersioningOutput> {
        let versioning: Option<VersioningConfiguration> = self.setting(&input.bucket, VERSIONING)?;
        Ok(GetBucketVersioningOutput {
            status: versioning.and_then(|versioning| versioning.status),
            ..Default::default()
        })
    }

    /// Stores a configuration as its XML.
    fn set_setting(&self, bucket: &str, name: &str, value: &impl xml::Serialize) -> S3Result<()> {
        let mut written = Vec::new();
        let mut serializer = xml::Serializer::new(&mut written);
        value.serialize(&mut serializer).map_err(S3Error::internal_error)?;
        self.store.set(bucket, name, Some(written))
    }

    fn setting<T>(&self, bucket: &str, name: &str) -> S3Result<Option<T>>
    where
        T: for<'xml> xml::Deserialize<'xml>,
    {
        let written = self.store.read(bucket, |bucket| bucket.settings.get(name).cloned())?;
        let Some(written) = written else {
            return Ok(None);
        };
        let value = T::deserialize(&mut xml::Deserializer::new(&written));
        value.map(Some).map_err(S3Error::internal_error)
    }
}

/// Returns the error for a missing configuration, with the status 404 as in S3.
fn missing(code: &'static str) -> S3Error {
    let mut error = S3Error::with_message(S3ErrorCode::Custom(code.into()), "The bucket has no such configuration.");
    error.set_status_code(http::StatusCode::NOT_FOUND);
    error
}
