//! Both versions of listing a bucket.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use s3s::dto::{
    CommonPrefix, EncodingType, ListObjectsV2Input, ListObjectsV2Output, Object as Listed, ObjectStorageClass,
};
use s3s::{S3Result, s3_error};

use super::limits;
use super::listing::{Page, Query, list};
use super::service::Buckets;

/// The longest page.
const MOST_KEYS: i32 = 1_000;

impl Buckets {
    pub(super) fn list_objects_v2(&self, input: ListObjectsV2Input) -> S3Result<ListObjectsV2Output> {
        limits::check_page("maxKeys", input.max_keys, 0)?;
        let token = input.continuation_token.as_deref().map(decode_token);
        let after = token.transpose()?.or_else(|| input.start_after.clone());
        let most = input.max_keys.unwrap_or(MOST_KEYS).min(MOST_KEYS);
        let page = self.page(
            &input.bucket,
            &Query {
                prefix: input.prefix.as_deref().unwrap_or_default(),
                delimiter: input.delimiter.as_deref(),
                after: after.as_deref().unwrap_or_default(),
                most: usize::try_from(most).unwrap_or_default(),
            },
        )?;
        let write = Writing::of(input.encoding_type.as_ref());
        Ok(ListObjectsV2Output {
            key_count: i32::try_from(page.len()).ok(),
            is_truncated: Some(page.next.is_some()),
            next_continuation_token: page.next.as_ref().map(|next| URL_SAFE_NO_PAD.encode(next)),
            common_prefixes: Some(write.common_prefixes(&page)),
            contents: Some(write.objects(&page)),
            name: Some(input.bucket),
            prefix: Some(write.text(input.prefix.as_deref().unwrap_or_default())),
            delimiter: input.delimiter.map(|delimiter| write.text(&delimiter)),
            start_after: input.start_after.map(|after| write.text(&after)),
            max_keys: Some(most),
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

/// How keys are written: as they are, or escaped because XML cannot hold every character.
#[derive(Clone, Copy)]
struct Writing {
    escaped: bool,
}

impl Writing {
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
