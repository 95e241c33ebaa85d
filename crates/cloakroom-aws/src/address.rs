//! The address of a bucket, worked out once.

use std::sync::OnceLock;

use aws_sdk_s3::config::endpoint::{DefaultResolver, Endpoint, EndpointFuture, Params, ResolveEndpoint};

/// An endpoint resolver for a client of S3 that reads and writes the objects of one bucket.
///
/// The SDK works out for every call where to send it, from the bucket, the client's configuration and the object's key, by some
/// hundreds of rules. It remembers the last answer, which never serves a client whose every object has another key. But what the
/// rules say of objects does not depend on the key: so this resolver remembers what the SDK's own said of the first bucket. That saves
/// about a tenth of the time that the client takes for a call on an object.
///
/// Whatever is no object's, or another bucket's, is worked out for each call as before. [`Aws::configured`](crate::Aws::configured) has
/// it; give it to a client of S3 that you make yourself, unless that has a resolver of its own:
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
    first: OnceLock<(String, Endpoint)>,
}

impl ResolveEndpoint for BucketAddress {
    fn resolve_endpoint<'a>(&'a self, params: &'a Params) -> EndpointFuture<'a> {
        // SUBTLE: what a session of S3 Express is asked for is no object's. It has the bucket of objects, and an address that wants
        // another signature than theirs (`what_is_no_objects_is_worked_out_each_time`).
        let (Some(bucket), Some(_)) = (params.bucket(), params.key()) else {
            return ResolveEndpoint::resolve_endpoint(&self.resolver, params);
        };
        match self.first.get() {
            Some((first, address)) if first == bucket => EndpointFuture::ready(Ok(address.clone())),
            Some(_) => ResolveEndpoint::resolve_endpoint(&self.resolver, params),
            None => EndpointFuture::new(async move {
                // A failure is not remembered.
                let address = ResolveEndpoint::resolve_endpoint(&self.resolver, params).await?;
                let _ = self.first.set((bucket.to_owned(), address.clone()));
                Ok(address)
            }),
        }
    }
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
        let address = BucketAddress::default();
        let object = || ParamsBuilder::default().region("eu-central-1").bucket("coats").key("1");
        let first = resolved(&address, object());
        // Nobody asks like this: it shows who answers.
        assert_eq!(resolved(&address, object().region("eu-west-1")), first);
        assert!(first.is_ok());
    }

    #[test]
    fn what_is_no_objects_is_worked_out_each_time() {
        let address = BucketAddress::default();
        let bucket = || ParamsBuilder::default().region("eu-central-1").bucket("coats--euc1-az1--x-s3");
        assert!(is_right(&address, bucket().key("1")));
        assert!(is_right(&address, bucket().disable_s3_express_session_auth(true)), "a session");
        assert!(is_right(&address, bucket().use_s3_express_control_endpoint(true)), "the making of a bucket");
        assert!(is_right(&address, bucket().prefix("1")), "a list");
        assert!(is_right(&address, bucket().bucket("hats").key("1")), "another bucket");
        assert!(is_right(&address, bucket().key("2")));
    }

    #[test]
    fn a_failure_is_not_remembered() {
        let address = BucketAddress::default();
        let object = || ParamsBuilder::default().bucket("coats").key("1");
        assert!(resolved(&address, object()).is_err(), "it lacks a region");
        assert!(resolved(&address, object().region("eu-central-1")).is_ok());
    }
}
