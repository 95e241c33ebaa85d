//! The address of a bucket, resolved once.

use std::sync::OnceLock;

use aws_sdk_s3::config::endpoint::{DefaultResolver, Endpoint, EndpointFuture, Params, ResolveEndpoint};

/// An endpoint resolver for a client of S3 that reads and writes the objects of one bucket.
///
/// For every call, the SDK computes the address from the bucket, the client's configuration and the
/// object's key, with hundreds of rules. It caches only the last result, which does not help if
/// every object has another key. But no rule depends on the key. So this resolver keeps the result
/// for the first object and uses it for all calls that differ only in the key. That saves about a
/// tenth of the client's time for a call on an object.
///
/// Calls that differ in more than the key are resolved by the SDK: another bucket, a copy, or a
/// client with another region or address. [`Aws::configured`](crate::Aws::configured) uses this
/// resolver. Set it on a client of S3 that you make yourself, unless that has its own resolver:
///
/// ```no_run
/// # fn example(config: &aws_types::SdkConfig) {
/// use cloakroom_aws::BucketAddress;
///
/// let s3 = aws_sdk_s3::config::Builder::from(config).endpoint_resolver(BucketAddress::default());
/// let s3 = aws_sdk_s3::Client::from_conf(s3.build());
/// # }
/// ```
#[derive(Debug, Default)]
pub struct BucketAddress {
    resolver: DefaultResolver,
    first: OnceLock<(Params, Endpoint)>,
}

impl ResolveEndpoint for BucketAddress {
    fn resolve_endpoint<'a>(&'a self, params: &'a Params) -> EndpointFuture<'a> {
        match self.first.get() {
            Some((first, address)) if all_but_key(first) == all_but_key(params) => {
                EndpointFuture::ready(Ok(address.clone()))
            }
            None if params.key().is_some() => EndpointFuture::new(async move {
                // A failure is not cached.
                let address = ResolveEndpoint::resolve_endpoint(&self.resolver, params).await?;
                let _ = self.first.set((params.clone(), address.clone()));
                Ok(address)
            }),
            Some(_) | None => ResolveEndpoint::resolve_endpoint(&self.resolver, params),
        }
    }
}

/// The parameters that decide about an address.
///
/// SUBTLE: at a wrong address a payload seems to be missing, and its message would be treated as
/// processed. So all parameters that the rules may use are compared. For example, a copy to a
/// bucket of S3 Express needs another signature than its other objects, and a client made from
/// another one shares its resolver (`requests_that_differ_in_more_than_the_key_are_resolved_by_the_sdk`,
/// `new_endpoint_parameter_of_the_sdk_fails_this_test`).
fn all_but_key(params: &Params) -> ([Option<&str>; 5], [Option<bool>; 11]) {
    (
        [params.bucket(), params.region(), params.endpoint(), params.prefix(), params.copy_source()],
        [
            params.use_fips(),
            params.use_dual_stack(),
            params.force_path_style(),
            params.accelerate(),
            params.use_global_endpoint(),
            params.use_object_lambda_endpoint(),
            params.disable_access_points(),
            params.disable_multi_region_access_points(),
            params.use_arn_region(),
            params.use_s3_express_control_endpoint(),
            params.disable_s3_express_session_auth(),
        ],
    )
}

#[cfg(test)]
mod tests {
    use aws_sdk_s3::config::endpoint::ParamsBuilder;
    use futures::FutureExt as _;

    use super::*;

    fn resolved(resolver: &impl ResolveEndpoint, params: ParamsBuilder) -> Result<Endpoint, String> {
        let params = params.build().unwrap();
        let endpoint = resolver.resolve_endpoint(&params).now_or_never().expect("the resolver does not wait");
        endpoint.map_err(|error| error.to_string())
    }

    /// Whether the resolver returns the same as the SDK's resolver.
    fn is_right(address: &BucketAddress, params: ParamsBuilder) -> bool {
        resolved(address, params.clone()) == resolved(&DefaultResolver::new(), params)
    }

    /// Clients with different configurations.
    fn clients() -> Vec<ParamsBuilder> {
        let client = || ParamsBuilder::default().region("eu-central-1");
        vec![
            client(),
            client().force_path_style(true),
            client().use_fips(true).use_dual_stack(true),
            client().accelerate(true),
            client().endpoint("http://127.0.0.1:4566").force_path_style(true),
            client().use_arn_region(true),
            ParamsBuilder::default().region("us-east-1").use_global_endpoint(true),
        ]
    }

    const BUCKETS: [&str; 4] =
        ["coats", "coats--euc1-az1--x-s3", "arn:aws:s3:us-west-2:123456789012:accesspoint:coats", "no bucket at all"];

    #[test]
    fn cached_bucket_address_equals_that_of_the_sdk_for_every_object() {
        for client in clients() {
            for bucket in BUCKETS {
                let address = BucketAddress::default();
                for key in ["1", "2/3", "ä ö#?"] {
                    let object = client.clone().bucket(bucket).key(key);
                    assert!(is_right(&address, object.clone()), "{object:?}");
                }
            }
        }
    }

    #[test]
    fn bucket_address_is_resolved_once_for_all_objects() {
        let object = |key: &str| ParamsBuilder::default().region("eu-central-1").bucket("coats").key(key);
        let address = BucketAddress::default();
        let known = Endpoint::builder().url("https://known.example").build();
        address.first.set((object("1").build().unwrap(), known.clone())).unwrap();
        assert_eq!(resolved(&address, object("2")), Ok(known), "the cached address is returned");

        let address = BucketAddress::default();
        resolved(&address, object("1")).unwrap();
        assert_eq!(address.first.get().and_then(|(first, _)| first.key()), Some("1"));
    }

    #[test]
    fn requests_that_differ_in_more_than_the_key_are_resolved_by_the_sdk() {
        let bucket = || ParamsBuilder::default().region("eu-central-1").bucket("coats--euc1-az1--x-s3");
        let object = || bucket().key("1");
        let others = [
            bucket().disable_s3_express_session_auth(true),
            bucket().use_s3_express_control_endpoint(true),
            bucket().prefix("1"),
            object().disable_s3_express_session_auth(true),
            object().copy_source("hats/1").disable_s3_express_session_auth(true),
            object().region("eu-west-1"),
            object().endpoint("http://127.0.0.1:4566"),
            object().bucket("hats"),
            object().use_dual_stack(true),
        ];
        for other in others {
            let address = BucketAddress::default();
            for params in [object(), other.clone(), object().key("2"), other.clone()] {
                assert!(is_right(&address, params.clone()), "{params:?}");
            }
            let address = BucketAddress::default();
            for params in [other.clone(), object(), other] {
                assert!(is_right(&address, params.clone()), "{params:?}");
            }
        }
    }

    /// A later SDK may have more parameters. Then these must be compared, too.
    #[test]
    fn new_endpoint_parameter_of_the_sdk_fails_this_test() {
        let params = ParamsBuilder::default().build().unwrap();
        let (texts, switches) = all_but_key(&params);
        let key = 1;
        assert_eq!(format!("{params:?}").matches(": ").count(), texts.len() + switches.len() + key, "{params:?}");
    }

    #[test]
    fn failed_address_resolution_is_not_cached() {
        let address = BucketAddress::default();
        let object = || ParamsBuilder::default().bucket("coats").key("1");
        assert!(resolved(&address, object()).is_err(), "the region is missing");
        assert!(resolved(&address, object().region("eu-central-1")).is_ok());
    }
}
