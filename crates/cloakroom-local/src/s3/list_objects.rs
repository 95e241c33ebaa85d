//! The operation ListObjectsV2.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::dto::{
    CommonPrefix, EncodingType, ListObjectsV2Input, ListObjectsV2Output, Object as Listed, ObjectStorageClass,
};
use s3s::{S3Result, s3_error};

use crate::s3::limits;
use crate::s3::listing::{Page, Query, list};
use crate::s3::service::Buckets;

/// The maximum number of keys in a page.
const MAX_KEYS: i32 = 1_000;

impl Buckets {
    pub(super) fn list_objects_v2(&self, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
        limits::check_page("maxKeys", input.max_keys, 0)?;
        let token = input.continuation_token.as_deref().map(decode_token);
        let after = token.transpose()?.or_else(|| input.start_after.clone());
        let max = input.max_keys.unwrap_or(MAX_KEYS).min(MAX_KEYS);
        let page = self.page(
            &input.bucket,
            &Query {
                prefix: input.prefix.as_deref().unwrap_or_default(),
                delimiter: input.delimiter.as_deref(),
                after: after.as_deref().unwrap_or_default(),
                max: usize::try_from(max).unwrap_or_default(),
            },
        )?;
        let encoding = KeyEncoding::of(input.encoding_type.as_ref());
        Ok(ListObjectsV2Output {
            key_count: i32::try_from(page.len()).ok(),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next.as_ref().map(|next| URL_SAFE_NO_PAD.encode(next)),
            common_prefixes: Some(encoding.common_prefixes(&page)),
            contents: Some(encoding.objects(&page)),
            name: Some(input.bucket),
            prefix: Some(encoding.text(input.prefix.as_deref().unwrap_or_default())),
            delimiter: input.delimiter.map(|delimiter| encoding.text(&delimiter)),
            start_after: input.start_after.map(|after| encoding.text(&after)),
            max_keys: Some(max),
            continuation_token: input.continuation_token,
            encoding_type: input.encoding_type,
            ..Default::default()
        })
    }

    fn page(&self, bucket: &str, query: &Query<'_>) -> S3Result<Page> {
        self.store.read(bucket, |bucket| list(&bucket.objects, query))
    }
}

fn decode_token(token: &str) -> S3Result<String> {
    let decoded = URL_SAFE_NO_PAD.decode(token).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.ok_or_else(|| s3_error!(InvalidArgument, "The continuation token provided is incorrect"))
}

/// The encoding of keys in a response: unchanged, or URL-encoded because XML cannot represent every
/// character.
#[derive(Clone, Copy)]
struct KeyEncoding {
    escaped: bool,
}

impl KeyEncoding {
    fn of(encoding: Option<&EncodingType>) -> Self {
        Self { escaped: encoding.is_some_and(|encoding| encoding.as_str() == EncodingType::URL) }
    }

    fn text(self, text: &str) -> String {
        if !self.escaped {
            return text.to_owned();
        }
        let mut escaped = String::with_capacity(text.len());
        for byte in text.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                    escaped.push(char::from(byte));
                }
                other => escaped.push_str(&format!("%{other:02X}")),
            }
        }
        escaped
    }

    fn common_prefixes(self, page: &Page) -> Vec<CommonPrefix> {
        let prefixes = page.common_prefixes.iter();
        let prefixes = prefixes.map(|prefix| CommonPrefix { prefix: Some(self.text(prefix)) });
        prefixes.collect()
    }

    fn objects(self, page: &Page) -> Vec<Listed> {
        let objects = page.objects.iter().map(|(key, object)| Listed {
            key: Some(self.text(key)),
            e_tag: Some(object.etag()),
            size: Some(object.size()),
            last_modified: Some(object.last_modified()),
            storage_class: Some(ObjectStorageClass::from_static(ObjectStorageClass::STANDARD)),
            ..Default::default()
        });
        objects.collect()
    }
}
