//! The address of a bucket, worked out once.

use std::sync::OnceLock;

use aws_sdk_s3::config::endpoint::{DefaultResolver, Endpoint, EndpointFuture, Params, ResolveEndpoint};

/// An endpoint resolver for a client of S3 that reads and writes the objects of one bucket.
///
/// The SDK works out for every call where to send it, from the bucket, the client's configuration and the object's key, by some
/// hundreds of rules. It remembers the last answer, which never serves a client whose every object has another key. But no rule looks at
/// the key: so this resolver remembers what the SDK's own said of the first object, for all that differ from it in the key alone. That
/// saves about a tenth of the time that the client takes for a call on an object.
///
/// Whatever differs in more is worked out for each call as before: another bucket, a copy, or the same client with another region or
/// address. [`Aws::configured`](crate::Aws::configured) has this resolver; give it to a client of S3 that you make yourself, unless that
/// has a resolver of its own:
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
                // A failure is not remembered.
                let address = ResolveEndpoint::resolve_endpoint(&self.resolver, params).await?;
                let _ = self.first.set((params.clone(), address.clone()));
                Ok(address)
            }),
            Some(_) | None => ResolveEndpoint::resolve_endpoint(&self.resolver, params),
        }
    }
}

/// SUBTLE: at a wrong address a payload is missing, and its message would pass for processed. So all that the rules may look at is compared:
/// a copy to a bucket of S3 Express wants another signature than its other objects, and a client that was made from another one
/// has the resolver of that (`whatever_differs_in_more_than_the_key_is_worked_out`, `a_parameter_that_is_new_is_noticed`).
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
        let endpoint = resolver.resolve_endpoint(&params).now_or_never().expect("nothing is waited for");
        endpoint.map_err(|error| error.to_string())
    }

    /// Whether it says what the SDK's resolver does.
    fn is_right(address: &BucketAddress, params: ParamsBuilder) -> bool {
        resolved(address, params.clone()) == resolved(&DefaultResolver::new(), params)
    }

    /// Clients of all kinds.
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
    fn every_object_of_a_bucket_has_the_address_that_the_sdk_works_out() {
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
    fn the_address_of_objects_is_worked_out_once() {
        let object = |key: &str| ParamsBuilder::default().region("eu-central-1").bucket("coats").key(key);
        let address = BucketAddress::default();
        let known = Endpoint::builder().url("https://known.example").build();
        address.first.set((object("1").build().unwrap(), known.clone())).unwrap();
        assert_eq!(resolved(&address, object("2")), Ok(known), "what is remembered is what is said");

        let address = BucketAddress::default();
        resolved(&address, object("1")).unwrap();
        assert_eq!(address.first.get().and_then(|(first, _)| first.key()), Some("1"));
    }

    #[test]
    fn whatever_differs_in_more_than_the_key_is_worked_out() {
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

    /// A later SDK may ask for more. Then that has to be compared, too.
    #[test]
    fn a_parameter_that_is_new_is_noticed() {
        let params = ParamsBuilder::default().build().unwrap();
        let (texts, switches) = all_but_key(&params);
        let key = 1;
        assert_eq!(format!("{params:?}").matches(": ").count(), texts.len() + switches.len() + key, "{params:?}");
    }

    #[test]
    fn a_failure_is_not_remembered() {
        let address = BucketAddress::default();
        let object = || ParamsBuilder::default().bucket("coats").key("1");
        assert!(resolved(&address, object()).is_err(), "it lacks a region");
        assert!(resolved(&address, object().region("eu-central-1")).is_ok());
    }
}
